"""napari's reader and writer, without a window."""

import os
import stat
import warnings
from pathlib import Path
from typing import Any

import dask
import numpy as np
from napari.layers import Layer

from bad_inputs.case import LAYOUTS, SPOILT_STEM, Case, layers, part_of
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.opening import read_folder, read_mask
from napari_seg_trainer.napari_plugin.writer import write_annotated
from napari_seg_trainer.paths import HOME_VARIABLE

_LARGE = 2**20


def read_and_write(case: Case, root: Path) -> dict[str, Any]:
    """What both make of a bad input."""
    os.environ[HOME_VARIABLE] = str(root / "home")
    warnings.filterwarnings("ignore", module=r"(napari|scipy)\.")  # napari's own, of layers that it shows already
    folder = case.make(root)
    paths = [folder, *_masks(case, folder)]
    return {
        "read": [read(path) for path in paths],
        "layers": write_bad_layers(case, root / "new") if case.layers else {},
        "beside": write_good_layers(case, folder),
        "alone": write_good_layers(case, folder, alone=True),
    }


def warm_up(root: Path) -> None:
    """Do once what is slow the first time, and without threads: a fork would wait for those of its parent."""
    dask.config.set(scheduler="synchronous")
    read_and_write(Case("good", lambda path: None, layers=layers()), root)


def _masks(case: Case, folder: Path) -> list[Path]:
    if case.part != "folder":
        return [part_of(folder, case.layout, "mask")]
    return sorted(folder.rglob("*_labelled.*")) if folder.is_dir() else []


def read(path: Path) -> dict[str, Any]:
    """Open a path, look at every pixel, and make layers of it."""
    told: list[str] = []
    try:
        found = (read_mask if "_labelled." in path.name or path.is_file() else read_folder)(path)
    except DataError as error:
        return {"layers": 0, "lines": [str(error)]}
    told += found.warnings
    for data, attributes, kind in found.layers:
        try:
            pixels = np.asarray(data)
        except DataError as error:
            told.append(str(error))
        else:
            Layer.create(pixels, attributes, kind)
    return {"layers": len(found.layers), "lines": told}


def write_bad_layers(case: Case, folder: Path) -> dict[str, Any]:
    """Write the case's layers; what is written must be read again."""
    assert case.layers
    try:
        write_annotated(str(folder / "a.tif"), case.layers())
    except DataError as error:
        return {"line": str(error), "left": contents(folder)}
    (pair,) = AnnotationFolder.open(folder)
    return {"line": "", "size": pair.read().labels.shape}


def write_good_layers(case: Case, folder: Path, *, alone: bool = False) -> dict[str, Any]:
    """Write good layers over the spoilt image; napari has asked whether it may be replaced, and nothing else may.

    Parameters
    ----------
    alone : bool
        Whether neither mask nor sidecar is there.
    """
    image = LAYOUTS[case.layout][0].format(SPOILT_STEM)
    target = (folder / image).with_suffix(".tif")
    if alone and folder.is_dir():
        for part in ("mask", "sidecar"):
            path = part_of(folder, case.layout, part)
            if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
                path.unlink()
    before = contents(folder.parent)
    try:
        written = write_annotated(str(target), layers()())
    except DataError as error:
        return {"line": str(error), "changed": changed(before, contents(folder.parent))}
    differing = changed(before, contents(folder.parent))
    return {"line": "", "changed": sorted(set(differing) - set(written)), "found": _is_found(Path(written[1]))}


def _is_found(labels: Path) -> bool:
    """Whether a mask is found with its image, as far as it lies with them."""
    try:
        return any(pair.labels == labels and pair.read() for pair in AnnotationFolder.open(labels.parent))
    except DataError as error:
        return SPOILT_STEM not in str(error)


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder: bytes of files, targets of links, and what other things are."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            status = path.lstat()
            if path.is_symlink():
                found[str(path)] = f"link to {path.readlink()}"
            elif stat.S_ISREG(status.st_mode) and status.st_size < _LARGE:
                found[str(path)] = path.read_bytes().hex()
            else:
                found[str(path)] = f"{stat.S_IFMT(status.st_mode)} of {status.st_size}"
    return {path: what for path, what in found.items() if "/home" not in path and "noise.txt" not in path}


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The paths that are new, gone or different; a folder that came into being apart."""
    paths = before.keys() | after.keys()
    return sorted(path for path in paths if before.get(path) != after.get(path) and not _is_new_folder(path, before))


def _is_new_folder(path: str, before: dict[str, str]) -> bool:
    return path not in before and os.path.isdir(path)
