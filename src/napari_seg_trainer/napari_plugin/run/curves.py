"""The curves of a run: losses, and scores where there are some."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSizePolicy, QWidget

from napari_seg_trainer.annotations.findings import counted
from napari_seg_trainer.napari_plugin.parts.theme import Colours, coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import Section, in_column
from napari_seg_trainer.napari_plugin.run.canvas import Canvas
from napari_seg_trainer.schema.events import Baseline, EpochEnded, Evaluated, Event

Values = Mapping[str, Mapping[int, float]]
"""Of each curve, by the metric's name and the epoch."""


@dataclass(frozen=True)
class _Look:
    """One curve: its name, its colour in the theme, whether it matters most, and whether its name begins a line."""

    name: str
    colour: str | int
    bold: bool = False
    begins_line: bool = False

    def paint(self, colour: Colours) -> str:
        """Return its colour in a theme; that of a number is one of the others."""
        if isinstance(self.colour, int):
            return colour.others[self.colour % len(colour.others)]
        return str(getattr(colour, self.colour))


_SCORES_TIP = "Score on whole validation images; 1 is perfect."
_LOSSES = {"loss": _Look("training", "training"), "val_loss": _Look("validation", "validation", bold=True)}
_SCORES = {"ap50": _Look("AP", "training"), "f1_50": _Look("F1", "validation", bold=True)}


class Curves(QWidget):
    """Losses and scores over the epochs; the numbers where the mouse is are shown in the line above a plot."""

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, dict[int, float]] = {}
        self._best: int | None = None
        self._baseline: Baseline | None = None
        self._scored: Evaluated | None = None
        self.logarithmic = QCheckBox("log")
        self.logarithmic.setToolTip("Logarithmic axis: shows small differences late in the training.")
        self._losses = _Plot("Loss", _LOSSES, self.logarithmic)
        self._losses.setToolTip(
            "Loss: lower is better. If the validation loss rises while the training loss falls, the model overfits."
        )
        self._scores = _Plot("IoU 0.5", _SCORES)
        self._scores.setToolTip(_SCORES_TIP)
        self._scores.canvas.view.setYRange(0, 1)
        self._scores.canvas.view.setXLink(self._losses.canvas.view)
        layout = in_column(self, self._losses, self._scores)
        self._scores.hide()
        self._others = _Plot("Other metrics", {})
        self._others.setToolTip("Other metrics of the training, such as the parts of the loss.")
        self._others.canvas.view.setXLink(self._losses.canvas.view)
        self.more = Section("More curves", self._others)
        layout.addWidget(self.more)
        self.more.hide()
        self.logarithmic.toggled.connect(self._losses.canvas.set_logarithmic)

    def add(self, events: Iterable[Event]) -> None:
        """Draw what these events say, in addition to what is drawn."""
        for event in events:
            if isinstance(event, EpochEnded):
                self._best = event.epoch if event.is_best else self._best
                self._add(event.epoch, event.metrics)
            elif isinstance(event, Evaluated) and event.dataset == "validation":
                self._add_scores(event)
            elif isinstance(event, Baseline):
                self._baseline = self._baseline or event  # others are for the verdict
        self._draw()

    def _add_scores(self, event: Evaluated) -> None:
        if event.epoch is not None:
            self._scored = event
            self._add(event.epoch, _drawn(event.scores))
        elif self._best is not None and _SCORES.keys().isdisjoint(self._values):
            self._scored = event
            self._add(self._best, _drawn(event.scores))  # the best epoch's weights become the model

    def warm_up(self) -> None:
        """Draw curves that mean nothing, until `clear`."""
        self._values = {name: {1: 1.0, 2: 0.5} for name in _LOSSES}
        self._best = 2
        self._draw()

    def clear(self) -> None:
        """Draw nothing any more."""
        self._values, self._best, self._baseline, self._scored = {}, None, None, None
        self._draw()

    def points(self) -> dict[str, list[tuple[int, float]]]:
        """Return what is drawn: epochs and values of each curve by the metric's name, such as ``val_loss``."""
        return {name: list(values.items()) for name, values in self._values.items()}

    def _add(self, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._values.setdefault(name, {})[epoch] = value

    def _draw(self) -> None:
        self._losses.draw(self._values, self._best)
        others = _looks(self._values.keys() - _LOSSES.keys() - _SCORES.keys())
        self.more.setVisible(bool(others))
        self._others.show_curves(others)
        self._others.draw(self._values, self._best)
        scored = not _SCORES.keys().isdisjoint(self._values)
        self._scores.setVisible(scored)
        if scored:
            self._scores.draw(self._values, self._best)
            self._scores.entitle(_title(self._scored))
            self._scores.draw_level(*_level(self._baseline, self._scored))
            self._scores.setToolTip(_SCORES_TIP + (f" Baseline: {self._baseline.name}." if self._baseline else ""))


class _Plot(QWidget):
    """A plot below a line that names its curves, or shows their values where the mouse is."""

    def __init__(self, title: str, looks: Mapping[str, _Look], corner: QWidget | None = None) -> None:
        super().__init__()
        self._title, self._looks = title, dict(looks)
        self._values: Values = {}
        self._best: int | None = None
        self._hovered: int | None = None
        self.head = QLabel()
        self.canvas = Canvas()
        self._curves = {name: self._new_curve() for name in looks}
        self._spot = self.canvas.add_curve(pen=None, symbol="o", symbolSize=8)
        self._best_line, self._cursor = self.canvas.add_upright(), self.canvas.add_upright()
        self._level, self._level_name = self.canvas.add_level(), ""
        self._arrange(corner)
        self.canvas.scene().sigMouseMoved.connect(self._hover)
        on_theme_change(self, self._paint)
        self._paint()

    def show_curves(self, looks: Mapping[str, _Look]) -> None:
        """Have these curves, and no others."""
        if looks == self._looks:
            return
        for name in self._curves.keys() - looks.keys():
            self._curves[name].setData([], [])
        self._looks = dict(looks)
        self._curves |= {name: self._new_curve() for name in looks.keys() - self._curves.keys()}
        self._paint()

    def _new_curve(self) -> Any:
        return self.canvas.add_curve(antialias=True, autoDownsample=True)

    def draw(self, values: Values, best: int | None) -> None:
        """Draw these values, and mark the best epoch."""
        self._values, self._best = values, best
        for name in self._looks:
            x, y = _arrays(values.get(name, {}))
            self._curves[name].setData(x, y, symbol="o" if len(x) == 1 else None)  # a single point makes no line
        main = values.get(self._main() or "", {})
        self._spot.setData(*_arrays({best: main[best]} if best is not None and best in main else {}))
        self._best_line.setVisible(best is not None)
        self._best_line.setPos(best or 0)
        self._tell()

    def _main(self) -> str | None:
        """Return the curve that the best epoch is marked on, if there is one that matters most."""
        bold = [name for name, look in self._looks.items() if look.bold]
        return bold[0] if len(bold) == 1 else None

    def entitle(self, title: str) -> None:
        """Name the plot."""
        self._title = title
        self._tell()

    def draw_level(self, value: float | None, name: str) -> None:
        """Draw a dashed line at a value, and name it; none without a value."""
        self._level_name = "" if value is None else name
        self._level.setVisible(value is not None)
        self._level.setPos(value or 0)
        self._tell()

    def leaveEvent(self, event: QEvent | None) -> None:
        """Name the curves again once the mouse has left."""
        self._hovered = None
        self._tell()
        super().leaveEvent(event)

    def _hover(self, position: QPointF) -> None:
        view = self.canvas.view
        epochs = np.array(sorted({epoch for name in self._looks for epoch in self._values.get(name, {})}))
        inside = view.sceneBoundingRect().contains(position) and epochs.size
        x = view.mapSceneToView(position).x()
        self._hovered = int(epochs[np.abs(epochs - x).argmin()]) if inside else None
        self._tell()

    def _tell(self) -> None:
        """Name the curves, or show their values at the epoch below the mouse."""
        colour, at = colours(), self._hovered
        self._cursor.setVisible(at is not None)
        self._cursor.setPos(at or 0)
        parts = [f"<b>{self._title}</b>" if at is None else f"<b>epoch {at}</b>"]
        for name, look in self._looks.items():
            if name in self._values:
                sign = "━" if look.bold else "─"
                text = f"{sign} {look.name}" if at is None else f"{look.name} {_number(self._values[name].get(at))}"
                parts.append("<br>" * look.begins_line + coloured(text, look.paint(colour)))
        if at is None and self._best is not None and self._main() is not None:
            parts.append(coloured(f"●\u00a0best\u00a0{self._best}", colour.best))
        if at is None and self._level_name:
            parts.append(coloured(f"┄\u00a0{self._level_name}", colour.text))
        self.head.setText("&nbsp; ".join(parts))

    def _paint(self) -> None:
        colour = colours()
        self.canvas.paint_axes(colour)
        for name, look in self._looks.items():
            own = look.paint(colour)
            self._curves[name].setPen(pyqtgraph.mkPen(own, width=2.5 if look.bold else 1))
            self._curves[name].setSymbolBrush(own)
            self._curves[name].setSymbolPen(own)
        self._spot.setSymbolBrush(colour.best)
        self._spot.setSymbolPen(colour.best)
        self._best_line.setPen(pyqtgraph.mkPen(colour.best, style=Qt.PenStyle.DashLine))
        self._cursor.setPen(pyqtgraph.mkPen(colour.text))
        self._level.setPen(pyqtgraph.mkPen(colour.text, style=Qt.PenStyle.DashLine))
        self._tell()

    def _arrange(self, corner: QWidget | None) -> None:
        self.head.setWordWrap(True)
        self.head.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        foot = QHBoxLayout()
        foot.addWidget(QLabel("epoch"), stretch=1, alignment=Qt.AlignmentFlag.AlignHCenter)
        if corner is not None:
            foot.addWidget(corner)
        in_column(self, self.head, self.canvas, foot, spacing=2)


def _drawn(scores: Mapping[str, float]) -> Mapping[str, float]:
    """Return what is drawn of the scores: of one IoU threshold, and no counts."""
    return {name: value for name, value in scores.items() if name in _SCORES}


def _looks(names: Set[str]) -> dict[str, _Look]:
    """Return the looks of an engine's own metrics: a validation's is bold, in the colour of what it validates."""
    stems = sorted({name.removeprefix("val_") for name in names})
    looks: dict[str, _Look] = {}
    for number, stem in enumerate(stems):
        title, is_alone = stem.replace("_", " "), stem not in names
        looks[stem] = _Look(title, number, begins_line=True)
        told = f"validation {title}" if is_alone else "validation"
        looks[f"val_{stem}"] = _Look(told, number, bold=True, begins_line=is_alone)
    return {name: look for name, look in looks.items() if name in names}


def _title(scored: Evaluated | None) -> str:
    """Return what the scores are of: a verdict on more images may say something else."""
    return "IoU 0.5" if scored is None else f"IoU 0.5, {counted(scored.images, 'image')}"


def _level(baseline: Baseline | None, scored: Evaluated | None) -> tuple[float | None, str]:
    """Return where the line to beat is, on the images of the curves where that is known, and what it is called."""
    if baseline is None or "ap50" not in baseline.scores:
        return None, ""
    if scored is None or scored.images == baseline.images:
        return baseline.scores["ap50"], "baseline"
    if scored.baseline is not None:
        return scored.baseline, "baseline"
    return baseline.scores["ap50"], f"baseline ({counted(baseline.images, 'image')})"


def _arrays(values: Mapping[int, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return epochs and values; what is not a finite number leaves a gap."""
    x = np.fromiter(values.keys(), np.float64, len(values))
    y = np.fromiter(values.values(), np.float64, len(values))
    y[~np.isfinite(y)] = np.nan
    return x, y


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
