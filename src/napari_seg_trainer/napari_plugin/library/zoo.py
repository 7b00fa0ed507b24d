"""What has to be given before a model goes to the BioImage Model Zoo."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, FileEdit, LineEdit
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_seg_trainer.library.bioimageio.process import LICENSES, export_bioimageio_in_process, user_name
from napari_seg_trainer.napari_plugin.parts.form import Form, wrap
from napari_seg_trainer.napari_plugin.parts.widgets import in_row, shorten

_ABOUT = "The package works with the tools of bioimage.io and can be uploaded there. You choose the license."


@dataclass(frozen=True)
class ZooPackage:
    """What is given with a model: its makers, what others may do with it, and an image that everybody may see."""

    authors: tuple[str, ...]
    license: str
    image: Path | None = None

    def write(self, model: str, path: Path) -> Path:
        """Write the package of a model of the library, and replace what is there; takes its time.

        Raises
        ------
        LibraryError
            Whatever went wrong, in one line.
        """
        return export_bioimageio_in_process(
            model, path, authors=self.authors, license=self.license, image=self.image, overwrite=True
        )


class ZooDialog(QDialog):
    """Asks for it; calls `agreed` with the answer.

    Parameters
    ----------
    parent : QWidget
    model : str
        The model's name.
    agreed : callable
    """

    def __init__(self, parent: QWidget, model: str, agreed: Callable[[ZooPackage], None]) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Export '{model}' for the BioImage Model Zoo")
        self.authors = LineEdit(
            name="authors", label="Made by", value=user_name(), tooltip="Authors of the model, separated by ';'."
        )
        self.license = ComboBox(name="license", label="Licence", choices=LICENSES, tooltip="The license of the model.")
        self.image = FileEdit(
            mode=FileDialogMode.EXISTING_FILE,
            nullable=True,
            name="image",
            label="Example",
            tooltip="An example image with the model's channels; its centre will be public. Synthetic if left empty.",
        )
        shorten(self.image, "an image")
        self.form = Form(self.authors, self.license, self.image)
        self.export_button, back = QPushButton("Choose the file…"), QPushButton("Go back")
        self.export_button.setToolTip("Choose where to save the package.")
        back.setToolTip("Cancel the export.")
        self.export_button.clicked.connect(partial(self._agree, agreed))
        back.clicked.connect(self.reject)
        self.authors.changed.connect(self._check)
        self._arrange(back)
        self._check()

    def _arrange(self, back: QPushButton) -> None:
        buttons = in_row(None, self.export_button, back)
        column = QVBoxLayout(self)
        column.addWidget(wrap(QLabel(_ABOUT)))
        column.addWidget(self.form.native)
        column.addLayout(buttons)
        self.setMinimumWidth(420)

    def _names(self) -> tuple[str, ...]:
        return tuple(filter(None, (name.strip() for name in self.authors.value.split(";"))))

    def _check(self, _text: str = "") -> None:
        self.form.show_reasons({} if self._names() else {"authors": "Enter the authors of the model."})
        self.export_button.setEnabled(bool(self._names()))

    def _agree(self, agreed: Callable[[ZooPackage], None], _checked: bool = False) -> None:
        text = self.image.line_edit.value.strip()
        package = ZooPackage(self._names(), self.license.value, Path(text).expanduser() if text else None)
        self.accept()
        agreed(package)
