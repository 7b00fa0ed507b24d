"""Which part of a plane is annotated: near the objects, inside shapes, or where somebody has painted. Knows no Qt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels, Layer, Shapes
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_seg_trainer.annotations.objects import find_objects
from napari_seg_trainer.napari_plugin.layers.crops import AREAS, Crop, on_grid
from napari_seg_trainer.napari_plugin.layers.grids import finest, placement, shape_of, shown_index
from napari_seg_trainer.napari_plugin.layers.names import ORIGINS
from napari_seg_trainer.napari_plugin.layers.planes import frame_count, plane

REGION = "annotated region"
"""Key in a Labels layer's metadata: it is 1 where the image is annotated, and shows no objects."""
NAME = "annotated region"
_VEIL = (0.5, 0.5, 0.5, 0.5)
_CORNERS = 64
"""Of the polygon that an ellipse is taken for."""


def is_region(layer: Layer) -> bool:
    """Whether a layer shows which part of an image is annotated."""
    return isinstance(layer, Labels) and REGION in layer.metadata


def region_look() -> dict[str, Any]:
    """Return how such a layer is shown, as attributes: a grey veil over what is not annotated."""
    colours = DirectLabelColormap(color_dict={None: "transparent", 0: _VEIL, 1: "transparent"})
    return {"colormap": colours, "opacity": 1.0}


def new_region(labels: Labels) -> Labels:
    """Return a layer to paint in, of the size of some labels, in which nothing is annotated yet."""
    mark = {REGION: labels.unique_id}
    return Labels(np.zeros(shape_of(labels), np.uint8), name=NAME, metadata=mark, **region_look(), **placement(labels))


def region_for(labels: Labels, layers: Sequence[Layer]) -> Labels | None:
    """Return the layer that was made for some labels, the newest of several, or opened with them; None for none."""
    origins = labels.metadata.get(ORIGINS)
    regions = [layer for layer in layers if isinstance(layer, Labels) and is_region(layer)]
    made = [layer for layer in regions if layer.metadata[REGION] == labels.unique_id]
    opened = [layer for layer in regions if origins is not None and layer.metadata.get(ORIGINS) == origins]
    # a folder may be open twice: what was opened at once has the very same origins
    at_once = [layer for layer in opened if layer.metadata[ORIGINS] is origins]
    return next(iter([*made[::-1], *at_once, *opened]), None)


class NearObjects:
    """What is no farther from an object than a margin, pixels."""

    def __init__(self, margin: float) -> None:
        self.margin = margin

    def mask(self, labels: NDArray[np.int32], frame: int, frames: int, crop: Crop | None) -> NDArray[np.bool_]:
        """Return the annotated part of a plane, or of a crop of it, whose labels (YX) are given."""
        from scipy.ndimage import distance_transform_edt

        if not labels.any():
            return np.zeros(labels.shape, bool)
        near: NDArray[np.bool_] = distance_transform_edt(labels == 0) <= self.margin
        return near


@dataclass(frozen=True, eq=False)
class Polygon:
    """A shape on a layer's grid: corners (N × YX, pixels), and its frame, or None for all."""

    corners: NDArray[np.float64]
    frame: int | None


class InsideShapes:
    """What is inside one of some shapes."""

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        self.polygons = tuple(polygons)

    @classmethod
    def of(cls, shapes: Shapes, reference: Layer, deepest: Layer) -> "InsideShapes":
        """Return the rectangles, ellipses and polygons of a layer, on the grid of a reference.

        Parameters
        ----------
        shapes : Shapes
        reference : Layer
            The labels.
        deepest : Layer
            The one whose frames are counted; a shape that was drawn on one of them is of that alone.
        """
        found = []
        for vertices, kind in zip(shapes.data, shapes.shape_type, strict=True):
            if kind not in AREAS:
                continue
            corners = _ellipse(np.asarray(vertices)) if kind == "ellipse" else np.asarray(vertices)
            found.append(Polygon(*on_grid(corners, shapes, reference, deepest)))
        return cls(found)

    def mask(self, labels: NDArray[np.int32], frame: int, frames: int, crop: Crop | None) -> NDArray[np.bool_]:
        """Return the annotated part of a plane, or of a crop of it, whose labels (YX) are given."""
        from skimage.draw import polygon2mask

        offset = np.array((crop.y0, crop.x0) if crop else (0, 0))
        inside = np.zeros(labels.shape, bool)
        for one in self.polygons:
            if one.frame in {None, frame}:
                inside |= polygon2mask(labels.shape, one.corners - offset)
        return inside


class Painted:
    """What is not 0 in a layer."""

    def __init__(self, layer: Labels) -> None:
        self.layer = layer

    def mask(self, labels: NDArray[np.int32], frame: int, frames: int, crop: Crop | None) -> NDArray[np.bool_]:
        """Return the annotated part of a plane, or of a crop of it, whose labels (YX) are given."""
        return plane(self.layer, frame if frame_count(self.layer) == frames else 0, crop) > 0


AnnotatedPart = NearObjects | InsideShapes | Painted


def usual_margin(viewer: Viewer, labels: Labels) -> int:
    """Return half the diameter of a typical object in the plane that is shown, pixels; 10 where there is none."""
    drawn = np.asarray(finest(labels)[shown_index(viewer, labels)], np.int32)
    area = find_objects(drawn).median_area
    return max(2, round(float(np.sqrt(area / np.pi)))) if area else 10


def _ellipse(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return corners on the ellipse within a box of four corners, which may be turned."""
    centre = box.mean(axis=0)
    one, other = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[:, None]
    found: NDArray[np.float64] = centre + np.cos(angles) * one + np.sin(angles) * other
    return found
