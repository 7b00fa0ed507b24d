"""What napari's menus call."""

from pathlib import Path

from napari import Viewer
from napari.utils.history import get_open_history, update_open_history
from qtpy.QtWidgets import QFileDialog

from napari_seg_trainer.napari_plugin.models.incoming import open_model
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, SEGMENT, open_dock


def export_annotations(viewer: Viewer) -> None:
    """Open the dock that exports annotations, with the selected layers chosen."""
    _open_with_selection(viewer, EXPORT)


def segment(viewer: Viewer) -> None:
    """Open the dock that segments, with the selected layers chosen."""
    _open_with_selection(viewer, SEGMENT)


def open_trained_model(viewer: Viewer) -> None:
    """Ask for a model's zip file, or for a JSON file in its folder, and open it."""
    dialog = QFileDialog(viewer.window.main_menu.window(), "Open a trained model", get_open_history()[0])
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setNameFilter("Zip file, or any JSON file in the model's folder (*.zip *.json)")

    def chosen(name: str) -> None:
        update_open_history(name)
        file = Path(name)
        open_model(file.parent if file.suffix.lower() == ".json" else file, viewer)

    dialog.fileSelected.connect(chosen)
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


def _open_with_selection(viewer: Viewer, title: str) -> None:
    widget = open_dock(viewer, title)
    selected = [layer for layer in viewer.layers if layer in viewer.layers.selection]
    if selected:
        widget.select_layers(selected)
