"""From drawn shapes to the parts of an image that they frame. Knows no Qt."""

from dataclasses import dataclass

import numpy as np
from napari.layers import Layer, Shapes

from napari_seg_trainer.napari_plugin.layers.grids import to_layer

_AREAS = {"rectangle", "ellipse", "polygon"}


@dataclass(frozen=True)
class Crop:
    """A rectangle in pixels of an image; the pixels x1 and y1 are no longer in it."""

    x0: int
    x1: int
    y0: int
    y1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """For an array with the axes YX."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def crops(shapes: Shapes, reference: Layer, shape: tuple[int, int]) -> list[Crop]:
    """Return the bounding boxes of the shapes in a layer, on another layer's grid.

    Parameters
    ----------
    shapes : Shapes
        Rectangles, ellipses and polygons; lines and paths frame nothing.
    reference : Layer
        The image or labels to crop.
    shape : tuple of int, axes YX
        Its height and width.

    Returns
    -------
    list of Crop
        Cut to the image and never padded. What lies outside is left out; boxes that are the same count once.
    """
    found = [
        _crop(vertices, shapes, reference, shape)
        for vertices, kind in zip(shapes.data, shapes.shape_type, strict=True)
        if kind in _AREAS
    ]
    return list(dict.fromkeys(crop for crop in found if crop.x0 < crop.x1 and crop.y0 < crop.y1))


def _crop(vertices: np.ndarray, shapes: Shapes, reference: Layer, shape: tuple[int, int]) -> Crop:
    world = [shapes.data_to_world(vertex) for vertex in vertices]
    points = np.array([to_layer(point, shapes.units, reference)[-2:] for point in world])
    # A pixel reaches half a pixel to either side of its number. The nearest border between two pixels counts, and
    # of the two borders of a whole number the lower one: a box from 10 to 20 is ten pixels wide.
    (y0, x0), (y1, x1) = (np.ceil(np.round(corner, 3)) for corner in (points.min(axis=0), points.max(axis=0)))
    height, width = shape
    return Crop(*(int(v) for v in (*np.clip((x0, x1), 0, width), *np.clip((y0, y1), 0, height))))
