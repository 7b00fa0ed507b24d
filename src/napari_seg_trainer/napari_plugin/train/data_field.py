"""What a training learns from: folders, a first look at their images, and what the data doctor says of them."""

import os
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari import Viewer
from qtpy.QtCore import QFileSystemWatcher, Qt, Signal
from qtpy.QtWidgets import QLabel, QWidget
from superqt.utils import qdebounced

from napari_seg_trainer.annotations.builtin import builtin_folder, builtin_names
from napari_seg_trainer.annotations.findings import Finding, Severity, counted
from napari_seg_trainer.napari_plugin.layers.finding_list import FindingList, show_finding
from napari_seg_trainer.napari_plugin.parts.background import step_by_step
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, in_row, push_button
from napari_seg_trainer.napari_plugin.train.folder_list import FolderList

if TYPE_CHECKING:
    from napari.qt.threading import GeneratorWorker

    from napari_seg_trainer.annotations.doctor import Survey

PAUSE = 300
"""Milliseconds without a change after which the images are looked at."""

_SEVERITIES = Severity.ERROR, Severity.WARNING, Severity.INFO
_TOOLTIP = "A folder of images with their masks, as written by the dock “Export annotations”."


class DataField(QWidget):
    """Edits the folders and built-in datasets of a job, and looks at their images in the background.

    Emits ``changed()`` when the user has changed the choice, and ``looked()`` when the images have been looked at.

    Parameters
    ----------
    viewer : Viewer
        Where findings are shown.

    Attributes
    ----------
    survey : Survey, optional
        What is known of the images chosen now; None while they are looked at.
    """

    changed = Signal()
    looked = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._worker: GeneratorWorker[Any, Any, Any] | None = None
        self._looks = 0
        self._validation: tuple[Path, ...] = ()
        self.survey: Survey | None = None
        self.list = FolderList("folder of annotated images", _TOOLTIP, builtin_names())
        self.sample_button = push_button(
            "Use the sample images", "Adds the built-in images of nuclei, to try a training.", self._use_sample
        )
        self.status = wrap(QLabel())
        self.summary = wrap(QLabel())
        self.look_button = push_button("Look", "Show the results of the data check. Click a finding to see it.")
        self.look_button.setCheckable(True)
        self.findings = FindingList()
        self._look_soon = qdebounced(self._look, PAUSE)
        self._watcher = QFileSystemWatcher(self)
        self._arrange()
        self._connect()
        self._show()

    def folders(self) -> tuple[Path, ...]:
        """Return the annotation folders."""
        return self.list.folders()

    def builtin(self) -> tuple[str, ...]:
        """Return the names of the built-in datasets."""
        return self.list.builtin()

    def set_value(self, folders: Sequence[Path], builtin: Sequence[str]) -> None:
        """Show these folders and datasets, and look at them."""
        self.list.set_value(folders, builtin)
        self.look_again()

    def add(self, folder: Path) -> None:
        """Add an annotation folder, or look again at one that is there."""
        if folder in self.folders():
            self.look_again()
        else:
            self.list.add(folder)

    def validate_on(self, folders: Sequence[Path]) -> None:
        """Look at these folders, too: their images validate."""
        if tuple(folders) != self._validation:
            self._validation = tuple(folders)
            self.look_again()

    def look_again(self) -> None:
        """Look at the images, once nothing has changed for a moment."""
        self._stop()
        self.survey = None
        self._show()
        if self._places():
            self._look_soon()
        else:
            self.looked.emit()

    def reason(self) -> str:
        """Return why the images cannot be trained on, as far as is known; empty if they can."""
        if not self._places():
            return "Choose a folder of annotated images, or add built-in images."
        errors = [finding for finding in self._found() if finding.severity == Severity.ERROR]
        return errors[0].message if errors else ""

    def is_empty(self) -> bool:
        """Whether nothing is chosen."""
        return not self._places()

    def _places(self) -> list[Path]:
        return [*self.folders(), *map(builtin_folder, self.builtin())]

    def _found(self) -> list[Finding]:
        findings = () if self.survey is None else self.survey.findings
        # with folders of their own, images for validation may be of the same field
        allowed = "one-field-of-view" if self._validation else None
        return [finding for finding in findings if finding.code != allowed]

    def _arrange(self) -> None:
        line = in_row(None, (self.summary, 1), self.look_button)
        left = Qt.AlignmentFlag.AlignLeft
        in_column(self, self.list, (self.sample_button, left), self.status, line, self.findings)

    def _connect(self) -> None:
        self.list.changed.connect(self._edited)
        self.look_button.toggled.connect(self._unfold)
        self.findings.chosen.connect(self._open)
        self._watcher.directoryChanged.connect(self.look_again)
        on_theme_change(self, self._show)

    def _use_sample(self) -> None:
        self.list.add_builtin(builtin_names()[0])

    def _edited(self) -> None:
        self.look_again()
        self.changed.emit()

    def _stop(self) -> None:
        self._look_soon.cancel()
        self._looks += 1  # what an earlier look still has to say is too late
        if self._worker is not None:
            self._worker.quit()
            self._worker = None

    def _look(self) -> None:
        places = [*self._places(), *self._validation]
        self._watch(places)
        now = partial(self._if_current, self._looks)
        steps = partial(look_through, places)
        count, keep, fail = (partial(now, then) for then in (self._count, self._keep, self.status.setText))
        self._worker = step_by_step(self, steps, count, keep, fail)

    def _if_current(self, look: int, then: Callable[[Any], None], news: Any) -> None:
        if look == self._looks:
            then(news)

    def _watch(self, places: Sequence[Path]) -> None:
        watched = self._watcher.directories()
        if watched:
            self._watcher.removePaths(watched)
        there = [str(path) for path in places if os.path.isdir(path)]
        if there:
            self._watcher.addPaths(there)

    def _count(self, progress: tuple[int, int]) -> None:
        done, total = progress
        self.status.setText(f"Checking the images: {done} of {total}")

    def _keep(self, survey: "Survey") -> None:
        self._worker = None
        self.survey = survey
        self._show()
        self.looked.emit()

    def _show(self) -> None:
        found = self._found()
        self.findings.set_findings(found)
        self.look_button.setVisible(bool(found))
        self.summary.setVisible(bool(found))
        self.summary.setText(_summary(found))
        self._unfold()
        if self.survey is not None:
            self.status.setText(self.survey.understood)
        elif self._places():
            self.status.setText("Checking the images…")
        self.status.setVisible(bool(self._places()))
        self.sample_button.setVisible(self.is_empty())

    def _unfold(self) -> None:
        self.findings.setVisible(self.look_button.isChecked() and bool(self.findings.findings))

    def _open(self, finding: Finding) -> None:
        folders = [folder for folder in self._places() if finding.file is not None and folder in finding.file.parents]
        if folders:
            show_finding(self._viewer, finding, folders[0])


def _summary(findings: Sequence[Finding]) -> str:
    """Return how many findings deserve a look, in colour, and how many are notes."""
    theme = colours()
    errors, warnings, notes = (sum(one.severity == each for one in findings) for each in _SEVERITIES)
    parts = []
    if errors:
        parts.append(coloured(f"✖ {counted(errors, 'error')}", theme.error))
    if warnings:
        parts.append(coloured(f"⚠ {warnings} to look at", theme.warning))
    if notes:
        parts.append(coloured(counted(notes, "note"), theme.text))
    return " · ".join(parts)


def look_through(places: Sequence[Path]) -> "Generator[tuple[int, int], None, Survey]":
    """Look at all images; for a thread, as what it imports takes its time."""
    from napari_seg_trainer.annotations.doctor import survey

    return (yield from survey(places))
