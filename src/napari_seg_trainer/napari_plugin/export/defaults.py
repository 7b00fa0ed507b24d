"""What the export form proposes, as far as layers and folders tell it."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QStandardPaths

from napari_seg_trainer.annotations.layouts import list_pairs
from napari_seg_trainer.annotations.pixels import IMAGE_SUFFIXES
from napari_seg_trainer.annotations.sidecar import read_sidecar
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.grids import check_same_grid
from napari_seg_trainer.napari_plugin.layers.planes import PREFIX, Source, frame_count, source_folder

_ANOTHER = re.compile(r"\s*\[\d+\]$")  # napari's mark of a second layer of one name
_NEW_LABELS = " - Labels"  # napari's name for a new layer above an image


def misfit(labels: Labels, image: Image) -> str:
    """Return why an image layer cannot be a channel of these labels; empty if it can."""
    try:
        check_same_grid(labels, [image])
    except DataError as error:
        return str(error)
    theirs, own = frame_count(image), frame_count(labels)
    if theirs > 1 and own > 1 and theirs != own:
        return f"Image {image.name!r} has {theirs} frames, labels {labels.name!r} have {own}."
    return ""


def channel_name(source: Source) -> str:
    """Return a name for a channel: that of its layer, without a file's ending or a layer's number."""
    name = _ANOTHER.sub("", " ".join(source.name.split()))
    lower = name.lower()
    ending = next((end for end in (".ome.tif", ".ome.tiff", *IMAGE_SUFFIXES) if lower.endswith(end)), "")
    return name[: len(name) - len(ending)] or source.name


def population_of(labels: Labels) -> str:
    """Return a population's name: that of the annotation folder that the labels are from, or the layer's."""
    folder = source_folder(labels)
    if folder is not None and folder.name.startswith(PREFIX):
        return folder.name.removeprefix(PREFIX)
    name = _ANOTHER.sub("", labels.name).removesuffix(_NEW_LABELS)
    return re.sub(r"[^\w-]+", "_", name).strip("_") or "objects"


def experiment_folder(layers: Iterable[Layer]) -> Path:
    """Return the folder of the first layer that is from a file, else the user's documents."""
    folder = next(filter(None, map(source_folder, layers)), None)
    if folder is not None:
        return folder.parent if folder.name.startswith(PREFIX) else folder
    documents = Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation))
    return documents if documents.is_dir() else Path.home()


@dataclass(frozen=True)
class FolderContent:
    """What an annotation folder holds already.

    Attributes
    ----------
    names : frozenset of str
        Of all files in it, as `os.path.normcase` has them.
    images : int
        Annotated images.
    channels : tuple of str
        Of the first of them; empty if not known.
    """

    names: frozenset[str] = frozenset()
    images: int = 0
    channels: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path) -> "FolderContent":
        """List a folder; one that is missing or unreadable holds nothing."""
        try:
            names = frozenset(map(os.path.normcase, os.listdir(folder)))
        except (OSError, ValueError):
            return cls()
        try:
            pairs = list_pairs(folder).pairs
            return cls(names, len(pairs), read_sidecar(pairs[0].sidecar).channels or ())
        except DataError:
            return cls(names)


class Peek:
    """Looks into a folder again only after something in it came or went."""

    def __init__(self) -> None:
        self._seen: tuple[Path, int] | None = None
        self._content = FolderContent()

    def content(self, folder: Path) -> FolderContent:
        """Return what a folder holds."""
        try:
            now = (folder, folder.stat().st_mtime_ns)
        except (OSError, ValueError):
            return FolderContent()
        if now != self._seen:
            self._seen, self._content = now, FolderContent.of(folder)
        return self._content


def usual_names(defaults: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return names for channels: those that the folder's other images have, where they may be meant.

    They are taken over one for one if there are as many, since a stain must be named alike in all images.
    """
    if len(defaults) == len(known) and not set(defaults) & set(known):
        return tuple(known)
    return tuple(defaults)
