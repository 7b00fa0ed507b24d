"""How far a segmentation is, and what came of it."""

import statistics
import time
from dataclasses import dataclass, field

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QProgressBar, QWidget

from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import clock, in_column
from napari_seg_trainer.napari_plugin.segment.suggesting import SuggestTask
from napari_seg_trainer.napari_plugin.segment.tasks import FolderTask, ItemDone, LayerTask, Task

PARTS = 1000
"""Of the bar, for each step."""
PAUSE = 250
"""Milliseconds after which the bar is drawn again: the computation reports from another thread."""
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
        When, by `time.monotonic`.
    steps : list of ItemDone
        What is done.
    stopped : bool
        Whether the user stopped it.
    computed : float
        How many steps are computed, parts of one included.
    """

    task: Task | SuggestTask
    loading: bool
    began: float = field(default_factory=time.monotonic)
    steps: list[ItemDone] = field(default_factory=list)
    stopped: bool = False
    computed: float = 0.0
    _first: tuple[float, float] | None = None  # a time, and how many steps were computed by then

    def tell(self, computed: float) -> None:
        """Take note of how many steps are computed; from any thread."""
        if computed > 0:  # until then the model may have been loaded
            self._first = self._first or (time.monotonic(), computed)
        self.computed = computed

    def done(self) -> float:
        """Return how many steps are done, parts of one included."""
        return max(self.computed, len(self.steps))

    @property
    def _what(self) -> str:
        return "frame" if isinstance(self.task, LayerTask) else "image"

    def progress(self) -> str:
        """Return what is being done, and how long it will still take as soon as that is known."""
        part, total = self.done(), self.task.steps
        if not part and self.loading:
            return "Loading the model…"
        verb = "Checking" if isinstance(self.task, SuggestTask) else "Segmenting"
        text = "Segmenting…" if total == 1 else f"{verb} {self._what} {min(int(part) + 1, total)} of {total}"
        if part % 1:  # an image of several tiles
            text = f"Segmenting: {part:.0%}" if total == 1 else f"{text} ({part % 1:.0%})"
        each = self._seconds_each()
        return text if each is None else f"{text}, {clock(each * (total - part))} left"

    def _seconds_each(self) -> float | None:
        """Return how long a step takes; None as long as that is not known."""
        seconds = [step.seconds for step in self.steps[1:]][-_RECENT:]  # the first one may have loaded the model
        if seconds:
            return statistics.median(seconds)
        if self._first is None or self.computed <= self._first[1]:
            return None
        began, before = self._first
        return (time.monotonic() - began) / (self.computed - before)

    def outcome(self) -> str:
        """Return what came of it."""
        total = self.task.steps
        done = [step for step in self.steps if not step.problem]
        if not done and self.stopped:
            return "Stopped before anything was segmented."
        objects = sum(step.objects for step in done)
        seconds = time.monotonic() - self.began
        took = f"{seconds:.1f} s" if seconds < 100 else clock(seconds)
        if isinstance(self.task, SuggestTask):
            return f"{'Stopped: ' if self.stopped else ''}Checked {len(done)} of {total} images in {took}."
        text = "1 object" if objects == 1 else f"{objects:,} objects"
        if total > 1:
            part = f"{total} {self._what}s" if len(done) == total else f"{len(done)} of {total} {self._what}s"
            text += f" in {part}"
        text += f" in {took}"
        text += ", including loading the model" if self.loading and done else ""
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
        self._timer = QTimer(self)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._look)
        self.line, self.problem = wrap(QLabel()), wrap(QLabel())
        in_column(self, self.bar, self.line, self.problem)
        self.hide()
        on_theme_change(self, self._paint)

    def show_tally(self, tally: Tally) -> None:
        """Show how far it is, until there is an outcome."""
        self._tally = tally
        self._timer.start()
        total, done = tally.task.steps, tally.done()
        is_known = done > 0 or (total > 1 and not tally.loading)
        self.bar.setRange(0, total * PARTS if is_known else 0)  # 0 means "busy"
        self.bar.setValue(round(done * PARTS))
        self.bar.show()
        self.line.setText(tally.progress())
        self.line.show()
        self._problem = self._warning = ""
        self._paint()
        self.show()

    def show_outcome(self, tally: Tally, problem: str) -> None:
        """Show what came of it, and what went wrong."""
        self._timer.stop()
        self.bar.hide()
        self.line.setText(tally.outcome() if tally.steps or tally.stopped else "")
        self.line.setVisible(bool(self.line.text()))
        self._problem = " ".join(filter(None, (problem, tally.problems())))
        self._warning = tally.warnings()
        self._paint()

    def show_problem(self, problem: str) -> None:
        """Show why nothing was begun."""
        self._timer.stop()
        self.bar.hide()
        self.line.hide()
        self._problem, self._warning = problem, ""
        self._paint()
        self.show()

    def advise(self, text: str) -> None:
        """Say what to do now, behind what came of it."""
        self.line.setText(f"{self.line.text()} {text}")

    def _look(self) -> None:
        if self._tally is not None:
            self.show_tally(self._tally)

    def _paint(self) -> None:
        parts = ((self._problem, colours().error), (self._warning, colours().warning))
        self.problem.setText("<br>".join(coloured(text, colour) for text, colour in parts if text))
        self.problem.setVisible(bool(self._problem or self._warning))
