"""An image layer, shown with the intensities that the network sees."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image
from qtpy.QtWidgets import QCheckBox, QLabel, QWidget
from superqt.utils import qdebounced

from napari_seg_trainer.annotations.prepare import intensity_limits
from napari_seg_trainer.napari_plugin.layers.grids import finest, shown_index
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.docks import at_the_end
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import follow, in_column
from napari_seg_trainer.schema.job import Normalization

PAUSE = 100
"""Milliseconds without a change after which the layer is shown anew."""
_TIP = (
    "Shows the selected image layer from black (0 for the network) to white (1), as these settings scale it. Only the "
    "display changes; untick to go back to the layer's own contrast."
)
_NO_LAYER = "Select an image layer with one channel."
_EMPTY = "This image has one intensity only: the network sees nothing in it."


class NormalizationPreview(QWidget):
    """A box to tick; as long as it is, the selected image layer has the contrast limits of a normalization.

    Parameters
    ----------
    viewer : Viewer
    normalization : callable
        Returns how a layer's channel, given the layer's name, is scaled; None where that is not possible.
    """

    def __init__(self, viewer: Viewer, normalization: Callable[[str], Normalization | None]) -> None:
        super().__init__()
        self._viewer, self._normalization = viewer, normalization
        self._layer: Image | None = None
        self._before: tuple[float, float] = (0.0, 1.0)
        self._asked = 0
        self.box = QCheckBox("Preview on the selected layer")
        self.box.setToolTip(_TIP)
        self.line = wrap(QLabel())
        self.line.hide()
        in_column(self, self.box, self.line)
        self._soon = qdebounced(self._ask, PAUSE, parent=self)
        self.box.toggled.connect(self._toggle)
        follow(self, viewer.layers.selection.events.active, self.follow)
        follow(self, viewer.dims.events.point, self.follow)
        at_the_end(self, self._give_back)

    def follow(self, _change: object = None) -> None:
        """Show the layer anew, once nothing has changed for a moment."""
        if self.box.isChecked():
            self._soon()

    def _toggle(self, yes: bool) -> None:
        if yes:
            self._ask()
        else:
            self._asked += 1
            self._give_back()
            self._say("")

    def _ask(self) -> None:
        layer = self._viewer.layers.selection.active
        if not self.box.isChecked():
            return
        how = self._normalization(layer.name) if layer is not None else None
        if not isinstance(layer, Image) or layer.rgb or how is None:
            self._give_back()
            self._say(_NO_LAYER)
            return
        self._asked += 1
        plane = finest(layer)[shown_index(self._viewer, layer)]
        in_background(self, partial(_limits, plane, how), partial(self._show, self._asked, layer), self._say)

    def _show(self, asked: int, layer: Image, limits: tuple[float, float]) -> None:
        if asked != self._asked or layer not in self._viewer.layers:
            return
        low, high = limits
        if not high > low:
            self._give_back()
            self._say(_EMPTY)
            return
        if layer is not self._layer:
            self._give_back()
            self._layer, self._before = layer, tuple(layer.contrast_limits)
        least, most = layer.contrast_limits_range
        layer.contrast_limits_range = min(low, least), max(high, most)
        layer.contrast_limits = limits
        self._say(f"Intensity {low:.4g} becomes 0 (black), {high:.4g} becomes 1 (white).")

    def _give_back(self) -> None:
        """Give the layer the contrast that it had."""
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.contrast_limits = self._before

    def _say(self, text: str) -> None:
        self.line.setText(text)
        self.line.setVisible(bool(text))


def _limits(plane: Any, how: Normalization) -> tuple[float, float]:
    return intensity_limits(np.asarray(plane), how)
