"""What the export form proposes, from layers and folders."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QStandardPaths

from napari_seg_trainer.annotations.annotated_image import file_names
from napari_seg_trainer.annotations.channels import COLOURS, GREY
from napari_seg_trainer.annotations.layouts import list_pairs
from napari_seg_trainer.annotations.sidecar import read_sidecar
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.export.belonging import is_named_after_file
from napari_seg_trainer.napari_plugin.layers.file_channels import names_in_file
from napari_seg_trainer.napari_plugin.layers.grids import check_same_grid, shape_of
from napari_seg_trainer.napari_plugin.layers.names import LABELS_OF, ORIGINS, bare_name, own_part
from napari_seg_trainer.napari_plugin.layers.planes import PREFIX, PROVENANCE, Source, model_of, source_folder

_UNNAMED = re.compile(r"channel \d+( \[\d+\])?")


def misfit(labels: Labels, image: Image) -> str:
    """Return why an image layer cannot be a channel of these labels; empty if it can."""
    try:
        check_same_grid(labels, [image])
    except DataError as error:
        return str(error)
    theirs, own = shape_of(image)[:-2], shape_of(labels)[:-2]
    try:
        np.broadcast_shapes(theirs, own)
    except ValueError:
        frames = " × ".join(map(str, theirs)), " × ".join(map(str, own))
        return f"Image {image.name!r} has {frames[0]} frames, labels {labels.name!r} have {frames[1]}."
    return ""


def proposed_names(
    sources: Sequence[Source], labels: Labels, known: Sequence[str] = (), last: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return a name for each channel; a stain must be called alike in all images, and not after a file.

    That is the layer's own name, unless it is its file's; else the one that its file has for it; else what the folder's
    other images have, then what the channel is for the model that has found the labels, then what the user last called
    as many channels, and in the end a colour.

    Parameters
    ----------
    sources : sequence of Source
    labels : Labels
    known : sequence of str
        The channels of the folder's images.
    last : sequence of str
        Those of the last export.
    """
    own = [_own_name(source) or _name_in_file(source, sources) for source in sources]
    if len(own) == len(known) and not set(own) & set(known):
        return tuple(known)
    free = [name for name in known if name not in own]
    inputs = _inputs(labels)
    names = []
    for place, (source, name) in enumerate(zip(sources, own, strict=True)):
        asked = inputs.get(source.name, "")
        found = name or (asked if asked in free or not free else free[0])
        if found in free:
            free.remove(found)
        if not found and len(last) == len(sources) and last[place] not in own:
            found = last[place]
        names.append(found or _colour(source))
    return tuple(names)


def _own_name(source: Source) -> str:
    """Return the name that somebody gave a channel; empty where it is called after its file."""
    if is_named_after_file(source.layer) or _UNNAMED.fullmatch(source.layer.name):
        return ""
    name = own_part(source.layer)
    return name if source.component is None or source.grey else f"{name} {_colour(source)}"


def _name_in_file(source: Source, sources: Sequence[Source]) -> str:
    """Return what a file calls a channel, where as many layers are from it as it has names."""
    names = names_in_file(source.layer)
    siblings = [other for other in sources if other.layer.source.path == source.layer.source.path]
    return names[siblings.index(source)] if len(names) == len(siblings) else ""


def _colour(source: Source) -> str:
    return GREY if source.component is None or source.grey else COLOURS[source.component]


def _inputs(labels: Labels) -> dict[str, str]:
    """Return what each channel is for the model that has found the labels, by the channel's name in the viewer."""
    made = labels.metadata.get(PROVENANCE)
    channels = made.get("channels") if isinstance(made, dict) else None
    return {str(source): str(name) for name, source in channels.items()} if isinstance(channels, dict) else {}


def population_of(labels: Labels, last: str) -> str:
    """Return a population's name.

    That of the annotation folder that the labels are from, else the one used last, else the layer's own name.
    """
    folder = source_folder(labels)
    if folder is not None and folder.name.startswith(PREFIX):
        return folder.name.removeprefix(PREFIX)
    if last:
        return last
    name = "" if is_named_after_file(labels) or model_of(labels) else bare_name(labels).removesuffix(LABELS_OF)
    return re.sub(r"[^\w-]+", "_", name).strip("_") or "cells"


def own_name(image: Layer, name: str, folder: Path, stem: Callable[[str], str]) -> str:
    """Return a name for an image's files: another one where `name` is that of another file's image in the folder.

    `stem` returns the name of one of its files. The folder of the image's own file comes before the name then, else a
    number behind it.
    """
    path = image.source.path
    if path is None or ORIGINS in image.metadata or _source_of(folder, stem(name)) in {"", path}:
        return name
    return next(other for other in _other_stems(image, name) if _source_of(folder, stem(other)) in {"", path})


def free_name(image: Layer, name: str, folder: Path, stems: Callable[[str], Iterable[str]]) -> str:
    """Return a name like `name` for an image, of whose files (`stems` returns them) none is in the folder."""
    return next(
        other
        for other in _other_stems(image, name)
        if not any(os.path.lexists(path) for stem in stems(other) for path in _files(folder, stem))
    )


def _other_stems(image: Layer, stem: str) -> Iterator[str]:
    path = image.source.path
    if path is not None and Path(path).parent.name:
        yield re.sub(r"[^\w.-]+", "_", Path(path).parent.name) + f"_{stem}"
    yield from (f"{stem}_{number}" for number in count(2))


def _source_of(folder: Path, stem: str) -> str:
    """Return which file an annotated image is from; empty where there is none of that name, or nobody knows."""
    image, _, sidecar = _files(folder, stem)
    try:
        return (read_sidecar(sidecar).source_file or "") if image.is_file() and sidecar.is_file() else ""
    except (DataError, OSError, ValueError):
        return ""


def _files(folder: Path, stem: str) -> tuple[Path, Path, Path]:
    image, mask, sidecar = (folder / name for name in file_names(stem))
    return image, mask, sidecar


def experiment_folder(layers: Iterable[Layer], last: str = "") -> Path:
    """Return the folder of the first layer that is from a file, else the user's documents.

    It is the one of the last export where the file is in that, or in a folder within: what belongs together goes to one
    place.
    """
    folder = next(filter(None, map(source_folder, layers)), None)
    if folder is not None:
        own = folder.parent if folder.name.startswith(PREFIX) else folder
        return Path(last) if last and Path(last) in own.parents and Path(last).is_dir() else own
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
