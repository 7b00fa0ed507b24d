import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_seg_trainer.annotations.prepare import (
    prepare_image,
    rescale_image,
    rescaled_shape,
    resize_labels,
    scale_factor,
)
from napari_seg_trainer.schema.model_card import ModelChannel

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=24)
LABELS = arrays(np.int32, SHAPES, elements=st.integers(0, 9) | st.just(2**31 - 1))
IMAGES = st.tuples(st.integers(1, 3), SHAPES).flatmap(
    lambda made: arrays(np.float32, (made[0], *made[1]), elements=st.floats(-3, 3, width=32))
)
FACTORS = st.floats(0.05, 4)
PIXELS = st.floats(1e-3, 1e3)


@given(SHAPES, FACTORS)
def test_a_side_is_scaled_and_rounded_and_never_gone(shape, factor):
    for side, before in zip(rescaled_shape(shape, factor), shape, strict=True):
        assert side >= 1
        assert abs(side - before * factor) <= 0.5 or side == 1


@given(LABELS, SHAPES)
def test_no_label_is_made_up(labels, shape):
    resized = resize_labels(labels, shape)
    assert (resized.shape, resized.dtype) == (shape, labels.dtype)
    assert np.isin(resized, labels).all()


@given(LABELS, st.integers(1, 5), st.integers(1, 5))
def test_labels_that_were_made_larger_come_back_as_they_were(labels, down, across):
    shape = (labels.shape[0] * down, labels.shape[1] * across)
    larger = resize_labels(labels, shape)
    np.testing.assert_array_equal(larger, labels.repeat(down, axis=0).repeat(across, axis=1))
    np.testing.assert_array_equal(resize_labels(larger, labels.shape), labels)


@given(LABELS)
def test_labels_of_the_right_size_stay(labels):
    assert resize_labels(labels, labels.shape) is labels


@given(LABELS, SHAPES)
def test_labels_are_turned_like_their_image(labels, shape):
    turned = resize_labels(labels.T, shape[::-1])
    np.testing.assert_array_equal(turned.T, resize_labels(labels, shape))


@given(IMAGES, FACTORS)
def test_intensities_stay_in_their_range(image, factor):
    scaled = rescale_image(image, factor)
    assert scaled.shape == (len(image), *rescaled_shape(image.shape[1:], factor))
    assert scaled.dtype == np.float32
    for before, after in zip(image, scaled, strict=True):
        assert before.min() - 1e-5 <= after.min()
        assert after.max() <= before.max() + 1e-5


@given(SHAPES, FACTORS, st.floats(-3, 3, width=32))
def test_an_even_image_stays_even(shape, factor, value):
    scaled = rescale_image(np.full((1, *shape), value, np.float32), factor)
    np.testing.assert_allclose(scaled, value, atol=1e-5)


@given(PIXELS, PIXELS)
def test_scaling_goes_back_by_the_inverse(image, model):
    there, back = scale_factor(image, model), scale_factor(model, image)
    assert np.isclose(there * back, 1, rtol=0.0102)
    assert there == 1 or np.isclose(there, image / model)
    assert scale_factor(None, model) == scale_factor(image, None) == 1


@given(IMAGES, FACTORS, st.data())
def test_a_prepared_image_has_the_picked_channels_at_the_models_size(image, factor, data):
    places = data.draw(st.lists(st.integers(0, len(image) - 1), min_size=1, max_size=3))
    prepared = prepare_image(image[list(places)], [ModelChannel(name="a")] * len(places), factor)
    assert prepared.shape == (len(places), *rescaled_shape(image.shape[1:], factor))
    assert np.isfinite(prepared).all()
