"""Which folder of images is segmented, and where the labels go."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit
from qtpy.QtCore import QFileSystemWatcher, QObject, Signal
from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from napari_seg_trainer.annotations.layouts import list_images
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.widgets import shorten

COALESCE_MS = 500
"""A folder in which much happens is looked at again so long after the last of it."""


@dataclass(frozen=True)
class FolderContent:
    """What is in a folder of images.

    Attributes
    ----------
    images : tuple of Path
    channels : tuple of str
        Of the first image.
    pixel_size : float, optional
        Of the first image, in µm.
    problem : str
        Why the folder cannot be segmented.
    """

    images: tuple[Path, ...] = ()
    channels: tuple[str, ...] = ()
    pixel_size: float | None = None
    problem: str = ""


def look_into(folder: Path) -> FolderContent:
    """Look at a folder and its first image."""
    from napari_seg_trainer.segmentation.files import open_image

    try:
        images = tuple(list_images(folder))
        if not images:
            return FolderContent(problem=f"'{folder}' holds no TIFF, PNG, JPEG or BMP image. Choose another folder.")
        first = open_image(images[0])
    except DataError as error:
        return FolderContent(problem=str(error))
    return FolderContent(images, first.channels, first.pixel_size)


class FolderFields(QObject):
    """Two fields of a form, and what is in the folder, also while files come and go; emits ``changed()``.

    Parameters
    ----------
    owner : QWidget
        The form's.
    """

    changed = Signal()

    def __init__(self, owner: QWidget) -> None:
        super().__init__(owner)
        self._owner = owner
        self._model = self._proposed = ""
        self._system = QFileSystemWatcher(self)
        self._look_soon = qdebounced(self._look, COALESCE_MS)
        self._system.directoryChanged.connect(lambda _folder: self._look_soon())
        self.content = FolderContent()
        self.images = _folder_edit("folder", "Images", "The folder with the images to segment.")
        self.output = _folder_edit("output", "Output", "The folder for the labels; created if needed.")
        self.images.line_edit.changed.connect(self._folder_changed)
        self.output.line_edit.changed.connect(self._output_changed)

    def show(self, visible: bool) -> None:
        """Show or hide the fields."""
        self.images.visible = self.output.visible = visible

    def propose(self, model: str) -> None:
        """Propose a folder for the labels of a model, unless the user gave another."""
        self._model = model
        folder = self.images.line_edit.value.strip()
        proposal = os.path.join(folder, f"labels_{model}") if folder else ""
        if self.output.line_edit.value == self._proposed:
            self._proposed = proposal
            self.output.line_edit.value = proposal

    def output_path(self) -> Path:
        """Return the folder for the labels."""
        return _path(self.output.line_edit.value)

    def reasons(self) -> dict[str, str]:
        """Return what is wrong, by the field's name."""
        if not self.images.line_edit.value.strip():
            return {"folder": "Choose the folder with the images."}
        if not self.content.images:
            return {"folder": self.content.problem or "Checking the images…"}
        return {} if self.output.line_edit.value.strip() else {"output": "Choose a folder for the labels."}

    def _folder_changed(self, _text: str) -> None:
        self.content = FolderContent()
        self.propose(self._model)
        if self._system.directories():
            self._system.removePaths(self._system.directories())
        self._look()
        self.changed.emit()

    def _look(self) -> None:
        text = self.images.line_edit.value.strip()
        if text:
            self._system.addPath(str(_path(text)))
            in_background(self._owner, partial(look_into, _path(text)), partial(self._seen, text))

    def _seen(self, text: str, content: FolderContent) -> None:
        if text == self.images.line_edit.value.strip() and content != self.content:
            self.content = content
            self.changed.emit()

    def _output_changed(self, _text: str) -> None:
        self.changed.emit()


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text.strip())).absolute()


def _folder_edit(name: str, label: str, tooltip: str) -> FileEdit:
    edit = FileEdit(
        mode=FileDialogMode.EXISTING_DIRECTORY, nullable=True, name=name, label=label, tooltip=tooltip, visible=False
    )
    shorten(edit, "a folder")
    return edit
