"""Opens annotation folders, annotated images and trained models in napari."""

import os
from collections.abc import Callable
from pathlib import Path

from napari import current_viewer
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QTimer

from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder
from napari_seg_trainer.annotations.image_file import read_labels
from napari_seg_trainer.annotations.layouts import stem_of
from napari_seg_trainer.errors import DataError, one_line
from napari_seg_trainer.library.archive import import_model
from napari_seg_trainer.napari_plugin.layers.stacks import LayerTuple, open_pairs
from napari_seg_trainer.napari_plugin.models.incoming import is_model_folder, open_model

_Layers = list[LayerTuple] | list[tuple[None]]
Reader = Callable[[str], _Layers]

_NO_LAYERS: list[tuple[None]] = [(None,)]
_FOLDER_MARK = "annotations_"


def get_reader(path: str | list[str]) -> Reader | None:
    """Return what opens a path, or nothing if it is not for us; content is not looked at.

    Parameters
    ----------
    path : str or list of str
        A folder, a zip file, or a mask file whose name ends as the manifest says. Several paths that are to make one
        stack are left to other readers.
    """
    if isinstance(path, list):
        return None
    file = Path(path)
    # which, unlike Path's, are content with a path of any length
    if os.path.isdir(file):
        return _read_folder
    if os.path.isfile(file):
        return _read_model if file.suffix.lower() == ".zip" else _read_pair
    return None


def _read_folder(path: str) -> _Layers:
    folder = Path(path)
    if is_model_folder(folder):
        return _read_model(path)
    try:
        pairs = AnnotationFolder.open(folder).pairs
    except DataError as error:
        return _refuse(error)
    return _read_pairs(pairs, folder.resolve().name.removeprefix(_FOLDER_MARK), f"'{folder}'")


def _read_pair(path: str) -> _Layers:
    """Open a mask with its image, or alone where there is none."""
    mask = Path(path)
    pair = _pair_of(mask)
    if pair is not None:
        return _read_pairs((pair,), pair.stem, f"'{mask}'")
    try:
        return [(read_labels(mask), {"name": stem_of(mask)}, "labels")]
    except DataError as error:
        return _refuse(error)


def _read_model(path: str) -> list[tuple[None]]:
    viewer = current_viewer()
    if viewer is None:  # a script without a window
        import_model(Path(path))
    else:
        open_model(Path(path), viewer)
    return _NO_LAYERS


def _pair_of(mask: Path) -> AnnotatedPair | None:
    try:
        pairs = AnnotationFolder.open(mask.parent).pairs
    except DataError:  # it may say that another file has no partner, which does not matter here
        return None
    return next((pair for pair in pairs if pair.labels.name == mask.name), None)


def _read_pairs(pairs: tuple[AnnotatedPair, ...], name: str, place: str) -> _Layers:
    opened = open_pairs(pairs, name)
    if not opened.layers:
        show_error(opened.problems[0])
        return _NO_LAYERS
    if opened.problems:
        count = len(opened.problems)
        told = f"{count} of {len(pairs)} images in {place} cannot be opened. The first: {opened.problems[0]}"
        show_warning(one_line(told))
    if opened.left_out:
        told = (
            f"{opened.count} of {len(pairs)} images in {place} are open, and {opened.left_out} are left out: they are "
            "too many, or of too many sizes. Drop the mask file of one of them into napari to open it."
        )
        show_warning(one_line(told))
    _show_all_of_it()
    return opened.layers


def _show_all_of_it() -> None:
    # an empty viewer fits its camera to the first layer that it gets, which may be smaller than those that follow
    viewer = current_viewer()
    if viewer is not None and not viewer.layers:
        QTimer.singleShot(0, viewer.reset_view)


def _refuse(error: DataError) -> list[tuple[None]]:
    show_error(str(error))
    return _NO_LAYERS
