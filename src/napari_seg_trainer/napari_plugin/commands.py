"""What napari's menus call."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari import Viewer
from napari.utils.history import get_open_history, update_open_history
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QFileDialog

from napari_seg_trainer.library.archive import SUFFIX
from napari_seg_trainer.napari_plugin.layers.opening import Found, add_layers, read_folder
from napari_seg_trainer.napari_plugin.models.incoming import is_model_folder, open_model
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, SEGMENT, open_dock


def export_annotations(viewer: Viewer) -> None:
    """Open the dock that exports annotations, with the selected layers chosen."""
    _open_with_selection(viewer, EXPORT)


def segment(viewer: Viewer) -> None:
    """Open the dock that segments, with the selected layers chosen."""
    _open_with_selection(viewer, SEGMENT)


def open_annotation_folder(viewer: Viewer) -> None:
    """Ask for an annotation folder, and open its images with their labels; a model's folder is opened as a model."""
    dialog = _dialog(viewer, "Open annotation folder", partial(open_folder, viewer))
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    dialog.open()


def open_trained_model(viewer: Viewer) -> None:
    """Ask for a model's file, or for a JSON file in its folder, and open it."""

    def chosen(file: Path) -> None:
        open_model(file.parent if file.suffix.lower() == ".json" else file, viewer)

    dialog = _dialog(viewer, "Open a trained model", chosen)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setNameFilter(f"Model file, or any JSON file in the model's folder (*{SUFFIX} *.zip *.json)")
    dialog.open()


def open_folder(viewer: Viewer, folder: Path) -> None:
    """Open a folder in the background: annotated images as layers, a trained model in the dock that segments.

    What goes wrong is reported in a notification.
    """
    if is_model_folder(folder):
        open_model(folder, viewer)
        return

    def show(found: Found) -> None:
        add_layers(viewer, found)

    show_info(f"Opening the images in '{folder.name}'…")
    in_background(viewer.window.main_menu, lambda: read_folder(folder), show, show_error)


def _dialog(viewer: Viewer, title: str, chosen: Callable[[Path], None]) -> QFileDialog:
    """Return a dialog that begins where something was opened last, and remembers what is chosen."""
    dialog = QFileDialog(viewer.window.main_menu.window(), title, get_open_history()[0])

    def remember(name: str) -> None:
        update_open_history(name)
        chosen(Path(name))

    dialog.fileSelected.connect(remember)
    dialog.finished.connect(dialog.deleteLater)
    return dialog


def _open_with_selection(viewer: Viewer, title: str) -> None:
    widget = open_dock(viewer, title)
    selected = [layer for layer in viewer.layers if layer in viewer.layers.selection]
    if selected:
        widget.select_layers(selected)
