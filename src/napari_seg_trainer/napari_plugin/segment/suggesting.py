"""Which images of a folder to annotate next: a task, step by step in a thread, and the list that comes of it."""

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_seg_trainer.annotations.findings import Finding, Severity
from napari_seg_trainer.annotations.layouts import without_masks
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.napari_plugin.layers.finding_list import FindingList
from napari_seg_trainer.napari_plugin.models.warm import WarmService
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import in_column
from napari_seg_trainer.napari_plugin.segment.tasks import FolderTask, ItemDone, ItemsDone, Tell
from napari_seg_trainer.segmentation.request import SegmentRequest

if TYPE_CHECKING:  # it takes a moment to import, and does so in a thread
    from napari_seg_trainer.segmentation.ranking import Suggestion
    from napari_seg_trainer.segmentation.regions import Covered

_ORDER = "Annotate these next, in this order: each is typical of many others. Click one to correct its segmentation."
_ALL = "All of these images are annotated already. Choose another folder."
_NONE = "The model is confident about all of them. Annotate images in which you see mistakes."


@dataclass(frozen=True)
class SuggestTask:
    """Image files to look at.

    Attributes
    ----------
    model, images, request
        As for `FolderTask`.
    covered : Covered
        What the model was trained on.
    """

    model: LibraryModel
    images: tuple[Path, ...]
    request: SegmentRequest
    covered: "Covered"

    @classmethod
    def of(cls, task: FolderTask) -> "SuggestTask":
        """Return the task for the images of a folder that have no masks beside them; reads what is annotated."""
        from napari_seg_trainer.segmentation.regions import covered_by, training_folders

        covered = covered_by(training_folders(task.model))
        return cls(task.model, tuple(without_masks(task.images)), task.request, covered)

    @property
    def steps(self) -> int:
        """How many images."""
        return len(self.images)


def suggest_images(warm: WarmService, task: SuggestTask, stop: threading.Event, tell: Tell) -> ItemsDone:
    """Look at one image after the other, until all are done or `stop` is set.

    `tell` is called with how many are looked at, parts of one included.

    Raises
    ------
    SegTrainerError
        If the model cannot be used.
    """
    from napari_seg_trainer.runs.checkpoint import second_checkpoint
    from napari_seg_trainer.segmentation.service import CancelledError
    from napari_seg_trainer.segmentation.suggest import look_at_images

    looks = look_at_images(
        task.model,
        task.images,
        replace(task.request, settings=None),
        checkpoint=second_checkpoint(task.model.card),
        service=warm.get(),
        covered=task.covered,
        progress=tell,
    )
    began = time.monotonic()
    try:
        for place, found in enumerate(looks):
            yield ItemDone(place, found.objects, time.monotonic() - began, problem=found.problem, suggestion=found)
            if stop.is_set():
                return
            began = time.monotonic()
    except CancelledError:
        return


class SuggestionList(QWidget):
    """The images or regions to annotate next, to click on; hidden where there are none.

    Emits ``chosen(str, Suggestion)`` with the model's name.
    """

    chosen = Signal(str, object)

    def __init__(self) -> None:
        super().__init__()
        self._model = ""
        self._shown: dict[Finding, Suggestion] = {}
        self.line = wrap(QLabel())
        self.list = FindingList()
        self.list.chosen.connect(lambda finding: self.chosen.emit(self._model, self._shown[finding]))
        in_column(self, self.line, self.list)
        self.hide()

    def show_steps(self, task: SuggestTask, steps: list[ItemDone]) -> None:
        """Show what a task has come to."""
        self._model = task.model.name
        from napari_seg_trainer.segmentation.ranking import in_regions, rank

        found = in_regions([step.suggestion for step in steps if step.suggestion])
        ranked = [one for one in rank(found, task.covered.looks) if not one.problem]
        unsure = [one for one in ranked if one.unsure]
        self.line.setText(_ORDER if unsure else _NONE if ranked else _ALL)
        self._shown = {_finding(one): one for one in unsure}
        self.list.set_findings(list(self._shown))
        self.setVisible(bool(ranked) or bool(steps and not found))


def _finding(one: "Suggestion") -> Finding:
    unsure, objects = round(one.unsure) or 1, "1 object" if one.objects == 1 else f"{one.objects:,} objects"
    where, position = one.image.name, None
    if one.window is not None:
        where += f", rows {one.window.y0} to {one.window.y1}, columns {one.window.x0} to {one.window.x1}"
        position = (float(one.window.y0), float(one.window.x0))
    message = f"{where}: unsure of {unsure:,}; finds {objects}."
    return Finding(severity=Severity.INFO, code="suggestion", message=message, file=one.image, position=position)
