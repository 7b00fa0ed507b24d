"""Follows a run."""

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass

from napari.utils import progress
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.napari_plugin.parts.background import lent_thread, step_by_step
from napari_seg_trainer.napari_plugin.parts.docks import at_the_end
from napari_seg_trainer.runs.run import Run, RunState
from napari_seg_trainer.schema.events import Event

BATCH = 1000
"""The largest batch of events; the viewer draws once for each batch."""
POLL_SECONDS = 0.2
DRAW_SECONDS = 1.0


class RunMonitor(QObject):
    """Follows one run at a time, in a thread.

    Parameters
    ----------
    owner : QWidget
        The following ends with it.

    Attributes
    ----------
    events : Signal
        A list of events in their order: first what has happened already, then what happens.
    ended : Signal
        The run's `RunState`, after its last events.
    failed : Signal
        One line for the user: the run cannot be read any more.
    """

    events = Signal(list)
    ended = Signal(object)
    failed = Signal(str)

    def __init__(self, owner: QWidget) -> None:
        super().__init__(owner)
        self._owner = owner
        self._leave = threading.Event()
        at_the_end(owner, self.stop)

    def follow(self, run: Run) -> None:
        """Follow this run from its beginning, and no other any more."""
        self.stop()
        leave = self._leave = threading.Event()

        def step(events: list[Event]) -> None:
            if events and not leave.is_set():
                self.events.emit(events)

        def done(state: RunState) -> None:
            if not leave.is_set():
                self.ended.emit(state)

        def failed(problem: str) -> None:
            if not leave.is_set():
                self.failed.emit(problem)

        step_by_step(self._owner, lambda: _batches(run, leave), step, done, failed)

    def stop(self) -> None:
        """Follow no longer: nothing is reported any more, and the thread ends within a moment."""
        self._leave.set()


def _batches(run: Run, leave: threading.Event) -> Generator[list[Event], None, RunState]:
    with lent_thread():
        batch: list[Event] = []
        told = time.monotonic()
        for event in run.follow(POLL_SECONDS):
            if leave.is_set():
                break
            if event is not None:
                batch.append(event)
            if event is None or len(batch) >= BATCH or time.monotonic() - told >= POLL_SECONDS:
                yield batch  # an empty one, too: the worker looks only here whether it is to quit
                batch = []
                told = time.monotonic()
        yield batch
        return run.state()


@dataclass(frozen=True)
class _Shown:
    """What a bar shows."""

    text: str
    done: int
    total: int


class ActivityBar:
    """A run's bar in napari's activity dock; to be used in the viewer's thread only."""

    def __init__(self, owner: QWidget) -> None:
        self._bar: progress | None = None
        self._wanted: _Shown | None = None
        self._shown: _Shown | None = None
        self._is_drawing = False
        self._drawn = 0.0
        at_the_end(owner, self.close)

    def show(self, text: str, done: int, total: int) -> None:
        """Show how much is done; call it last, as napari handles the events that wait while it draws the bar.

        As that takes its time, a bar is drawn once in `DRAW_SECONDS` at most.
        """
        if self._bar is None or time.monotonic() - self._drawn >= DRAW_SECONDS:
            self._wanted = _Shown(text, done, total)
            self._draw()

    def close(self) -> None:
        """Take the bar away."""
        self._wanted = None
        self._draw()

    def _draw(self) -> None:
        if self._is_drawing:  # called by one of those events: the loop below, which has been interrupted, sees it
            return
        self._is_drawing = True
        try:
            while self._shown != self._wanted:
                self._change(self._wanted)
        finally:
            self._is_drawing = False
            self._drawn = time.monotonic()

    def _change(self, wanted: _Shown | None) -> None:
        before, self._shown = self._shown, wanted
        if wanted is None:
            if self._bar is not None:
                self._bar.close()
            self._bar = None
            return
        if self._bar is None:
            self._bar = progress(total=wanted.total, desc=wanted.text)
        elif before is None or before.text != wanted.text:
            self._bar.set_description(wanted.text)
        if self._bar.total != wanted.total:
            self._bar.total = wanted.total
        if self._bar.n != wanted.done:
            self._bar.update(wanted.done - self._bar.n)
