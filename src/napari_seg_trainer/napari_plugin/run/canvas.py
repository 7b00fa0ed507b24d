"""A plain plot: curves over epochs, two axes, no menus and no zooming."""

import math
from typing import Any

import numpy as np
import pyqtgraph

from napari_seg_trainer.napari_plugin.parts.theme import Colours

HEIGHT = 150
"""In pixels."""


class Canvas(pyqtgraph.GraphicsLayoutWidget):  # type: ignore[misc]
    """Where curves are drawn; the wheel above it scrolls the dock.

    pyqtgraph's own `PlotWidget` brings menus along: windows of their own, which outlive the dock.

    Attributes
    ----------
    view : pyqtgraph.ViewBox
        What is between the axes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.setFrameShape(self.Shape.NoFrame)
        self.ci.setContentsMargins(0, 4, 4, 0)
        self.ci.setSpacing(0)
        self.view = self.addViewBox(row=0, col=1, enableMenu=False, enableMouse=False, defaultPadding=0.03)
        self.view.setLimits(xMin=0)
        self._left, self._bottom = _ValueAxis("left"), _EpochAxis("bottom")
        self.addItem(self._left, row=0, col=0)
        self.addItem(self._bottom, row=1, col=1)
        for axis in (self._left, self._bottom):
            axis.linkToView(self.view)
        self._curves: list[Any] = []

    def add_curve(self, **options: Any) -> Any:
        """Add an empty `pyqtgraph.PlotDataItem`."""
        curve = pyqtgraph.PlotDataItem(**options)
        self._curves.append(curve)
        self.view.addItem(curve)
        return curve

    def add_upright(self) -> Any:
        """Add a vertical line, hidden."""
        line = pyqtgraph.InfiniteLine(angle=90)
        line.hide()
        self.view.addItem(line, ignoreBounds=True)
        return line

    def add_level(self) -> Any:
        """Add a horizontal line, hidden."""
        line = pyqtgraph.InfiniteLine(angle=0)
        line.hide()
        self.view.addItem(line, ignoreBounds=True)
        return line

    def set_logarithmic(self, yes: bool) -> None:
        """Choose the vertical axis."""
        self._left.setLogMode(yes)
        for curve in self._curves:
            curve.setLogMode(False, yes)
        self.view.enableAutoRange(axis="y")

    def paint_axes(self, colours: Colours) -> None:
        """Paint all but the curves in a theme's colours."""
        self.setBackground(colours.background)
        for axis in (self._left, self._bottom):
            axis.setPen(colours.text)
            axis.setTextPen(colours.text)


class _EpochAxis(pyqtgraph.AxisItem):  # type: ignore[misc]
    """Whole numbers only."""

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        return [level for level in super().tickSpacing(low, high, size) if level[0] >= 1] or [(1, 0)]


class _ValueAxis(pyqtgraph.AxisItem):  # type: ignore[misc]
    """Where logarithmic: few labels, at round numbers."""

    def logTickValues(
        self, low: float, high: float, size: float, _ticks: Any
    ) -> list[tuple[float | None, list[float]]]:
        decades = range(math.floor(low), math.ceil(high) + 1)
        places: list[float] = []
        for steps in ((1,), (1, 2, 5), range(1, 10), np.arange(1, 10, 0.1)):
            places = [decade + math.log10(step) for decade in decades for step in steps]
            places = [place for place in places if low <= place <= high]
            if len(places) > 1:
                break
        return [(None, places)]

    def logTickStrings(self, values: list[float], _scale: float, _spacing: float) -> list[str]:
        return [f"{10**value:.3g}" for value in values]
