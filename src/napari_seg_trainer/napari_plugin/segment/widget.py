"""The dock that segments with a trained model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from napari import Viewer
from napari.layers import Image, Labels, Layer

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.listed import ListedModel, list_models, list_starters
from napari_seg_trainer.napari_plugin.layers.adding import add_in_turns
from napari_seg_trainer.napari_plugin.layers.samples import sample_layers
from napari_seg_trainer.napari_plugin.models.library_watcher import LibraryWatcher
from napari_seg_trainer.napari_plugin.models.no_model import NoModel
from napari_seg_trainer.napari_plugin.models.warm import WarmService
from napari_seg_trainer.napari_plugin.parts.background import in_background, lent_thread, step_by_step
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, TRAIN, at_the_end, is_alive, open_dock
from napari_seg_trainer.napari_plugin.parts.install_hint import InstallHint
from napari_seg_trainer.napari_plugin.parts.panel import Panel
from napari_seg_trainer.napari_plugin.parts.widgets import ask_which, follow, push_button
from napari_seg_trainer.napari_plugin.run.active import ActiveLine
from napari_seg_trainer.napari_plugin.segment.correction import Correction, read_correction, read_validated
from napari_seg_trainer.napari_plugin.segment.form import SegmentForm
from napari_seg_trainer.napari_plugin.segment.frames import FOLDER
from napari_seg_trainer.napari_plugin.segment.labels import new_labels, show_plane
from napari_seg_trainer.napari_plugin.segment.progress import SegmentProgress, Tally
from napari_seg_trainer.napari_plugin.segment.suggesting import SuggestionList, SuggestTask, suggest_images
from napari_seg_trainer.napari_plugin.segment.tasks import (
    FolderTask,
    ItemDone,
    ItemsDone,
    LayerTask,
    Task,
    Tell,
    segment_folder,
    segment_layers,
)

if TYPE_CHECKING:  # it takes a moment to import, and does so in a thread
    from napari_seg_trainer.segmentation.ranking import Window

_EMPTY = "No model yet: train one on your own images, or open one with File > IO Utilities > Open a trained model."
_TRY = "Opens a sample image of nuclei and segments it with a model that is included."
_OF_INTEREST = {"scale", "units", "data"}
"""Events of layers that change what is shown; that layers come, go or are renamed is reported by napari."""


class SegmentWidget(Panel):
    """Segments image layers, or the images in a folder, with a model of the library.

    The model stays in memory, in a process of its own, until the dock is closed.

    Parameters
    ----------
    viewer : Viewer
    """

    tab_title = "Segment"

    def __init__(self, viewer: Viewer) -> None:
        super().__init__("Segment", "Segment with the selected model and show the result in a new Labels layer.")
        self._viewer = viewer
        self._warm = WarmService()
        self._used: set[object] = set()
        self._tally: Tally | None = None
        self._labels: Labels | None = None
        self._result: Labels | None = None
        self._wanted = ""
        self._wanted_layers: list[Layer] = []
        self._starter, self._is_trying = "", False
        self._correction: Correction | None = None
        self._is_opening = False
        self.no_model, self.install = NoModel(viewer, _EMPTY), InstallHint()
        self.form, self.progress = SegmentForm(viewer), SegmentProgress()
        self.stop_button = push_button("Stop", "Stop. Results so far are kept.", self._stop)
        self.try_button = push_button("Try the built-in model", _TRY, self._try)
        self.suggestions = SuggestionList()
        self.suggest_button = push_button(
            "Suggest next",
            "Lists the images that would improve the model most. Annotate the first ones.",
            self._suggest,
        )
        self.add_above(ActiveLine(lambda run: open_dock(self._viewer, TRAIN).open_run(run)))
        for piece in (self.no_model, self.form, self.try_button, self.install, self.suggestions):
            self.add(piece)
        self.add_in_sight(self.progress)
        self.add_beside(self.suggest_button)
        self.add_beside(self.stop_button)
        self.stop_button.hide()
        self._connect()
        self._describe()
        self.refresh()

    def _connect(self) -> None:
        self.button.clicked.connect(self._start_or_ask)
        self.suggestions.chosen.connect(lambda model, one: self.correct(model, one.image, one.window))
        self.form.changed.connect(self._describe)
        LibraryWatcher(self).changed.connect(self.refresh)
        follow(self, self._viewer.layers.events, self._layer_changed)
        follow(self, self._viewer.layers.events.removed, self._layer_removed)
        at_the_end(self, self._warm.close)

    @property
    def model_name(self) -> str:
        """The chosen model's name; empty if there is none."""
        listed = self.form.chosen
        return listed.name if listed else ""

    def select_model(self, name: str) -> None:
        """Choose a model of the library, also one that has just come into it."""
        self._wanted = name
        self.refresh()

    def select_layers(self, layers: Sequence[Layer]) -> None:
        """Choose the image layers among `layers`."""
        self._wanted_layers = list(layers)
        self._choose_layers()

    def _choose_layers(self) -> None:
        if self.form.chosen is not None:  # without a model there is no field yet
            self.form.select_layers(self._wanted_layers)
            self._wanted_layers = []

    def reset_choices(self, _event: object = None) -> None:
        """Follow the viewer's layers; napari calls this."""
        if is_alive(self):
            self.form.follow()

    def refresh(self) -> None:
        """Read the library again, in the background."""
        in_background(self, _listed, self._show_models, self._refuse)

    def _refuse(self, problem: str) -> None:
        self._is_trying = False
        self.refuse(problem, urgent=True)

    def _show_models(self, found: tuple[list[ListedModel], list[ListedModel]]) -> None:
        own, starters = found
        models = [*own, *starters]
        self._starter = next((listed.name for listed in starters), "")
        self.form.show_models(models, self._wanted)
        if any(listed.name == self._wanted for listed in models):
            self._wanted = ""
        if self._wanted_layers:
            self._choose_layers()
        self.no_model.setVisible(not models)
        self.form.setVisible(bool(models))
        self._describe()
        if self._is_trying:
            self._is_trying = False
            self.button.click()

    def _layer_changed(self, event: Any) -> None:
        if event.type in _OF_INTEREST:
            self.form.follow()

    def _layer_removed(self, event: Any) -> None:
        # what is said of a layer goes with it
        if self._tally is None and event.value is self._result:
            self._result = None
            self.progress.hide()

    def _describe(self) -> None:
        listed = self.form.chosen
        if listed is not None and listed.spec is not None and listed.lacks:
            self.install.show_missing(listed.spec)
        else:
            self.install.hide()
        reason = self.form.reason()
        if listed is None or reason:
            self.refuse(reason)
        elif self._tally is not None:
            self.refuse("")
        else:
            self.allow()
        by_folder = self.form.frames.value() == FOLDER
        self.suggest_button.setVisible(by_folder and self._tally is None)
        self.suggest_button.setEnabled(self.button.isEnabled())
        has_image = any(isinstance(layer, Image) for layer in self._viewer.layers)
        self.try_button.setVisible(bool(self._starter) and not has_image and not by_folder)

    def correct(self, model: str, image: Path | str, window: "Window | None" = None) -> None:
        """Open an image with what a model finds in it, to be corrected and exported for the next training.

        Parameters
        ----------
        model : str
            A name in the library.
        image : Path or str
            An image file without labels, or the name of an image of the model's training.
        window : Window, optional
            The region of the file that is to be annotated.
        """
        self.select_model(model)
        if self._tally is None:
            in_background(self, partial(_read, model, image, window), self._open, self.progress.show_problem)

    def _open(self, correction: Correction) -> None:
        if self._tally is not None or self._is_opening:
            return

        def begin(task: LayerTask) -> None:
            self._is_opening = False
            if self._tally is None:
                self._correction = correction
                self._start(task)

        self._is_opening = True
        try:
            correction.open(self._viewer, begin)
        except DataError as error:
            self._is_opening = False
            self.progress.show_problem(str(error))

    def _try(self) -> None:
        self.try_button.hide()

        def choose_model() -> None:
            self._is_trying = True
            self.select_model(self._starter)

        add_in_turns(self._viewer, sample_layers(), choose_model)

    def _suggest(self) -> None:
        task = self.form.task()
        assert isinstance(task, FolderTask), "else there is no button"
        in_background(self, partial(SuggestTask.of, task), self._start_looking, self.progress.show_problem)

    def _start_looking(self, task: SuggestTask) -> None:
        if task.images:
            self._start(task)
        else:
            self.progress.show_problem("All images in this folder are annotated. Choose another folder.")

    def _start_or_ask(self) -> None:
        task = self.form.task()
        if not isinstance(task, FolderTask):
            self._start(task)
            return
        in_background(self, task.taken, partial(self._start_folder, task), self._refuse)

    def _start_folder(self, task: FolderTask, taken: Sequence[int]) -> None:
        if not taken:
            self._start(task)
            return
        answers = {"Replace them": partial(self._start, task)}
        if len(taken) < task.steps:
            answers["Skip existing"] = partial(self._start, task.without(taken))
        ask_which(self, f"{len(taken)} of {task.steps} label files are already in '{task.output}'.", answers)

    def _start(self, task: Task | SuggestTask) -> None:
        if self._tally is not None:  # two clicks while a folder was looked at
            return
        key = (task.model.folder, task.model.card.created)
        self._tally, self._labels = Tally(task, loading=key not in self._used), None
        self._used.add(key)
        self.progress.show_tally(self._tally)
        self.stop_button.show()
        self.suggestions.hide()
        self._describe()
        steps = partial(_steps, self._warm, task, self._warm.begin(), self._tally.tell)
        step_by_step(self, steps, self._step, self._done, self._failed)

    def _step(self, step: ItemDone) -> None:
        tally = self._tally
        if tally is None:
            return
        tally.steps.append(step)
        if step.labels is not None:
            self._show_labels(tally.task, step)
        if len(tally.steps) < tally.task.steps:
            self.progress.show_tally(tally)

    def _show_labels(self, task: Task | SuggestTask, step: ItemDone) -> None:
        assert isinstance(task, LayerTask) and step.labels is not None, "a plane of layers is done"
        if self._labels is None:
            self._labels = new_labels(task)
            show_plane(self._labels, step.frame, step.labels)
            self._viewer.add_layer(self._labels)
        else:
            show_plane(self._labels, step.frame, step.labels)

    def _stop(self) -> None:
        if self._tally is not None:
            self._tally.stopped = True
            self._used.clear()
            in_background(self, self._warm.stop)

    def _done(self, _nothing: object) -> None:
        self._end("")

    def _failed(self, problem: str) -> None:
        self._used.clear()
        self._end(problem)

    def _end(self, problem: str) -> None:
        tally, self._tally, labels, self._labels = self._tally, None, self._labels, None
        correction, self._correction = self._correction, None
        self._result = labels
        self.stop_button.hide()
        if tally is not None:
            self.progress.show_outcome(tally, problem)
            if isinstance(tally.task, SuggestTask):
                self.suggestions.show_steps(tally.task, tally.steps)
                self.scroll_to(self.suggestions)
            elif correction is not None and labels is not None and isinstance(tally.task, LayerTask):
                self.progress.advise(correction.advice)
                open_dock(self._viewer, EXPORT).select_layers(correction.finish(self._viewer, labels, tally.task))
        self._describe()


def _listed() -> tuple[list[ListedModel], list[ListedModel]]:
    """Return the models of the library, and those that come along."""
    return list_models(ModelLibrary()), list_starters()


def _read(model: str, image: Path | str, window: "Window | None") -> Correction:
    return read_validated(model, image) if isinstance(image, str) else read_correction(model, image, window)


def _steps(warm: WarmService, task: Task | SuggestTask, stop: Event, tell: Tell) -> ItemsDone:
    with lent_thread():
        if isinstance(task, SuggestTask):
            yield from suggest_images(warm, task, stop, tell)
        elif isinstance(task, FolderTask):
            yield from segment_folder(warm, task, stop, tell)
        else:
            yield from segment_layers(warm, task, stop, tell)
