"""Opens masks with their images, and files of trained models, in napari.

Folders are not claimed: all that a manifest can say of one is that it is a folder, so that napari would ask for each,
also for another program's, which reader is to open it. They open from the File menu.
"""

from collections.abc import Callable
from pathlib import Path

from napari import current_viewer
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QTimer

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.library.archive import SUFFIX
from napari_seg_trainer.napari_plugin.layers.opening import read_mask
from napari_seg_trainer.napari_plugin.layers.stacks import LayerTuple
from napari_seg_trainer.napari_plugin.models.incoming import open_model

_Layers = list[LayerTuple] | list[tuple[None]]
Reader = Callable[[str], _Layers]

_NO_LAYERS: list[tuple[None]] = [(None,)]


def get_reader(path: str | list[str]) -> Reader | None:
    """Return what opens a file, or nothing if it is not for us; content is not looked at.

    Parameters
    ----------
    path : str or list of str
        A mask or a model's file, whose name ends as the manifest says. Several paths that are to make one stack are
        left to other readers.
    """
    if isinstance(path, list):
        return None
    return _read_model if path.lower().endswith(SUFFIX) else _read_mask


def _read_mask(path: str) -> _Layers:
    try:
        found = read_mask(Path(path))
    except DataError as error:
        show_error(str(error))
        return _NO_LAYERS
    for line in found.warnings:
        show_warning(line)
    _show_all_of_it()
    return found.layers


def _read_model(path: str) -> list[tuple[None]]:
    viewer = current_viewer()
    if viewer is None:
        show_error(
            f"Model file '{path}' is not opened, as there is no viewer. 'napari-seg-trainer import-model' adds it to "
            "the library."
        )
    else:
        open_model(Path(path), viewer)
    return _NO_LAYERS


def _show_all_of_it() -> None:
    # an empty viewer fits its camera to the first layer that it gets, which may be smaller than those that follow
    viewer = current_viewer()
    if viewer is not None and not viewer.layers:
        QTimer.singleShot(0, viewer.reset_view)
