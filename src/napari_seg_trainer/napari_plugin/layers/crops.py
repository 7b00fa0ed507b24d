"""Parts of images that shapes frame, on another layer's grid. Knows no Qt."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Layer, Shapes
from numpy.typing import NDArray

from napari_seg_trainer.napari_plugin.layers.grids import to_layer
from napari_seg_trainer.napari_plugin.layers.planes import frame_at, frame_count

AREAS = {"rectangle", "ellipse", "polygon"}
"""Types of shapes that frame something."""
CROP_OF = "crop of labels"
"""Key in a Shapes layer's metadata for the id of the labels that it is a crop of, and of no others."""


@dataclass(frozen=True)
class Crop:
    """A rectangle in pixels of an image; the pixels x1 and y1 are no longer in it.

    It is of one `frame`, or of all if that is None.
    """

    x0: int
    x1: int
    y0: int
    y1: int
    frame: int | None = None

    @property
    def slices(self) -> tuple[slice, slice]:
        """For an array with the axes YX."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def crops(shapes: Shapes, reference: Layer, shape: tuple[int, int], deepest: Layer | None = None) -> list[Crop]:
    """Return the bounding boxes of the shapes in a layer, on another layer's grid.

    Parameters
    ----------
    shapes : Shapes
        Rectangles, ellipses and polygons; lines and paths frame nothing.
    reference : Layer
        The image or labels to crop.
    shape : tuple of int, axes YX
        Its height and width.
    deepest : Layer, optional
        The one whose frames are counted; a shape that was drawn on one of them is of that alone.

    Returns
    -------
    list of Crop
        Cut to the image and never padded. What lies outside is left out; boxes that are the same count once.
    """
    found = [
        _crop(vertices, shapes, reference, shape, deepest)
        for vertices, kind in zip(shapes.data, shapes.shape_type, strict=True)
        if kind in AREAS
    ]
    return list(dict.fromkeys(crop for crop in found if crop.x0 < crop.x1 and crop.y0 < crop.y1))


def _crop(
    vertices: NDArray[Any], shapes: Shapes, reference: Layer, shape: tuple[int, int], deepest: Layer | None
) -> Crop:
    points, frame = on_grid(vertices, shapes, reference, deepest)
    # A pixel reaches half a pixel to either side of its number. The nearest border between two pixels counts, and
    # of the two borders of a whole number the lower one: a box from 10 to 20 is ten pixels wide.
    (y0, x0), (y1, x1) = (np.ceil(np.round(corner, 3)) for corner in (points.min(axis=0), points.max(axis=0)))
    height, width = shape
    (left, right), (top, bottom) = np.clip((x0, x1), 0, width), np.clip((y0, y1), 0, height)
    return Crop(int(left), int(right), int(top), int(bottom), frame)


def on_grid(
    vertices: NDArray[Any], shapes: Shapes, reference: Layer, deepest: Layer | None
) -> tuple[NDArray[np.float64], int | None]:
    """Return a shape's corners on another layer's grid (N × YX, pixels), and its frame; None for all frames.

    The parameters are those of `crops`.
    """
    world = [shapes.data_to_world(vertex) for vertex in vertices]
    points = np.array([to_layer(point, shapes.units, reference)[-2:] for point in world])
    if deepest is None or frame_count(deepest) == 1 or shapes.ndim <= 2:
        return points, None
    return points, frame_at(world[0], shapes.units, deepest)
