"""How far a run is."""

import time
from collections.abc import Iterable

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QGridLayout, QLabel, QProgressBar, QSizePolicy, QWidget

from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import clock
from napari_seg_trainer.napari_plugin.run.texts import stage_text
from napari_seg_trainer.schema.events import EpochEnded, Event, Progress, Started

_FINE = 1000
"""Parts that a bar is divided into."""
_SILENT = 3.0
"""Seconds without news after which a stage shows how long it has taken, and its bar that something is going on."""


class RunProgress(QWidget):
    """A bar for the whole training with the time left, and one for the epoch or what else is being done.

    Attributes
    ----------
    epochs : int
        How many there will be, at most, as far as is known; 0 until then.
    ended : int
        How many of them are over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.part = _bar("Progress of the training."), _bar("Progress of this stage.")
        self.epoch_line, self.stage_line, self.time_line = QLabel(), wrap(QLabel()), QLabel()
        self.time_line.setToolTip("Estimated from recent epochs.")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.epoch_line, 0, 0)
        layout.addWidget(self.whole, 0, 1)
        layout.addWidget(self.time_line, 0, 2, Qt.AlignmentFlag.AlignRight)
        layout.addWidget(self.stage_line, 1, 0, 1, 3)
        layout.addWidget(self.part, 2, 0, 1, 3)
        layout.setColumnStretch(1, 1)
        self.clear()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._timer.start(1000)

    def clear(self) -> None:
        """Show that nothing has begun."""
        self.epochs = self.ended = 0
        self._has_begun = self._is_limit = False
        self._fraction = 0.0
        self._end: float | None = None
        self._stage, self._part, self._since = "", 0.0, 0.0
        self._tell("starting…", 0.0)

    def add(self, events: Iterable[Event]) -> None:
        """Show what these events say."""
        stage, part = self._stage, self._part
        for event in events:
            self._follow_time(event)
            if isinstance(event, Started):
                self.epochs, self.ended, self._fraction = event.epochs or 0, event.epoch - 1, 0.0
                self._has_begun, self._is_limit = True, event.is_limit
                stage, part = f"on {event.device}", 0.0
            elif isinstance(event, EpochEnded):
                self.ended, self._fraction, part = event.epoch, 0.0, 1.0
                if event.epochs is not None:
                    self._is_limit = self._is_limit and event.epochs == self.epochs
                    self.epochs = event.epochs
            elif isinstance(event, Progress):
                part = event.done / event.total if event.total else 0.0
                stage = stage_text(event)
                self._fraction = part if event.epoch is not None else self._fraction
        self._tell(stage, part)

    def _tell(self, stage: str, part: float) -> None:
        # else each bar draws itself at once, and with it the whole window
        self.setUpdatesEnabled(False)
        if (stage, part) != (self._stage, self._part):
            self._stage, self._part, self._since = stage, part, time.monotonic()
        self._show_stage()
        if self.epochs:
            of = "of at most" if self._is_limit else "of"
            self.epoch_line.setText(f"epoch {min(self.ended + 1, self.epochs)} {of} {self.epochs}")
            self.whole.setValue(round((self.ended + self._fraction) / self.epochs * _FINE))
        else:
            self.epoch_line.setText(f"epoch {self.ended + 1}" if self._has_begun else "preparing")
            self.whole.setValue(0)
        self._tell_time()
        self.setUpdatesEnabled(True)

    def _tick(self) -> None:
        self._tell_time()
        self._show_stage()

    def _follow_time(self, event: Event) -> None:
        """Between two estimates of the training, the time runs."""
        if isinstance(event, Started):
            self._end = None
        elif isinstance(event, EpochEnded | Progress) and event.seconds_left is not None:
            self._end = event.time.timestamp() + event.seconds_left

    def _show_stage(self) -> None:
        """Show how far the stage is; where that is not known, that it goes on, and for how long it has."""
        silent = time.monotonic() - self._since
        self.stage_line.setText(f"{self._stage} ({clock(silent)})" if silent >= _SILENT else self._stage)
        is_known = 0 < self._part < 1 and silent < _SILENT
        self.part.setRange(0, _FINE if is_known else 0)  # 0 means "busy"
        self.part.setValue(round(self._part * _FINE))

    def _tell_time(self) -> None:
        left = None if self._end is None else max(0.0, self._end - time.time())
        if not self._has_begun or (self.epochs and self.ended >= self.epochs):
            self.time_line.setText("")
        else:
            self.time_line.setText("measuring…" if left is None else f"{clock(left)} left")


def _bar(tooltip: str) -> QProgressBar:
    bar = QProgressBar()
    bar.setRange(0, _FINE)
    bar.setTextVisible(False)
    bar.setToolTip(tooltip)
    bar.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return bar
