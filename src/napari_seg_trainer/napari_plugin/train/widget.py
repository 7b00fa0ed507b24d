"""The dock that trains: a form, and the run that comes of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari import Viewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QSizePolicy, QStackedWidget, QWidget
from superqt.utils import qdebounced

from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import job_of
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.docks import Docked
from napari_seg_trainer.napari_plugin.parts.panel import Panel
from napari_seg_trainer.napari_plugin.parts.widgets import Section, in_column, push_button, small_button
from napari_seg_trainer.napari_plugin.run.active import ActiveLine
from napari_seg_trainer.napari_plugin.run.run_list import RunList
from napari_seg_trainer.napari_plugin.train.job_form import JobForm
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.summaries import active_run
from napari_seg_trainer.schema.job import TrainingJob

if TYPE_CHECKING:
    from napari_seg_trainer.napari_plugin.run.view import RunView

_COPY = "Copy as command"
COPIED_MILLISECONDS = 1500
PRELOAD_MILLISECONDS = 500
APART_MILLISECONDS = 60


class TrainWidget(Docked):
    """Two pages: the form with the list of earlier runs, and one run.

    A run that is active when the widget opens is shown at once.

    Parameters
    ----------
    viewer : Viewer

    Attributes
    ----------
    job_form : JobForm
    run_list : RunList
    run_view : RunView, optional
        There a moment after the dock has opened.
    """

    tab_title = "Train"

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._to_open: Run | None = None
        self._told: tuple[str, TrainingJob | None] | None = None
        self.run_view: RunView | None = None
        self.job_form = JobForm(viewer)
        self.run_list = RunList()
        self.form_page = Panel("Train", "Starts the training in the background; you can keep using napari.")
        self.copy_button = small_button(
            _COPY,
            _COPY,
            "Copies the equivalent terminal command, for example to run it on another computer.",
            self._copy,
        )
        self.back_button = push_button("New training", "Shows the form; the training continues.")
        self._offer_copy = qdebounced(partial(self.copy_button.setText, _COPY), COPIED_MILLISECONDS, parent=self)
        self._arrange()
        self.job_form.changed.connect(self._check)
        self.form_page.button.clicked.connect(self._train)
        self.back_button.clicked.connect(self.show_form)
        self.run_list.chosen.connect(self.open_run)
        self._check()
        in_background(self, active_run, self._open_if_idle)
        # the plots take a while to import and to draw for the first time; better now than while a training begins
        qdebounced(partial(in_background, self, _load_view, self._make_view), PRELOAD_MILLISECONDS, parent=self)()

    def _arrange(self) -> None:
        self.form_page.add_above(ActiveLine(self.open_run))
        self.form_page.add(self.job_form)
        self.form_page.add(Section("Previous trainings", self.run_list))
        self.form_page.add_beside(self.copy_button)
        self.run_page = QWidget()
        self._run_layout = in_column(self.run_page, (self.back_button, Qt.AlignmentFlag.AlignLeft))
        self._pages = QStackedWidget()
        # else napari adds empty room below
        self._pages.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        for page in (self.form_page, self.run_page):
            self._pages.addWidget(page)
        in_column(self, self._pages)

    def open_run(self, run: Run) -> None:
        """Show a run in place of the form; at the first time a moment later, as the plots must be loaded."""
        self._to_open = run
        if self.run_view is None:
            in_background(self, _load_view, self._make_view_and_show, self._tell_problem)
        else:
            self._show_run()

    def show_form(self) -> None:
        """Show the form in place of a run; the run goes on."""
        self._to_open = None
        if self.run_view is not None:
            self.run_view.preview.untick()
        self._pages.setCurrentWidget(self.form_page)
        self._check()

    def add_data(self, folder: Path) -> None:
        """Add an annotation folder to the form, and show it."""
        self.show_form()
        self.job_form.add_data(folder)

    def start_from(self, model: str) -> None:
        """Fill the form for a training that starts from a model of the library, and show it."""
        self.show_form()
        self._fill(lambda: self.job_form.start_from(model))

    def train_again(self, model: str, folder: Path) -> None:
        """Fill the form for a training from a model, with all its training data and an annotation folder."""
        self.show_form()

        def fill(job: TrainingJob | None) -> None:
            self._fill(lambda: self.job_form.train_again(model, job, folder))

        in_background(self, lambda: job_of(ModelLibrary().get(model)), fill, self._tell_problem)

    def change(self, job: TrainingJob) -> None:
        """Fill the form with a job, and show it."""
        self.show_form()
        self._fill(lambda: self.job_form.set_value(job))

    def _make_view(self, view: "type[RunView]") -> None:
        if self.run_view is None:
            self.run_view = view(self._viewer)
            self.run_view.train_again.connect(self.start_from)
            self.run_view.change.connect(self.change)
            self._run_layout.addWidget(self.run_view)
            # one after the other, so that the event loop does not stall for all of it at once
            for i, draw in enumerate(self.run_view.warming_up(), 1):
                QTimer.singleShot(i * APART_MILLISECONDS, draw)

    def _make_view_and_show(self, view: "type[RunView]") -> None:
        self._make_view(view)
        QTimer.singleShot(APART_MILLISECONDS, self._show_run)

    def _show_run(self) -> None:
        run, self._to_open = self._to_open, None
        if run is not None and self.run_view is not None:
            self.run_view.show_run(run)
            self._pages.setCurrentWidget(self.run_page)

    def _open_if_idle(self, run: Run | None) -> None:
        if run is not None and self._to_open is None and (self.run_view is None or self.run_view.shown is None):
            self.open_run(run)

    def _check(self, *_: object) -> None:
        reasons = self.job_form.reasons()
        if reasons:
            self.form_page.refuse(next(iter(reasons.values())))
        elif self._told is not None and self._told[1] == self._as_it_stands():
            self._tell_problem(self._told[0])  # the job is the same, and so is what is wrong with it
        else:
            self.form_page.allow()
        self.copy_button.setEnabled(not reasons)

    def _train(self) -> None:
        job = self._job()
        if job is not None:
            self._told = None
            self.form_page.button.setEnabled(False)
            in_background(self, lambda: _launch(job), self._started, self._tell_problem)

    def _started(self, run: Run) -> None:
        self.form_page.allow()
        self.open_run(run)

    def _copy(self) -> None:
        job = self._job()
        if job is not None:
            in_background(self, lambda: _command(job), self._copied, self._tell_problem)

    def _copied(self, command: str) -> None:
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(command)
            self.copy_button.setText("Copied")
            self._offer_copy()

    def _job(self) -> TrainingJob | None:
        try:
            return self.job_form.value()
        except SegTrainerError as error:
            self._tell_problem(str(error))
            return None

    def _as_it_stands(self) -> TrainingJob | None:
        try:
            return self.job_form.value()
        except SegTrainerError:
            return None

    def _fill(self, fill: Callable[[], None]) -> None:
        try:
            fill()
        except SegTrainerError as error:
            self._tell_problem(str(error))

    def _tell_problem(self, problem: str) -> None:
        self._told = problem, self._as_it_stands()
        # the button stays usable: a full disk, say, is solved elsewhere
        self.form_page.refuse(problem, urgent=True)
        self.form_page.button.setEnabled(True)


# What these import is slow to import, and is so in a thread.


def _load_view() -> "type[RunView]":
    from napari_seg_trainer.napari_plugin.run.view import RunView

    return RunView


def _launch(job: TrainingJob) -> Run:
    from napari_seg_trainer.runs.launch import launch

    run = launch(job)
    _load_view()
    return run


def _command(job: TrainingJob) -> str:
    from napari_seg_trainer.cli.command_line import command_line

    return command_line(job)
