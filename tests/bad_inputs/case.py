"""What a bad input is: good annotated images in one of the known layouts, one part of which is then spoilt."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

FOLDER = "annotations_nuclei"
STEMS = ("cell_00", "cell_01", "cell_02")
SPOILT_STEM = "cell_01"
SIZE = 40

LAYOUTS = {
    "celldetective": ("{}.tif", "{}_labelled.tif"),
    "cellpose": ("{}.tif", "{}_masks.tif"),
    "png": ("{}.png", "{}_cp_masks.png"),
    "jpeg": ("{}.jpg", "{}_masks.png"),
    "bmp": ("{}.bmp", "{}_masks.png"),
    "seg": ("{}.tif", "{}_seg.npy"),
    "stardist": ("images/{}.tif", "masks/{}.tif"),
}
"""Where image and mask of a stem are."""

Spoil = Callable[[Path], object]
LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes
    ----------
    name : str
        In a few words, unique.
    spoil : callable
        Given the path of the part; spoils it.
    part : {"image", "mask", "sidecar", "folder"}
        Of the middle one of three annotated images, or all of them.
    layout : str
        One of `LAYOUTS`.
    told : str, optional
        What the one line holds, with " … " for anything in between; the part's file name if not given.
    usable : str
        Why training goes on all the same; empty where it is refused.
    found : str
        Code of a finding that `check` must have; needed where a case is usable.
    layers : callable, optional
        For the writer: image and labels that are as bad; good ones are written into the spoilt folder as well.
    folder : str
        Name of the annotation folder.
    linux : bool
        Whether other systems have no such thing, or do not let everybody make it.
    locked : bool
        Whether the superuser is not hindered by it.
    """

    name: str
    spoil: Spoil
    part: str = "image"
    layout: str = "celldetective"
    told: str = ""
    usable: str = ""
    found: str = ""
    layers: Callable[[], Sequence[LayerData]] | None = None
    folder: str = FOLDER
    linux: bool = False
    locked: bool = False

    @property
    def why_not(self) -> str:
        """Why it cannot be made here; empty where it can."""
        if self.linux and sys.platform != "linux":
            return "there is no such thing on this system"
        if self.locked and (not hasattr(os, "geteuid") or os.geteuid() == 0):
            return "nothing is locked for the superuser"
        return ""

    @property
    def words(self) -> str:
        return self.told or ("" if self.part == "folder" else self.path(Path()).name)

    def path(self, folder: Path) -> Path:
        """The spoilt part."""
        if self.part == "folder":
            return folder
        return part_of(folder, self.layout, self.part)

    def make(self, root: Path) -> Path:
        """Write the bad input, and return its annotation folder."""
        folder = root / self.folder
        write_good(folder, self.layout)
        self.spoil(self.path(folder))
        return folder


def part_of(folder: Path, layout: str, part: str, stem: str = SPOILT_STEM) -> Path:
    image, mask = (folder / pattern.format(stem) for pattern in LAYOUTS[layout])
    return {"image": image, "mask": mask, "sidecar": image.with_suffix(".json")}[part]


def good_labels() -> np.ndarray:
    """Four discs."""
    rows, columns = np.indices((SIZE, SIZE))
    labels = np.zeros((SIZE, SIZE), np.uint16)
    for number, (y, x) in enumerate([(10, 10), (10, 30), (30, 10), (30, 30)], start=1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= 36] = number
    return labels


def good_image(seed: int = 1, labels: np.ndarray | None = None) -> np.ndarray:
    """Bright where the labels are; small numbers, so that every format can keep them."""
    noise = np.random.default_rng(seed).integers(20, 40, (SIZE, SIZE))
    return (noise + 150 * ((good_labels() if labels is None else labels) > 0)).astype(np.uint8)


def write_good(folder: Path, layout: str) -> None:
    for seed, stem in enumerate(STEMS):
        image, mask, sidecar = (part_of(folder, layout, part, stem) for part in ("image", "mask", "sidecar"))
        for path in (image, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_array(image, good_image(seed))
        write_array(mask, good_labels())
        if layout == "celldetective":
            sidecar.write_text('{"channels": ["dapi"], "spatial_calibration": 0.5}')


def write_array(path: Path, array: np.ndarray, **options: Any) -> None:
    """Write an array as the file's name says."""
    if path.suffix == ".npy":
        np.save(path, {"masks": array}, allow_pickle=True)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array, **({"photometric": "minisblack"} | options))
    else:
        Image.fromarray(array).save(path, **options)


def layers(image: Any = None, labels: Any = None, **attributes: Any) -> Callable[[], list[LayerData]]:
    """An image layer and a Labels layer, good where not given."""

    def make() -> list[LayerData]:
        drawn = good_labels() if labels is None else labels
        return [
            (good_image() if image is None else image, {"name": "dapi", **attributes}, "image"),
            (drawn, {"name": "nuclei", **attributes}, "labels"),
        ]

    return make


# what spoils a file


def content(data: bytes | str) -> Spoil:
    """Put other bytes in the file's place."""
    return lambda path: path.write_bytes(data.encode() if isinstance(data, str) else data)


def cut(part: float) -> Spoil:
    """Keep a part of the file; of a negative number, all but so many bytes."""

    def spoil(path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(part)] if part < 0 else whole[: int(len(whole) * part)])

    return spoil


def array(change: Callable[[np.ndarray], np.ndarray], **options: Any) -> Spoil:
    """Write what `change` makes of the good array."""
    return lambda path: write_array(path, np.asarray(change(good_of(path))), **options)


def good_of(path: Path) -> np.ndarray:
    is_mask = path.parent.name == "masks" or any(mark in path.stem for mark in ("_labelled", "_masks", "_seg"))
    return good_labels() if is_mask else good_image()


def jsonic(value: Any) -> Spoil:
    """Write a value as JSON, or text as it is."""
    return content(value if isinstance(value, str) else json.dumps(value))


def replaced(make: Spoil) -> Spoil:
    """Remove the file, then put something else in its place."""

    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def combined(table: Mapping[str, Spoil], places: Mapping[str, tuple[str, str]], **fields: Any) -> list[Case]:
    """Every defect in every place, given as layout and part."""
    return [
        Case(f"{place}: {defect}", spoil, part, layout, **fields)
        for place, (layout, part) in places.items()
        for defect, spoil in table.items()
    ]
