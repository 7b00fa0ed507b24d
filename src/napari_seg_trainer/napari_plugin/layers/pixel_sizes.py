"""What layers tell of the pixel size."""

from collections.abc import Iterable

from napari.layers import Layer

from napari_seg_trainer.napari_plugin.layers.planes import pixel_size
from napari_seg_trainer.napari_plugin.parts.pixel_size import KnownPixelSize


def told_by(layers: Iterable[Layer]) -> KnownPixelSize | None:
    """Return the pixel size of the first layer that knows its own."""
    for layer in layers:
        size = pixel_size(layer)
        if size is not None:
            return KnownPixelSize(size, "layer", f"From the scale of layer {layer.name!r}.")
    return None
