"""One run: how far it is, its curves, what it says, how it ended."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QLabel

from napari_seg_trainer.library.library import LibraryModel, ModelLibrary
from napari_seg_trainer.library.reports import report_of
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.docks import SEGMENT, open_dock, opened
from napari_seg_trainer.napari_plugin.parts.form import page_link, wrap
from napari_seg_trainer.napari_plugin.parts.panel import Panel
from napari_seg_trainer.napari_plugin.parts.widgets import Section, ask, push_button
from napari_seg_trainer.napari_plugin.run.closing import stop_at_closing, stops_at_closing
from napari_seg_trainer.napari_plugin.run.curves import Curves
from napari_seg_trainer.napari_plugin.run.log import RunLog
from napari_seg_trainer.napari_plugin.run.monitor import ActivityBar, RunMonitor
from napari_seg_trainer.napari_plugin.run.outcome import RunOutcome
from napari_seg_trainer.napari_plugin.run.preview import RunPreview
from napari_seg_trainer.napari_plugin.run.progress import RunProgress
from napari_seg_trainer.napari_plugin.run.texts import interrupted_text, scores_text, success_text
from napari_seg_trainer.napari_plugin.run.worst import WorstImages
from napari_seg_trainer.pages import VERDICT
from napari_seg_trainer.runs.baseline import keep_simple_method
from napari_seg_trainer.runs.control import cancel, keep, resume
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run, RunState
from napari_seg_trainer.schema.events import (
    TERMINAL_EVENTS,
    EpochEnded,
    Evaluated,
    Event,
    Failed,
    Finished,
    Stopped,
    Verdict,
)
from napari_seg_trainer.schema.job import TrainingJob

if TYPE_CHECKING:
    import napari

DRAWN_MILLISECONDS = 60
_HEADLINES = 2
"""Sentences of a verdict that are shown in large: how good the model is, and how it compares."""


class RunView(Panel):
    """Shows one run at a time, from its beginning to its end.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    train_again : Signal
        The name of a model to start the next training from.
    change : Signal
        A `TrainingJob` to change and try again.
    ended : Signal
        The `RunState` at which the run has come to an end.
    """

    train_again = Signal(str)
    change = Signal(object)
    ended = Signal(object)

    def __init__(self, viewer: "napari.Viewer") -> None:
        super().__init__("Stop and keep the best", "Ends the training and keeps the best epoch so far as the model.")
        self._viewer = viewer
        self._run: Run | None = None
        self._job: TrainingJob | None = None
        self._last: Finished | Stopped | Failed | None = None
        self._model = ""
        self._evaluated: Evaluated | None = None
        self._interim: tuple[str, ...] = ()
        self._is_live, self._worst, self._is_simple_better = False, "", False
        self._headlines: tuple[str, ...] = ()
        self._make_widgets()
        # a run that has ended begins with what it came to, and what to do next
        above = (self._title, self.progress, self.verdict, self.meaning, self.outcome, self.curves, self.best)
        below = (self.scores, self.worst_images, self.preview, self.keep)
        for widget in (*above, *below):
            self.add(widget)
        self.add(self.log_section)
        self.add_beside(self.cancel_button)
        self._connect()
        self._show_controls(False)

    def _make_widgets(self) -> None:
        self._title, self.best, self.scores = wrap(QLabel()), wrap(QLabel()), wrap(QLabel())
        font = self._title.font()
        font.setBold(True)
        self._title.setFont(font)
        self.verdict, self.worst_images = wrap(QLabel()), WorstImages()
        self.meaning = page_link("What this means, and what to do", VERDICT)
        self.progress, self.curves, self.outcome = RunProgress(), Curves(), RunOutcome()
        self.preview = RunPreview(self._viewer)
        self.keep = QCheckBox("Keep training when napari closes")
        self.keep.setToolTip("If unticked, closing napari stops the training and keeps its best epoch.")
        self.log = RunLog()
        self.log_section = Section("Log", self.log)
        self.cancel_button = push_button("Cancel", "Ends the training without a model.", self._ask_to_cancel)
        self._monitor = RunMonitor(self)
        self._activity = ActivityBar(self)
        self.outcome.clear()

    def _connect(self) -> None:
        self._monitor.events.connect(self._take)
        self._monitor.ended.connect(self._end)
        self._monitor.failed.connect(self._tell_problem)
        self.keep.toggled.connect(self._keep_or_not)
        self.button.clicked.connect(self._stop)
        self.outcome.segment.clicked.connect(self._segment)
        self.outcome.simple.clicked.connect(self._segment_simply)
        self.outcome.report.clicked.connect(self._open_report)
        self.outcome.correct.clicked.connect(lambda: self._correct(self._worst))
        self.worst_images.chosen.connect(self._correct)
        self.outcome.train_again.clicked.connect(lambda: self.train_again.emit(self._model))
        self.outcome.resume.clicked.connect(self._resume)
        self.outcome.keep.clicked.connect(self._keep_best)
        self.outcome.show_log.clicked.connect(self._show_log)
        self.outcome.change.clicked.connect(lambda: self.change.emit(self._job))

    @property
    def shown(self) -> Run | None:
        """The run that is shown."""
        return self._run

    @property
    def headline(self) -> str:
        """What is shown in large of the verdict; empty before the end."""
        return "\n".join(self._headlines)

    @property
    def title(self) -> str:
        """What the run is called: after its model."""
        return self._title.text()

    def warming_up(self) -> tuple[Callable[[], None], ...]:
        """Return what to call before a training, so that the first drawing of it takes no longer than others."""
        return self._draw_unseen, self._show_bar_briefly

    def _draw_unseen(self) -> None:
        if self._run is None:
            self.curves.warm_up()
            self.grab()
            self.curves.clear()

    def _show_bar_briefly(self) -> None:
        # napari's first bar in a window makes the line below the canvas higher, so that the canvas is drawn anew
        if self._run is None:
            self._activity.show("Preparing to train", 0, 1)
            self._activity.close()

    def show_run(self, run: Run) -> None:
        """Show this run, and no other any more."""
        self.leave()
        self._run, self._job, self._last, self._model, self._worst = run, None, None, "", ""
        self._evaluated, self._interim, self._is_simple_better, self._headlines = None, (), False, ()
        self._title.setText(f"Run: {run.id}")
        for part in (self.progress, self.curves, self.outcome, self.best, self.scores, self.verdict):
            part.clear()
        self.worst_images.clear()
        self.scores.hide()
        self.verdict.hide()
        self.meaning.hide()
        self.log.show_run(run)
        self.preview.show_run(run)
        self._show_controls(False)
        self._do(lambda: (run.job, run.state()), self._follow)

    def leave(self) -> None:
        """Follow the run no longer, and show nothing of it in the viewer; it goes on."""
        self._is_live = False  # else the bar would be back with what is drawn already
        self._monitor.stop()
        self._activity.close()
        self.preview.leave()

    def _follow(self, read: tuple[TrainingJob, RunState]) -> None:
        self._job, state = read
        self._title.setText(f"Run: {self._job.name}")
        self._is_live = state in ACTIVE_STATES
        self._show_controls(self._is_live)
        if self._run is not None:
            self.keep.setChecked(not stops_at_closing(self, self._run))
            self._monitor.follow(self._run)

    def _take(self, events: Sequence[Event]) -> None:
        for part in (self.curves, self.progress, self.log, self.preview):
            part.add(events)
        self.log_section.summarize(f"{self.log.warnings} ⚠" if self.log.warnings else "")
        for event in events:
            if isinstance(event, TERMINAL_EVENTS):
                self._last = event
            elif isinstance(event, Evaluated) and event.dataset == "validation":
                self._evaluated = event
                self.scores.setText(scores_text(event, interim=() if event.epoch is None else self._interim))
                self.scores.show()
            elif isinstance(event, Verdict) and self._evaluated is not None:
                self._tell_verdict(event, self._evaluated)
            elif isinstance(event, EpochEnded) and event.is_best:
                self.best.setText(f"Best epoch: {event.epoch} (validation loss {event.metrics['val_loss']:.3g}).")
        # once this is drawn: napari's bar takes its time, too, and the event loop should not stall for both at once
        QTimer.singleShot(DRAWN_MILLISECONDS, self._show_activity)

    def _tell_verdict(self, event: Verdict, evaluated: Evaluated) -> None:
        """Show what is said in the middle below the curves; of the model, what matters most above them, in large."""
        final = event.sentences if event.epoch is None else ()
        self._interim = () if final else event.sentences
        self._worst, self._is_simple_better = next(iter(event.worst), ""), event.is_simple_better
        self._headlines = final[:_HEADLINES]
        # napari's style overrides the font of a widget, but not that of a text
        large = "<br>".join(map(escape, self._headlines))
        self.verdict.setText(f'<span style="font-size:large">{large}</span>')
        self.verdict.setVisible(bool(final))
        self.meaning.setVisible(bool(final))
        self.scores.setText(scores_text(evaluated, final[_HEADLINES:], self._interim, is_final=bool(final)))
        if final and self._run is not None:
            self.worst_images.show_images(self._run, event.worst)

    def _show_activity(self) -> None:
        if self._is_live and self._job is not None and self.progress.epochs:
            self._activity.show(f"Training {self._job.name}", self.progress.ended, self.progress.epochs)

    def _end(self, state: RunState) -> None:
        was_live, self._is_live = self._is_live, False
        self._activity.close()
        self._show_controls(False)
        last, can_keep = self._last, bool(self.best.text())
        if state == RunState.INTERRUPTED or last is None:
            text = interrupted_text(self.progress.ended)
            self.outcome.tell(text, has_model=False, can_keep=can_keep, is_error=True)
        elif isinstance(last, Failed):
            self.outcome.tell(last.message, has_model=False, can_keep=can_keep, is_error=True)
        else:
            self._model = last.model or ""
            self.outcome.tell(success_text(last), has_model=bool(last.model), can_keep=can_keep)
            self.outcome.name_worst(self._worst if last.model else "")
            self.outcome.offer_simple(bool(last.model) and self._is_simple_better)
        if self._run is not None:
            stop_at_closing(self, self._run, False)
        segment = opened(self._viewer, SEGMENT) if was_live and self._model else None
        if segment is not None:
            segment.select_model(self._model)
        self.ended.emit(state)

    def _show_controls(self, active: bool) -> None:
        self.allow()
        self.button.setText("Stop and keep the best")
        self.cancel_button.setEnabled(True)
        for widget in (self.button, self.cancel_button, self.keep, self.progress):
            widget.setVisible(active)

    def _do(self, function: Callable[[], Any], done: Callable[[Any], object]) -> None:
        """Do something that may take a moment, unless another run is shown by then."""
        run = self._run

        def finish(result: Any) -> None:
            if self._run is run:
                done(result)

        in_background(self, function, finish, self._tell_problem)

    def _tell_problem(self, problem: str) -> None:
        self.refuse(problem, urgent=True)
        self.button.setEnabled(True)
        self.outcome.simple.setEnabled(True)
        self.cancel_button.setEnabled(True)

    def _keep_or_not(self, keep: bool) -> None:
        if self._run is not None:
            stop_at_closing(self, self._run, not keep)

    def _stop(self) -> None:
        if self._run is not None:
            self.button.setEnabled(False)
            self.button.setText("Stopping…")
            self._do(self._run.request_stop, lambda _: None)

    def _ask_to_cancel(self) -> None:
        name = self._job.name if self._job else ""
        question = f"Cancel the training of '{name}'? It ends without a model. 'Stop and keep the best' would make one."
        ask(self, question, "Cancel the training", self._cancel)

    def _cancel(self) -> None:
        run = self._run
        if run is not None:
            self.button.setEnabled(False)
            self.cancel_button.setEnabled(False)
            self._do(lambda: cancel(run), lambda _: None)

    def _resume(self) -> None:
        run = self._run
        if run is not None:
            self._do(lambda: resume(run), lambda _: self.show_run(run))

    def _keep_best(self) -> None:
        run = self._run
        if run is not None:
            self._do(lambda: keep(run), lambda _: self.show_run(run))

    def _segment(self) -> None:
        open_dock(self._viewer, SEGMENT).select_model(self._model)

    def _segment_simply(self) -> None:
        run = self._run
        if run is not None:
            self.outcome.simple.setEnabled(False)  # two clicks would make two models
            self._do(lambda: keep_simple_method(run), self._select_simple)

    def _select_simple(self, model: LibraryModel) -> None:
        self.outcome.simple.setEnabled(True)
        open_dock(self._viewer, SEGMENT).select_model(model.name)

    def _correct(self, image: str) -> None:
        if self._model:
            open_dock(self._viewer, SEGMENT).correct(self._model, image)

    def _open_report(self) -> None:
        model = self._model
        self._do(lambda: _report(model), _open_file)

    def _show_log(self) -> None:
        self.log_section.expand(animate=False)
        self.log.show_printed()


def _open_file(path: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def _report(model: str) -> Path:
    return report_of(ModelLibrary().get(model))
