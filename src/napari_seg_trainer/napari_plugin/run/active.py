"""The training that goes on now, as a line in every dock."""

import threading
import time
from collections.abc import Callable, Generator
from html import escape

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QLabel, QMainWindow

from napari_seg_trainer.napari_plugin.parts.background import lent_thread, step_by_step
from napari_seg_trainer.napari_plugin.parts.docks import at_the_end, window_of
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured_html, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import clock
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.summaries import ActiveTraining, watch_active

TICK = 1000
"""Milliseconds after which the time that is left is shown anew."""


class ActiveLine(QLabel):
    """One line about the training that goes on, a link to it; hidden where there is none.

    Parameters
    ----------
    clicked : callable
        Called with the `Run` that the user wants to see.
    """

    def __init__(self, clicked: Callable[[Run], object]) -> None:
        super().__init__()
        wrap(self)
        self._clicked = clicked
        self._active: ActiveTraining | None = None
        self._watcher: _Watcher | None = None
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.setToolTip("Click to show this training.")
        self.linkActivated.connect(self._follow_link)
        self._clock = QTimer(self)
        self._clock.timeout.connect(self._paint)
        self._clock.start(TICK)
        on_theme_change(self, self._paint)
        self._paint()

    @property
    def words(self) -> str:
        """What it says; empty where nothing is trained."""
        if self._active is None:
            return ""
        summary, end = self._active.summary, self._active.end
        left = "" if end is None else f", {clock(max(0.0, end - time.time()))} left"
        done = min(summary.done + 1, summary.epochs) if summary.epochs else summary.done + 1
        epoch = f"epoch {done} of {summary.epochs}" if summary.epochs else f"epoch {done}"
        return f"Training '{summary.model}': {epoch}{left}"

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the trainings from now on."""
        super().showEvent(event)
        window = window_of(self)
        if self._watcher is None and window is not None:
            self._watcher = _watcher_of(window)
            self._watcher.changed.connect(self.follow)
            self._watcher.begin()
            self.follow(self._watcher.active)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Follow them no longer."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.changed.disconnect(self.follow)
            watcher.end()
        super().hideEvent(event)

    def follow(self, active: ActiveTraining | None) -> None:
        """Show this training, or none."""
        self._active = active
        self._paint()

    def _follow_link(self, _link: str) -> None:
        if self._active is not None:
            self._clicked(self._active.summary.run)

    def _paint(self) -> None:
        words = self.words
        self.setText(coloured_html(f'● <a href="run">{escape(words)}</a>', colours().text) if words else "")
        # a widget that is hidden is never shown, and so would never find its window
        self.setMaximumHeight(16777215 if words else 0)


class _Watcher(QObject):
    """Watches in one thread for all docks of a window, as long as one is shown."""

    changed = Signal(object)

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self._window, self._lines = window, 0
        self.active: ActiveTraining | None = None
        self._leave = threading.Event()
        at_the_end(window, self._stop)

    def begin(self) -> None:
        """Watch for one line more."""
        self._lines += 1
        if self._lines == 1:
            leave = self._leave = threading.Event()
            step_by_step(self._window, lambda: _watch(leave), self._take)

    def end(self) -> None:
        """Watch for one line less."""
        self._lines -= 1
        if not self._lines:
            self._stop()
            self.active = None

    def _stop(self) -> None:
        self._leave.set()

    def _take(self, active: ActiveTraining | None) -> None:
        if active != self.active:
            self.active = active
            self.changed.emit(active)


def _watcher_of(window: QMainWindow) -> _Watcher:
    return next(iter(window.findChildren(_Watcher)), None) or _Watcher(window)


def _watch(leave: threading.Event) -> Generator[ActiveTraining | None, None, None]:
    with lent_thread():
        yield from watch_active(leave)
