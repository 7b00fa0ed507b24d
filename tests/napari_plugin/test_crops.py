"""From shapes to crops."""

import numpy as np
from napari.layers import Image, Shapes

from napari_seg_trainer.napari_plugin.layers.crops import Crop, crops

SHAPE = (100, 200)


def box(y0, x0, y1, x1):
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], float)


def drawn(*boxes, kind="rectangle", **fields):
    return Shapes(list(boxes), shape_type=kind, **fields)


def test_a_rectangle_is_a_crop():
    image = Image(np.zeros(SHAPE))
    assert crops(drawn(box(10, 20, 30, 60)), image, SHAPE) == [Crop(x0=20, x1=60, y0=10, y1=30)]
    # along the borders of the pixels
    assert crops(drawn(box(9.5, 19.5, 29.5, 59.5)), image, SHAPE) == [Crop(20, 60, 10, 30)]
    assert image.data[Crop(20, 60, 10, 30).slices].shape == (20, 40)


def test_of_other_shapes_the_bounding_box_is_taken_and_lines_are_none():
    image = Image(np.zeros(SHAPE))
    triangle = np.array([[50, 10], [70, 40], [60, 80]])
    assert crops(drawn(triangle, kind="polygon"), image, SHAPE) == [Crop(10, 80, 50, 70)]
    assert crops(drawn(box(10, 20, 30, 60), kind="ellipse"), image, SHAPE) == [Crop(20, 60, 10, 30)]
    assert crops(drawn(np.array([[0, 0], [50, 50]]), kind="line"), image, SHAPE) == []
    assert crops(drawn(triangle, kind="path"), image, SHAPE) == []


def test_crops_end_at_the_image_and_empty_ones_are_left_out():
    shapes = drawn(
        box(-10, -20, 30, 60), box(90, 190, 300, 300), box(200, 0, 300, 50), box(5, 5, 5, 9), box(-9, -9, 30, 60)
    )
    assert crops(shapes, Image(np.zeros(SHAPE)), SHAPE) == [Crop(0, 60, 0, 30), Crop(190, 200, 90, 100)]
    assert crops(Shapes(), Image(np.zeros(SHAPE)), SHAPE) == []


def test_scale_place_and_units_are_taken_into_account():
    image = Image(np.zeros((3, *SHAPE)), scale=(2, 0.5, 0.5), translate=(0, 10, 0), units="um")
    assert crops(drawn(box(15, 10, 25, 30), units="um"), image, SHAPE) == [Crop(20, 60, 10, 30)]
    assert crops(drawn(box(15000, 10000, 25000, 30000), units="nm"), image, SHAPE) == [Crop(20, 60, 10, 30)]
    assert crops(drawn(box(15, 10, 25, 30), scale=(2, 2), units="um"), image, SHAPE) == [Crop(40, 120, 40, 80)]


def test_a_shape_in_a_stack_frames_the_slice_that_it_was_drawn_on():
    flat, image = box(10, 20, 30, 60), Image(np.zeros((8, *SHAPE)))
    stacked = [np.column_stack([np.full(4, at), flat]) for at in (2.0, 5.0)]
    assert crops(drawn(*stacked), image, SHAPE, image) == [Crop(20, 60, 10, 30, 2), Crop(20, 60, 10, 30, 5)]
    assert crops(drawn(flat), image, SHAPE, image) == [Crop(20, 60, 10, 30)]  # drawn in 2D, it is of all slices
    assert crops(drawn(stacked[0]), image, SHAPE, Image(np.zeros(SHAPE))) == [Crop(20, 60, 10, 30)]
