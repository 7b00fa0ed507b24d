"""Taking layers out of a viewer."""

from collections.abc import Iterable

from napari import Viewer
from napari.layers import Layer


def remove_layers(viewer: Viewer, layers: Iterable[Layer]) -> None:
    """Remove those of some layers that are there, one after the other, with the viewer drawn in between.

    Where several are gone at once, the next drawing can crash (https://github.com/napari/napari/issues/8471).
    """
    there = [layer for layer in layers if layer in viewer.layers]
    for place, layer in enumerate(there):
        if place and viewer.window.main_menu.window().isVisible():
            viewer.screenshot(flash=False)
        viewer.layers.remove(layer)
