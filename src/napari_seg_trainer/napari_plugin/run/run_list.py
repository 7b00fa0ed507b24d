"""The list of all runs."""

import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QListWidget, QListWidgetItem, QWidget

from napari_seg_trainer.napari_plugin.parts.background import in_background, lent_thread, step_by_step
from napari_seg_trainer.napari_plugin.parts.docks import at_the_end
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours
from napari_seg_trainer.napari_plugin.parts.widgets import ask, in_column, push_button
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run, RunState
from napari_seg_trainer.runs.summaries import RunSummary, watch_runs

HEIGHT = 180
"""Of the list, in pixels."""


class RunList(QWidget):
    """All runs, the newest first, as they are now; it looks at the disk only while it is visible, in a thread.

    Attributes
    ----------
    chosen : Signal
        A `Run` that the user wants to see.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._summaries: Sequence[RunSummary] = ()
        self._leave = threading.Event()
        self.list = QListWidget()
        self.list.setFixedHeight(HEIGHT)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setToolTip("All trainings, newest first; double-click one to open it.")
        self.line = wrap(QLabel("Looking…"))
        self.open_button = push_button("Open", "Opens the selected training: curves, messages, result.", self._open)
        self.resume_button = push_button("Resume", "Continues a training that ended without a model.", self._resume)
        self.keep_button = push_button(
            "Keep the best", "Makes a model from the best epoch so far, without further training.", self._keep
        )
        self.delete_button = push_button(
            "Delete", "Deletes the training's curves and weights; its model is kept.", self._ask_to_delete
        )
        self._arrange()
        self.list.itemSelectionChanged.connect(self._offer)
        self.list.itemDoubleClicked.connect(lambda _item: self._open())
        self._offer()
        at_the_end(self, self._stop_looking)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look at the runs from now on."""
        super().showEvent(event)
        self._watch()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Look at the runs no longer."""
        self._stop_looking()
        super().hideEvent(event)

    def _stop_looking(self) -> None:
        self._leave.set()

    def _watch(self) -> None:
        self._stop_looking()
        leave = self._leave = threading.Event()
        step_by_step(self, lambda: _watch(leave), self._show, failed=self._tell)

    def summaries(self) -> Sequence[RunSummary]:
        """Return what is shown."""
        return self._summaries

    def select(self, run: Run) -> None:
        """Choose a run in the list."""
        for row, summary in enumerate(self._summaries):
            if summary.run == run:
                self.list.setCurrentRow(row)

    def _arrange(self) -> None:
        buttons = QGridLayout()
        for place, button in enumerate((self.open_button, self.resume_button, self.keep_button, self.delete_button)):
            buttons.addWidget(button, place // 2, place % 2)
        in_column(self, self.list, buttons, self.line)

    def _show(self, summaries: Sequence[RunSummary] | None) -> None:
        if summaries is None:
            return
        before = self._selected()
        self._summaries = summaries
        self.list.clear()
        for summary in summaries:
            item = QListWidgetItem(summary.text)
            progress = f", epoch {summary.done} of {summary.epochs}" if summary.epochs else ""
            item.setToolTip(f"{summary.model}: {summary.state}{progress}")
            self.list.addItem(item)
        if before is not None:
            self.select(before.run)
        self.line.setText("" if summaries else "There are no trainings yet.")
        self._offer()

    def _selected(self) -> RunSummary | None:
        row = self.list.currentRow()
        return self._summaries[row] if self.list.selectedItems() and row < len(self._summaries) else None

    def _offer(self) -> None:
        chosen = self._selected()
        active = chosen is not None and chosen.state in ACTIVE_STATES
        self.open_button.setEnabled(chosen is not None)
        self.delete_button.setEnabled(chosen is not None and not active)
        can_go_on = chosen is not None and not active and chosen.state != RunState.FINISHED
        self.resume_button.setEnabled(can_go_on)
        self.keep_button.setEnabled(can_go_on and chosen is not None and chosen.done > 0)

    def _open(self) -> None:
        chosen = self._selected()
        if chosen is not None:
            self.chosen.emit(chosen.run)

    def _resume(self) -> None:
        chosen = self._selected()
        if chosen is not None:
            run = chosen.run
            self._do(lambda: _resumed(run), lambda _: self.chosen.emit(run))

    def _keep(self) -> None:
        chosen = self._selected()
        if chosen is not None:
            run = chosen.run
            self._do(lambda: _kept(run), lambda _: self.chosen.emit(run))

    def _ask_to_delete(self) -> None:
        chosen = self._selected()
        if chosen is not None:
            question = (
                f"Delete the training of '{chosen.model}'? Its curves and weights are deleted; its model is kept."
            )
            run = chosen.run
            ask(self, question, "Delete the training", lambda: self._do(lambda: _deleted(run)))

    def _do(self, function: Callable[[], object], done: Callable[[Any], None] = lambda _: None) -> None:
        self._tell("")
        in_background(self, function, done, self._tell)

    def _tell(self, problem: str) -> None:
        self.line.setText(coloured(problem, colours().error) if problem else "")


def _watch(leave: threading.Event) -> Generator[list[RunSummary] | None, None, None]:
    with lent_thread():
        yield from watch_runs(leave)


def _resumed(run: Run) -> None:
    from napari_seg_trainer.runs.control import resume  # what trains is slow to import

    resume(run)


def _kept(run: Run) -> None:
    from napari_seg_trainer.runs.control import keep

    keep(run)


def _deleted(run: Run) -> None:
    from napari_seg_trainer.runs.control import delete_run

    delete_run(run)
