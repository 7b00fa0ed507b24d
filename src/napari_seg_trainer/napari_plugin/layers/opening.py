"""Annotated images that are opened: what becomes of a folder or a mask, and what is said of those that do not fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import show_warning

from napari_seg_trainer.annotations.file_names import stem_of
from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder
from napari_seg_trainer.annotations.image_file import read_labels
from napari_seg_trainer.errors import DataError, one_line
from napari_seg_trainer.napari_plugin.layers.adding import add_in_turns
from napari_seg_trainer.napari_plugin.layers.planes import FOLDER
from napari_seg_trainer.napari_plugin.layers.stacks import LayerTuple, labels_layers, open_pairs

_FOLDER_MARK = "annotations_"


@dataclass(frozen=True)
class Found:
    """What was read: layers, and one line about each kind of image that is not among them."""

    layers: list[LayerTuple]
    warnings: tuple[str, ...] = ()


def read_folder(folder: Path) -> Found:
    """Read the annotated images of a folder, as many as may be opened at once.

    Parameters
    ----------
    folder : Path
        In the layout of Celldetective, Cellpose or StarDist.

    Returns
    -------
    Found

    Raises
    ------
    DataError
        If there is none, or none can be read.
    """
    pairs = AnnotationFolder.open(folder).pairs
    found = _read_pairs(pairs, folder.resolve().name.removeprefix(_FOLDER_MARK), f"'{folder}'")
    for _, attributes, _ in found.layers:
        attributes["metadata"] = {**attributes["metadata"], FOLDER: str(folder.absolute())}
    return found


def read_mask(mask: Path) -> Found:
    """Read a mask with its image, or alone where there is none.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    pair = _pair_of(mask)
    if pair is not None:
        return _read_pairs((pair,), pair.stem, f"'{mask}'")
    return Found(labels_layers(read_labels(mask), stem_of(mask), {}))


def add_layers(viewer: ViewerModel, found: Found) -> list[Layer]:
    """Add what was read to a viewer in turns, and report what is not there; return the layers.

    Where the viewer was empty, it shows all of them.
    """
    was_empty = not viewer.layers
    layers = [Layer.create(*layer) for layer in found.layers]
    for line in found.warnings:
        show_warning(line)

    def show_all() -> None:  # the camera fits the first layer, which may be smaller than those that follow
        if was_empty:
            viewer.reset_view()

    add_in_turns(viewer, layers, show_all)
    return layers


def _pair_of(mask: Path) -> AnnotatedPair | None:
    try:
        pairs = AnnotationFolder.open(mask.parent).pairs
    except DataError:  # it may say that another file has no partner, which does not matter here
        return None
    return next((pair for pair in pairs if pair.labels.name == mask.name), None)


def _read_pairs(pairs: Sequence[AnnotatedPair], name: str, place: str) -> Found:
    opened = open_pairs(pairs, name)
    if not opened.layers:
        raise DataError(opened.problems[0])
    warnings = []
    if opened.problems:
        count = len(opened.problems)
        warnings.append(f"{count} of {len(pairs)} images in {place} cannot be opened. The first: {opened.problems[0]}")
    if opened.left_out:
        warnings.append(
            f"{opened.count} of {len(pairs)} images in {place} are open, and {opened.left_out} are not: there are "
            "too many, or too many different sizes. To see others, move them to a separate folder."
        )
    return Found(opened.layers, tuple(map(one_line, warnings)))
