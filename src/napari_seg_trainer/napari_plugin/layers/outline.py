"""An outline around one object, for a few seconds, so that it is seen which one is meant."""

from contextlib import suppress
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels, Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_seg_trainer.napari_plugin.layers.grids import finest, placement
from napari_seg_trainer.napari_plugin.parts.canvas import canvas_of
from napari_seg_trainer.napari_plugin.parts.theme import colours

SHOWN = 6000
"""Milliseconds for which it is shown."""
NAME = "shown object"
WIDTH = 2.0
"""Screen pixels."""
_AROUND = 512
"""Pixels around a position within which the object is looked for."""
_MARK = "napari-seg-trainer outline"


def bounds_of(layer: Labels, index: tuple[int, ...], label: int, place: tuple[float, float]) -> "Found | None":
    """Return where an object is in a plane, near a position (y, x, pixels); None where it is not there."""
    plane = finest(layer)[index] if index else finest(layer)
    height, width = plane.shape[-2:]
    y, x = (int(np.clip(at, 0, size - 1)) for at, size in zip(place, (height, width), strict=True))
    top, left = max(0, y - _AROUND), max(0, x - _AROUND)
    mask = np.asarray(plane[top : y + _AROUND, left : x + _AROUND]) == label
    if not mask.any():
        return None
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Found(inside, int(top + rows[0]), int(left + columns[0]))


class Found:
    """An object's pixels within its bounding box, and where that begins in the plane."""

    def __init__(self, mask: NDArray[np.bool_], top: int, left: int) -> None:
        self.mask, self.top, self.left = mask, top, left

    @property
    def size(self) -> int:
        """The longer side of the bounding box, pixels."""
        return int(max(self.mask.shape))

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the bounding box: y and x, pixels."""
        height, width = self.mask.shape
        return self.top + (height - 1) / 2, self.left + (width - 1) / 2

    def edges(self) -> NDArray[np.float64]:
        """Return the sides of pixels at which the object ends: beginnings and directions, shape (sides, 2, 2), YX."""
        padded = np.pad(self.mask, 1)
        down = np.argwhere(padded[1:] != padded[:-1])  # a side below row y - 1 of the mask
        across = np.argwhere(padded[:, 1:] != padded[:, :-1])
        begins = np.concatenate([down - (0.5, 1.5), across - (1.5, 0.5)]) + np.array((self.top, self.left))
        steps = np.concatenate([np.tile((0.0, 1.0), (len(down), 1)), np.tile((1.0, 0.0), (len(across), 1))])
        return np.stack([begins, steps], axis=1)


def show_outline(viewer: Viewer, layer: Labels, index: tuple[int, ...], found: Found, screen: float) -> None:
    """Draw around an object in a layer, in place of an outline that is there.

    Parameters
    ----------
    viewer : Viewer
    layer : Labels
    index : tuple of int
        Of the plane, on all axes but the last two.
    found : Found
    screen : float
        How many pixels of the layer a pixel of the screen is.
    """
    remove_outline(viewer)
    sides = found.edges()
    vectors = np.zeros((len(sides), 2, layer.ndim))
    vectors[:, 0, : len(index)] = index
    vectors[:, :, len(index) :] = sides
    active = viewer.layers.selection.active
    outline = Vectors(
        vectors,
        name=NAME,
        edge_color=colours().warning,
        edge_width=WIDTH * screen,
        vector_style="line",
        metadata={_MARK: True},
        **placement(layer),
    )
    viewer.add_layer(outline)
    viewer.layers.selection.active = active
    window = getattr(viewer, "window", None)
    if window is not None:
        timer = QTimer(window.main_menu.window())  # it dies with the window
        timer.setSingleShot(True)
        timer.timeout.connect(lambda: _remove(viewer, outline))
        timer.timeout.connect(timer.deleteLater)
        timer.start(SHOWN)


def remove_outline(viewer: Viewer) -> None:
    """Remove the outline that is there, if there is one."""
    for layer in [layer for layer in viewer.layers if _MARK in layer.metadata]:
        _remove(viewer, layer)


def _remove(viewer: Viewer, outline: Any) -> None:
    if outline in viewer.layers:
        window = getattr(viewer, "window", None)
        if window is not None:
            canvas_of(window.main_menu)()
        with suppress(ValueError):  # the user has removed it meanwhile
            viewer.layers.remove(outline)
