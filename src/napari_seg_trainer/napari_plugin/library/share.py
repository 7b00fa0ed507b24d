"""Models that leave the library and come into it, as files."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_seg_trainer.library.archive import SUFFIX, export_model, import_model
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.napari_plugin.library.zoo import ZooDialog, ZooPackage
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.widgets import required

_FILE = f"Model file (*{SUFFIX})"
_FILES = f"Model file or zip file (*{SUFFIX} *.zip)"
_ZIP = "Zip file (*.zip)"


class ShareButton(QPushButton):
    """A menu: a model's file out of the library, a file or a folder into it, and where the files are.

    Emits ``said(str)`` while it works and after, ``failed(str)`` with one line, and ``imported(str)`` with the model's
    name.
    """

    said = Signal(str)
    failed = Signal(str)
    imported = Signal(str)

    def __init__(self) -> None:
        super().__init__("Share")
        self.setToolTip("Export models as files, or import models.")
        self._model: LibraryModel | None = None
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.export_action = required(menu.addAction("Export as a file…", self._ask_where_to))
        self.export_action.setToolTip("Save the selected model as a single file, to share or to archive.")
        self.zoo_action = required(menu.addAction("Export for the Model Zoo…", self._ask_for_zoo))
        self.zoo_action.setToolTip("Save the selected model in the format of the BioImage Model Zoo (bioimage.io).")
        self.import_file_action = required(menu.addAction("Import a file…", self._ask_for_file))
        self.import_file_action.setToolTip("Import an exported model, or a model of StarDist or Celldetective.")
        self.import_folder_action = required(menu.addAction("Import a folder…", self._ask_for_folder))
        self.import_folder_action.setToolTip("Import a model folder, including those of StarDist and Celldetective.")
        menu.addSeparator()
        self.show_action = required(menu.addAction("Show the files", self._show_files))
        self.show_action.setToolTip("Open the folder of the selected model.")
        self.setMenu(menu)
        self.set_model(None)

    def set_model(self, model: LibraryModel | None) -> None:
        """Choose what is exported or shown; without a model, the library's folder can be shown."""
        self._model = model
        for action in (self.export_action, self.zoo_action):
            action.setEnabled(model is not None)

    def _ask_where_to(self) -> None:
        model = self._chosen()

        def write(path: Path) -> None:
            self._export(model, lambda: export_model(model, path, overwrite=True))

        self._ask_for_target(f"{model.name}{SUFFIX}", _FILE, write)

    def _ask_for_zoo(self) -> None:
        model = self._chosen()

        def agreed(package: ZooPackage) -> None:
            name = f"{model.name}.bioimageio.zip"
            self._ask_for_target(name, _ZIP, lambda path: self._export(model, lambda: package.write(model.name, path)))

        ZooDialog(self, model.name, agreed).open()

    def _ask_for_target(self, name: str, kind: str, chosen: Callable[[Path], None]) -> None:
        dialog = self._dialog("Export a model", chosen)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)  # asks before it replaces a file
        dialog.setNameFilter(kind)
        dialog.setDefaultSuffix(Path(name).suffix)
        dialog.selectFile(name)
        dialog.open()

    def _chosen(self) -> LibraryModel:
        assert self._model is not None, "the menu offers it only then"
        return self._model

    def _ask_for_file(self) -> None:
        dialog = self._dialog("Import a model", self._import)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilter(_FILES)
        dialog.open()

    def _ask_for_folder(self) -> None:
        dialog = self._dialog("Import a model's folder", self._import)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.open()

    def _dialog(self, title: str, chosen: Callable[[Path], None]) -> QFileDialog:
        dialog = QFileDialog(self, title, str(Path.home()))
        dialog.fileSelected.connect(lambda name: chosen(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        return dialog

    def _export(self, model: LibraryModel, write: Callable[[], Path]) -> None:
        def done(path: Path) -> None:
            self.said.emit(f"'{model.name}' is in '{path}'.")

        self.said.emit(f"Exporting '{model.name}'…")
        in_background(self, write, done, self.failed.emit)

    def _import(self, path: Path) -> None:
        def done(model: LibraryModel) -> None:
            self.said.emit(f"'{model.name}' is in the library.")
            self.imported.emit(model.name)

        self.said.emit(f"Importing '{path.name}'…")
        in_background(self, lambda: import_model(path), done, self.failed.emit)

    def _show_files(self) -> None:
        folder = ModelLibrary().folder if self._model is None else self._model.folder
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
