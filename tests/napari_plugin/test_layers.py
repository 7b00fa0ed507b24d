"""From layers to annotated images."""

import re

import dask.array
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.crops import Crop
from napari_seg_trainer.napari_plugin.layers.names import stem_for
from napari_seg_trainer.napari_plugin.layers.planes import (
    annotated_image,
    deepest,
    frame_count,
    pixel_size,
    plane,
    shown_frame,
    sources,
)

STACK = np.arange(2 * 3 * 40 * 50, dtype=np.uint16).reshape(2, 3, 40, 50)  # TZYX
RGB = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)


def labels(shape=(40, 50), **fields):
    data = np.zeros(shape, np.int32)
    data[..., 10:20, 5:15] = 1
    return Labels(data, name="nuclei", **fields)


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        ((0.5, 0.5), ("pixel", "pixel"), None),
        ((0.5, 0.5), None, None),
        ((325.0, 325.0), ("nm", "nm"), 0.325),
        ((0.325, 0.325), ("um", "um"), 0.325),
        ((0.325, 0.325), ("µm", "micrometer"), 0.325),
        ((0.001, 0.001), ("mm", "mm"), 1.0),
        ((500.0, 0.5), ("nm", "um"), 0.5),
        ((0.5, 0.504), ("um", "um"), 0.504),
        ((0.5, 0.51), ("um", "um"), None),
        ((2.0, 2.0), ("s", "s"), None),
        ((3.0, 30.0, 0.5, 0.5), ("s", "pixel", "um", "um"), 0.5),
    ],
)
def test_the_pixel_size_comes_from_scale_and_units(scale, units, expected):
    layer = Image(np.zeros((4,) * len(scale)), scale=scale, units=units)
    assert pixel_size(layer) == pytest.approx(expected)


def test_an_rgb_layer_is_three_channels():
    found = sources([Image(STACK, name="DAPI"), Image(RGB, name="stain")])
    assert [source.name for source in found] == ["DAPI", "stain red", "stain green", "stain blue"]
    np.testing.assert_array_equal(plane(found[2], 0), RGB[..., 1])
    assert frame_count(found[2].layer) == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(STACK, id="numpy"),
        pytest.param(dask.array.from_array(STACK, chunks=(1, 1, 20, 20)), id="dask"),
        pytest.param([STACK, STACK[..., ::2, ::2]], id="multiscale"),
        pytest.param([dask.array.from_array(STACK), dask.array.from_array(STACK[..., ::2, ::2])], id="dask multiscale"),
    ],
)
def test_a_plane_is_read_from_any_kind_of_layer(data):
    layer = Image(data, multiscale=isinstance(data, list), name="movie")
    assert frame_count(layer) == 6
    found = plane(sources([layer])[0], 4)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, STACK[1, 1])
    with pytest.raises(DataError, match=re.escape("Layer 'movie' has the frames 0 to 5, not 6.")):
        plane(layer, 6)


def test_the_shown_frame_follows_the_viewer(viewer_model):
    movie = viewer_model.add_image(STACK, scale=(30, 2, 0.5, 0.5), units=("s", "um", "um", "um"))
    flat = viewer_model.add_labels(np.zeros((40, 50), int), scale=(500, 500), units="nm")
    viewer_model.dims.current_step = (1, 2, 0, 0)
    assert (shown_frame(viewer_model, movie), shown_frame(viewer_model, flat)) == (5, 0)
    coarse = viewer_model.add_image(STACK, scale=(30, 2000, 500, 500), units=("s", "nm", "nm", "nm"))
    assert viewer_model.dims.point[1] == pytest.approx(4000)  # napari now counts in the finer unit
    assert shown_frame(viewer_model, coarse) == 5
    short = viewer_model.add_image(STACK[:, :2], scale=(30, 2, 0.5, 0.5), units=("s", "um", "um", "um"))
    assert shown_frame(viewer_model, short) == 3  # the viewer is beyond its last slice


def test_an_annotated_image_of_one_frame():
    movie, stain = Image(STACK, name="DAPI"), Image(STACK.astype(np.float32) / 7, name="actin")
    drawn = labels((2, 3, 40, 50))
    item = annotated_image(drawn, sources([movie, stain]), 4, stem="a", names=("nuclei", "cell"), pixel_size=0.5)
    np.testing.assert_array_equal(item.image, np.stack([STACK[1, 1], stain.data[1, 1]]))
    assert item.labels.dtype == np.int32
    np.testing.assert_array_equal(item.labels, drawn.data[1, 1])
    assert (item.channels, item.pixel_size, item.frame) == (("nuclei", "cell"), 0.5, 4)
    assert (item.sources, item.field_of_view) == (("DAPI", "actin", "nuclei"), "DAPI")


def test_layers_with_fewer_axes_have_the_same_plane_in_all_frames():
    movie, still, slices = Image(STACK, name="movie"), Image(STACK[0, 0], name="still"), Image(STACK[0], name="slices")
    once = labels((1, 3, 40, 50))
    assert deepest([once, movie, still]) is movie
    item = annotated_image(labels(), sources([movie, still, slices]), 5, stem="a")
    np.testing.assert_array_equal(item.image, [STACK[1, 2], STACK[0, 0], STACK[0, 2]])
    assert annotated_image(once, sources([movie]), 5, stem="a").labels.max() == 1
    with pytest.raises(DataError, match=r"'nuclei' \(2 × 40 × 50\) and image 'movie' \(2 × 3 × 40 × 50\) differ"):
        annotated_image(labels((2, 40, 50)), sources([movie]), 0, stem="a")


def test_a_crop_of_an_rgb_image():
    item = annotated_image(labels(), sources([Image(RGB, name="stain")]), 0, stem="a", crop=Crop(5, 15, 10, 20))
    np.testing.assert_array_equal(item.image, np.moveaxis(RGB[10:20, 5:15], -1, 0))
    assert item.labels.min() == 1
    assert item.frame is None


@pytest.mark.parametrize("kind", [bool, np.float16, np.float64, np.uint8, np.int64])
def test_images_of_any_number_type(kind, tmp_path):
    item = annotated_image(labels(), sources([Image(np.eye(40, 50).astype(kind))]), 0, stem="a")
    image, *_ = item.write(tmp_path)
    assert image.stat().st_size > 0


@pytest.mark.parametrize(
    ("image", "drawn", "reason"),
    [
        ({"data": np.zeros((40, 60))}, {}, "Labels 'nuclei' are 40 × 50 pixels but image 'DAPI' is 40 × 60."),
        ({"scale": (0.5, 0.5)}, {}, "Labels 'nuclei' and image 'DAPI' differ in scale."),
        ({"units": "nm"}, {"units": "um"}, "Labels 'nuclei' and image 'DAPI' differ in scale."),
        ({"translate": (0, 3)}, {}, "Labels 'nuclei' lie 0 × -3 pixels away from image 'DAPI'."),
        ({"rotate": 10}, {}, "Labels 'nuclei' and image 'DAPI' differ in scale."),
    ],
)
def test_layers_on_different_grids_are_refused(image, drawn, reason):
    layer = Image(**{"data": np.zeros((40, 50)), "name": "DAPI"} | image)
    with pytest.raises(DataError, match="^" + re.escape(reason)) as refused:
        annotated_image(labels(**drawn), sources([layer]), 0, stem="a")
    assert len(str(refused.value).splitlines()) == 1


def test_grids_may_differ_in_units_and_by_rounding():
    image = Image(np.zeros((1, 40, 50)), scale=(1, 0.325, 0.325), units="um", translate=(7, 0.1, 0))
    drawn = labels((2, 40, 50), scale=(1, 325.1, 325), units="nm")
    assert annotated_image(drawn, sources([image]), 1, stem="a").frame == 1


def test_labels_beyond_32_bits_are_refused():
    huge = Labels(np.full((40, 50), 2**31, np.int64), name="huge")
    with pytest.raises(DataError, match="Labels 'huge' hold the number 2147483648; 2147483647 is the limit"):
        annotated_image(huge, sources([Image(np.zeros((40, 50)))]), 0, stem="a")


def test_the_name_is_that_of_the_file_or_layer_made_safe(tmp_path, viewer_model):
    layer = Image(np.zeros((40, 50)), name="DAPI")
    assert stem_for(layer, 0, 1, None) == "DAPI"
    assert stem_for(layer, 4, 12, None) == "DAPI_t004"
    assert stem_for(layer, 4, 12000, Crop(0, 64, 32, 96)) == "DAPI_t00004_roi_0_64_32_96"
    assert stem_for(Image(np.zeros((40, 50)), name='a/b:"c" d. '), 0, 1, None) == "a_b_c_d"
    assert stem_for(Labels(np.zeros((40, 50), int), name="cell_masks"), 0, 1, None) == "cell"
    item = annotated_image(labels(), sources([layer]), 0, stem="made")
    image, *_ = item.write(tmp_path / "some")
    (opened,) = viewer_model.open(image.rename(tmp_path / "field 3.ome.tif"), plugin="napari")
    assert stem_for(opened, 0, 1, None) == "field_3"
    assert annotated_image(labels(), sources([opened]), 0, stem="a").field_of_view == "field_3"
