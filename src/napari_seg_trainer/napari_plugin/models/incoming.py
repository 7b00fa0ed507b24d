"""Trained models that are opened like a file."""

from pathlib import Path

from napari import Viewer
from napari.utils.notifications import show_error, show_info

from napari_seg_trainer.library import foreign
from napari_seg_trainer.library.archive import import_model
from napari_seg_trainer.library.model_folder import CARD_FILE, LibraryModel
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.docks import SEGMENT, open_dock


def is_model_folder(folder: Path) -> bool:
    """Return, by the names of its files, whether a folder holds a trained model, ours or another program's."""
    return (folder / CARD_FILE).is_file() or foreign.is_model_folder(folder)


def open_model(path: Path, viewer: Viewer) -> None:
    """Add a trained model to the library in the background, then select it in the dock that segments.

    A model that the library has already is not added again. What goes wrong is reported in a notification.

    Parameters
    ----------
    path : Path
        A model's file, or its folder.
    viewer : Viewer
        Where the dock opens.
    """

    def select(model: LibraryModel) -> None:
        open_dock(viewer, SEGMENT).select_model(model.name)

    show_info(f"Opening the model in '{path.name}'…")
    in_background(viewer.window.main_menu, lambda: import_model(path), select, show_error)
