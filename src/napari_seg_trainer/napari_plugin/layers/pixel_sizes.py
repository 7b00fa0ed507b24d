"""What layers say of the pixel size."""

from collections.abc import Iterable

from napari.layers import Layer

from napari_seg_trainer.napari_plugin.layers.planes import pixel_sides, pixel_size
from napari_seg_trainer.napari_plugin.parts.pixel_size import KnownPixelSize


def told_by(layers: Iterable[Layer]) -> KnownPixelSize | None:
    """Return the pixel size of the first layer that knows its own."""
    for layer in layers:
        size = pixel_size(layer)
        if size is not None:
            return KnownPixelSize(size, "layer", f"From the scale of layer {layer.name!r}.")
    return None


def unequal(layers: Iterable[Layer]) -> str:
    """Say that pixels are not square, of the first layer whose are not; empty where all are, or nobody knows."""
    for layer in layers:
        sides = pixel_sides(layer)
        if sides is not None and pixel_size(layer) is None:
            return (
                f"The pixels of layer {layer.name!r} are {sides[0]:.4g} × {sides[1]:.4g} µm (height × width). "
                "Resample the image to square pixels."
            )
    return ""
