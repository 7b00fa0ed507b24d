"""Where the pixels of napari layers are: sizes, and places in the world. Knows no Qt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import size_text
from napari_seg_trainer.errors import DataError

_ALIKE = 0.01
_SAME_GRID = "Give both the same scale and translation (right-click a layer: Copy scale and transforms)."


def finest(layer: Layer) -> Any:
    """Return a layer's array; that of the highest resolution of a multiscale layer."""
    return layer.data[0] if layer.multiscale else layer.data


def shape_of(layer: Layer) -> tuple[int, ...]:
    """Return the lengths of a layer's axes, without that of colours."""
    shape = tuple(int(size) for size in finest(layer).shape)
    return shape[:-1] if getattr(layer, "rgb", False) else shape


def placement(layer: Layer) -> dict[str, Any]:
    """Return where a layer's pixels are in the world, for another layer of the same axes."""
    return {name: getattr(layer, name) for name in ("scale", "translate", "rotate", "shear", "affine", "units")}


def plane_shape(layer: Layer) -> tuple[int, int]:
    """Return height and width of a layer's planes, in pixels of its finest level."""
    height, width = shape_of(layer)[-2:]
    return height, width


def shown_index(viewer: Viewer, layer: Layer) -> tuple[int, ...]:
    """Return which plane of a layer a viewer shows: its place on all axes but the last two."""
    point = to_layer(viewer.dims.point, viewer.dims.units, layer)[:-2]
    sizes = shape_of(layer)[:-2]
    return tuple(int(np.clip(round(at), 0, size - 1)) for at, size in zip(point, sizes, strict=True))


def to_layer(point: Sequence[float] | NDArray[Any], units: Sequence[Any] | None, layer: Layer) -> NDArray[np.float64]:
    """Return where a point of the world is in a layer's data, in pixels: coordinates along the layer's axes.

    Parameters
    ----------
    point : sequence of float
        A position on each axis of the world; of many, the last ones count.
    units : sequence of pint.Unit, optional
        Those of `point`; the layer's own if not given or of another kind, as napari does.
    layer : Layer

    Returns
    -------
    NDArray of float64
        A position on each axis of the layer.
    """
    world = np.zeros(layer.ndim)
    given = np.asarray(point, float)[-layer.ndim :]
    world[layer.ndim - len(given) :] = given
    if units is not None:
        pairs = list(zip(units[::-1], layer.units[::-1], strict=False))
        for back, (theirs, own) in enumerate(pairs, start=1):
            if theirs.is_compatible_with(own):
                world[-back] *= (1 * theirs).to(own).magnitude
    return np.asarray(layer.world_to_data(world), np.float64)


def check_same_grid(reference: Layer, images: Sequence[Layer]) -> None:
    """Check that labels, or an image, and images have the same height and width and lie in the same place of the world.

    Raises
    ------
    DataError
        In one line that names both layers and how they differ: sizes at all, scales by more than 1 %, places by more
        than half a pixel.
    """
    for image in images:
        if plane_shape(reference) != plane_shape(image):
            raise DataError(
                f"{_said_of(reference, 'are', 'is')} {size_text(plane_shape(reference))} pixels but image "
                f"{image.name!r} is {size_text(plane_shape(image))}. Choose layers of the same size."
            )
        _check_place(reference, image)


def _check_place(reference: Layer, image: Layer) -> None:
    """Compare the grids on all axes that both layers have; frames only where both have more than one."""
    shared = min(reference.ndim, image.ndim)
    sizes = zip(shape_of(reference)[-shared:], shape_of(image)[-shared:], strict=True)
    axes = [i for i, (a, b) in enumerate(sizes) if i >= shared - 2 or (a > 1 and b > 1)]

    def seen_from_image(point: NDArray[Any]) -> NDArray[Any]:
        return to_layer(reference.data_to_world(point), reference.units, image)[-shared:][axes]

    corners = np.zeros((len(axes) + 1, reference.ndim))
    for row, axis in enumerate(axes, start=1):
        corners[row, reference.ndim - shared + axis] = 1
    origin, *steps = [seen_from_image(corner) for corner in corners]
    if not np.allclose(np.array(steps) - origin, np.eye(len(axes)), rtol=0, atol=_ALIKE):
        raise DataError(f"{_said_of(reference)} and image {image.name!r} differ in scale. {_SAME_GRID}")
    if np.abs(origin).max() > 0.5:
        offset = " × ".join(f"{value:.3g}" for value in origin)
        raise DataError(
            f"{_said_of(reference, 'lie', 'lies')} {offset} pixels away from image {image.name!r}. {_SAME_GRID}"
        )


def _said_of(layer: Layer, of_labels: str = "", of_image: str = "") -> str:
    """Return the beginning of a sentence on labels, or on an image."""
    kind, verb = ("Labels", of_labels) if isinstance(layer, Labels) else ("Image", of_image)
    return f"{kind} {layer.name!r} {verb}".rstrip()
