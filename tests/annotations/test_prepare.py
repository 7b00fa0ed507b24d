import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass

from napari_seg_trainer.annotations.prepare import (
    PreparedImage,
    PreparedImages,
    normalize,
    prepare_image,
    rescale_image,
    rescaled_shape,
    resize_labels,
    scale_factor,
)
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelChannel

PERCENTILES = Normalization()
FULL = Normalization(low=0, high=100)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "uint32", "float32", "float64"])
def test_every_type_becomes_numbers_around_0_to_1(dtype):
    image = np.indices((16, 16)).sum(axis=0)[np.newaxis].astype(dtype)
    normalized = normalize(image, [FULL])
    assert normalized.dtype == np.float32
    assert normalized.shape == image.shape
    assert (normalized.min(), normalized.max()) == (0.0, 1.0)


def test_percentiles_are_those_of_each_channel():
    rng = np.random.default_rng(0)
    image = np.stack([rng.gamma(2, 100, (64, 64)), rng.normal(5, 1, (64, 64))])
    normalized = normalize(image, [PERCENTILES, Normalization(low=10, high=90)])
    assert np.percentile(normalized[0], (1, 99.8)) == pytest.approx((0, 1), abs=1e-5)
    assert np.percentile(normalized[1], (10, 90)) == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize(("clip", "expected"), [(False, [-0.5, 0.0, 0.5, 1.0, 2.0]), (True, [0.0, 0.0, 0.5, 1.0, 1.0])])
def test_values_stand_as_in_the_file(clip, expected):
    image = np.array([[[50, 100, 150, 200, 300]]], np.uint16)
    normalized = normalize(image, [Normalization(mode="values", low=100, high=200, clip=clip)])
    assert normalized[0, 0].tolist() == expected


@pytest.mark.parametrize("value", [0, 7, 65_535])
@pytest.mark.parametrize("how", [PERCENTILES, FULL])
def test_a_constant_channel_becomes_0(value, how):
    assert not normalize(np.full((1, 8, 8), value, np.uint16), [how]).any()


def test_one_small_object_on_black_is_not_lost():
    image = np.zeros((1, 100, 100), np.uint8)
    image[0, 40:43, 40:43] = 200
    np.testing.assert_array_equal(normalize(image, [PERCENTILES]), image / np.float32(200))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("how", [PERCENTILES, FULL, Normalization(mode="values", low=1, high=20)])
def test_a_pixel_that_is_no_number_changes_no_other(bad, how):
    image = np.arange(64.0).reshape(1, 8, 8)
    image[0, 0, 0] = 31.0
    good = normalize(image, [how])
    image[0, 0, 0] = bad
    spoiled = normalize(image, [how])
    assert spoiled[0, 0, 0] == 0
    np.testing.assert_allclose(spoiled[0, 1:], good[0, 1:], atol=0.02)


@pytest.mark.parametrize("how", [PERCENTILES, Normalization(mode="values", low=0, high=1)])
def test_a_channel_without_numbers_becomes_0(how):
    assert not normalize(np.full((1, 4, 4), np.nan), [how]).any()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.floats(-1e6, 1e6, width=32, allow_subnormal=False) | st.sampled_from([np.nan, np.inf, -np.inf]),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
)
def test_what_comes_out_is_finite(values, clip):
    normalized = normalize(np.array(values).reshape(1, 1, -1), [Normalization(clip=clip)])
    assert np.isfinite(normalized).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.25, 2.0, 16.0]), st.integers(-1000, 1000))
def test_brightness_and_contrast_of_the_camera_do_not_matter(seed, gain, offset):
    image = np.random.default_rng(seed).integers(0, 1000, (1, 12, 12)).astype(np.float64)
    np.testing.assert_allclose(
        normalize(image * gain + offset, [PERCENTILES]), normalize(image, [PERCENTILES]), atol=1e-4
    )


@pytest.mark.parametrize(
    ("image", "model", "factor"),
    [
        (0.5, 0.25, 2.0),
        (0.25, 0.5, 0.5),
        (None, 0.5, 1.0),
        (0.5, None, 1.0),
        (0.5, 0.502, 1.0),
        (0.5, 0.51, 0.5 / 0.51),
    ],
)
def test_the_scale_is_the_ratio_of_the_pixel_sizes(image, model, factor):
    assert scale_factor(image, model) == factor


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 4.0), st.integers(1, 3))
def test_image_and_labels_are_scaled_to_the_same_shape(height, width, factor, channels):
    rng = np.random.default_rng(height * width)
    image = rescale_image(rng.random((channels, height, width), np.float32), factor)
    labels = rng.integers(0, 5, (height, width)).astype(np.int32)
    scaled = resize_labels(labels, image.shape[1:])
    assert image.shape == (channels, *rescaled_shape((height, width), factor))
    assert image.dtype == np.float32
    assert scaled.shape == image.shape[1:]
    assert scaled.dtype == np.int32
    assert set(np.unique(scaled)) <= set(np.unique(labels))
    assert factor < 1 or set(np.unique(scaled)) == set(np.unique(labels))


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.3, 2.0])
def test_objects_stay_where_they_are_in_the_image(factor):
    labels = np.zeros((60, 90), np.int32)
    labels[10:22, 50:70] = 70_000
    image = rescale_image((labels > 0)[np.newaxis].astype(np.float32), factor)
    scaled = resize_labels(labels, image.shape[1:])
    assert set(np.unique(scaled)) == {0, 70_000}
    assert center_of_mass(scaled > 0) == pytest.approx(center_of_mass(image[0]), abs=0.6)
    assert (scaled > 0).mean() == pytest.approx((labels > 0).mean(), rel=0.15)
    assert image[0][scaled == 0].mean() < 0.05 < 0.8 < image[0][scaled > 0].mean()


def test_labels_come_back_unchanged():
    labels = np.random.default_rng(0).integers(0, 9, (21, 34)).astype(np.int32)
    np.testing.assert_array_equal(resize_labels(resize_labels(labels, (42, 102)), labels.shape), labels)


def test_smaller_labels_are_those_of_the_middle_pixels():
    labels = np.arange(9 * 15, dtype=np.int32).reshape(9, 15)
    np.testing.assert_array_equal(resize_labels(labels, (3, 5)), labels[1::3, 1::3])


def test_nothing_is_resampled_that_has_the_right_size():
    image, labels = np.zeros((1, 10, 10), np.float32), np.zeros((10, 10), np.int32)
    assert rescale_image(image, 1.0) is image
    assert resize_labels(labels, (10, 10)) is labels


def test_an_image_is_picked_scaled_and_resized():
    image = np.stack([np.full((8, 8), 9), np.indices((8, 8))[0], np.indices((8, 8))[1]]).astype(np.uint16)
    how = Normalization(mode="values", low=0, high=10)
    channels = [ModelChannel(name=name, normalization=how) for name in "ab"]
    prepared = prepare_image(image[[2, 0]], channels, 2.0)
    assert prepared.shape == (2, 16, 16)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared[1], 0.9, rtol=1e-6)
    assert (np.diff(prepared[0], axis=1) >= 0).all()
    assert not np.diff(prepared[0], axis=0).any()


def some_images(count=3):
    rng = np.random.default_rng(0)
    for i in range(count):
        labels = rng.integers(0, 100_000, (8 + i, 9)).astype(np.int32)
        yield PreparedImage(f"folder/image {i}", rng.random((2, 8 + i, 9), np.float32), labels)


def test_images_come_back_from_disk(tmp_path):
    told = []
    written = PreparedImages.write(tmp_path / "deep" / "training", some_images(), told.append)
    assert told == [1, 2, 3]
    read = PreparedImages(tmp_path / "deep" / "training", written.names)
    assert len(read) == 3
    for original, image in zip(some_images(), read, strict=True):
        assert image.name == original.name
        np.testing.assert_array_equal(image.image, original.image)
        np.testing.assert_array_equal(image.labels, original.labels)
        assert (image.image.dtype, image.labels.dtype) == (np.float32, np.int32)


def test_images_are_a_sequence(tmp_path):
    images = PreparedImages.write(tmp_path, some_images(), lambda _: None)
    names = [f"folder/image {i}" for i in range(3)]
    assert images[-1].name == names[2]
    assert images[np.int64(1)].name == names[1]
    assert [image.name for image in images[1:]] == names[1:]
    assert [image.name for image in reversed(images)] == names[::-1]
    with pytest.raises(IndexError):
        images[3]


def test_images_stay_on_disk_and_cannot_be_changed(tmp_path):
    images = PreparedImages.write(tmp_path, some_images(), lambda _: None)
    assert isinstance(images[0].image, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0].labels[0, 0] = 1


def test_images_are_written_as_they_come(tmp_path):
    seen = []

    def watched():
        for image in some_images():
            seen.append(len(list(tmp_path.glob("*_labels.npy"))))
            yield image

    PreparedImages.write(tmp_path, watched(), lambda _: None)
    assert seen == [0, 1, 2]


def test_removed_images_leave_nothing(tmp_path):
    images = PreparedImages.write(tmp_path / "training", some_images(), lambda _: None)
    images.remove()
    images.remove()
    assert list(tmp_path.iterdir()) == []
