"""How far a segmentation is, and what came of it."""

import statistics
import time
from dataclasses import dataclass, field

from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_seg_trainer.napari_plugin.parts.clock import clock
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.segment.suggesting import SuggestTask
from napari_seg_trainer.napari_plugin.segment.tasks import FolderTask, LayerTask, Step, Task

_RECENT = 9


@dataclass
class Tally:
    """What a task has come to so far.

    Attributes
    ----------
    task : Task or SuggestTask
    loading : bool
        Whether the first step also loads the model.
    began : float
        When, as `time.monotonic` tells it.
    steps : list of Step
        What is done.
    stopped : bool
        Whether the user stopped it.
    """

    task: Task | SuggestTask
    loading: bool
    began: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)
    stopped: bool = False

    @property
    def _what(self) -> str:
        return "frame" if isinstance(self.task, LayerTask) else "image"

    def progress(self) -> str:
        """Return what is being done, and from the third step on how long it will still take."""
        done, total = len(self.steps), self.task.steps
        if not done and self.loading:
            return "Loading the model…"
        verb = "Looking at" if isinstance(self.task, SuggestTask) else "Segmenting"
        text = "Segmenting…" if total == 1 else f"{verb} {self._what} {min(done + 1, total)} of {total}"
        seconds = [step.seconds for step in self.steps[1:]][-_RECENT:]  # the first one may have loaded the model
        return f"{text}, {clock(statistics.median(seconds) * (total - done))} left" if seconds else text

    def outcome(self) -> str:
        """Return what came of it."""
        total = self.task.steps
        done = [step for step in self.steps if not step.problem]
        if not done and self.stopped:
            return "Stopped. Nothing was segmented yet."
        objects = sum(step.objects for step in done)
        seconds = time.monotonic() - self.began
        took = f"{seconds:.1f} s" if seconds < 100 else clock(seconds)
        if isinstance(self.task, SuggestTask):
            return f"{'Stopped: ' if self.stopped else ''}Looked at {len(done)} of {total} images in {took}."
        text = "1 object" if objects == 1 else f"{objects:,} objects"
        if total > 1:
            part = f"{total} {self._what}s" if len(done) == total else f"{len(done)} of {total} {self._what}s"
            text += f" in {part}"
        text += f" in {took}"
        text += ", with loading the model" if self.loading and done else ""
        where = f" The labels are in '{self.task.output}'." if isinstance(self.task, FolderTask) and done else ""
        return f"{'Stopped: ' if self.stopped else ''}{text}.{where}"

    def problems(self) -> str:
        """Return what could not be segmented, the first few in words."""
        failed = [step for step in self.steps if step.problem]
        if len(failed) <= 1:
            return failed[0].problem if failed else ""
        return f"{len(failed)} {self._what}s could not be segmented. The first: {failed[0].problem}"

    def warnings(self) -> str:
        """Return why the result may be poor."""
        doubtful = [step.warning for step in self.steps if step.warning]
        if not doubtful:
            return ""
        which = "All" if len(doubtful) == self.task.steps else f"{len(doubtful)} of {self.task.steps}"
        return doubtful[0] if self.task.steps == 1 else f"{which} {self._what}s need a look. {doubtful[0]}"


class SegmentProgress(QWidget):
    """A bar and a line while something is segmented, and a line about the last one after."""

    def __init__(self) -> None:
        super().__init__()
        self._tally: Tally | None = None
        self._problem = self._warning = ""
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.line, self.problem = wrap(QLabel()), wrap(QLabel())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.bar, self.line, self.problem):
            column.addWidget(widget)
        self.hide()
        on_theme_change(self, self._paint)

    def show_tally(self, tally: Tally) -> None:
        """Show how far it is."""
        total = tally.task.steps
        self.bar.setRange(0, total if total > 1 and (tally.steps or not tally.loading) else 0)  # 0 means "busy"
        self.bar.setValue(len(tally.steps))
        self.bar.show()
        self.line.setText(tally.progress())
        self.line.show()
        self._problem = self._warning = ""
        self._paint()
        self.show()

    def show_outcome(self, tally: Tally, problem: str) -> None:
        """Show what came of it, and what went wrong."""
        self.bar.hide()
        self.line.setText(tally.outcome() if tally.steps or tally.stopped else "")
        self.line.setVisible(bool(self.line.text()))
        self._problem = " ".join(filter(None, (problem, tally.problems())))
        self._warning = tally.warnings()
        self._paint()

    def show_problem(self, problem: str) -> None:
        """Show why nothing was begun."""
        self.bar.hide()
        self.line.hide()
        self._problem, self._warning = problem, ""
        self._paint()
        self.show()

    def advise(self, text: str) -> None:
        """Say what to do now, behind what came of it."""
        self.line.setText(f"{self.line.text()} {text}")

    def _paint(self) -> None:
        parts = ((self._problem, colours().error), (self._warning, colours().warning))
        self.problem.setText("<br>".join(coloured(text, colour) for text, colour in parts if text))
        self.problem.setVisible(bool(self._problem or self._warning))
