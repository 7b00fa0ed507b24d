"""Annotated images that an export replaces: which they are, and the way back."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import file_names
from napari_seg_trainer.annotations.image_file import read_image
from napari_seg_trainer.errors import DataError

_SWAP = ".swap"


@dataclass(frozen=True)
class Replaced:
    """What an export has replaced.

    Attributes
    ----------
    folder : Path
        The annotation folder.
    aside : Path
        The dated folder beside it, which holds what was replaced.
    """

    folder: Path
    aside: Path

    @classmethod
    def beside(cls, folder: Path, now: datetime) -> "Replaced":
        """Choose a dated folder beside an annotation folder, a new one; it is made with the first image."""
        name = f"replaced_{folder.name}_{now:%Y-%m-%d_%H-%M-%S}"
        names = (name, *(f"{name}_{number}" for number in range(2, 1000)))
        return cls(folder, next(folder.parent / one for one in names if not os.path.lexists(folder.parent / one)))

    def keep(self, stem: str) -> None:
        """Copy an annotated image into the dated folder, before it is replaced.

        Raises
        ------
        DataError
            If the disk refuses; nothing may be replaced then.
        """
        try:
            self.aside.mkdir(exist_ok=True)
            for name in file_names(stem):
                if (self.folder / name).is_file():
                    shutil.copy2(self.folder / name, self.aside / name)
        except OSError as error:
            raise DataError(
                f"The existing files of {stem!r} cannot be kept in '{self.aside}': {error.strerror or error}. "
                "Nothing of it was replaced. Make room, or choose another folder."
            ) from error

    def swap(self) -> int:
        """Exchange what was replaced with what has replaced it, and return how many images that were.

        Raises
        ------
        DataError
            If a file cannot be moved.
        """
        try:
            names = sorted(name for name in os.listdir(self.aside) if not name.endswith(_SWAP) and name[0] != ".")
            for name in names:
                kept = self.aside / f"{name}{_SWAP}"
                with suppress(FileNotFoundError):  # the new one has no such file
                    (self.folder / name).replace(kept)
                (self.aside / name).replace(self.folder / name)
                with suppress(FileNotFoundError):
                    kept.replace(self.aside / name)
        except OSError as error:
            raise DataError(
                f"The replaced files cannot be restored from '{self.aside}': {error.strerror or error}. "
                "Move them back by hand; they are all there."
            ) from error
        return len({name for name in names if name.endswith(".tif")}) // 2


@dataclass(frozen=True)
class There:
    """An annotated image that has the name of one to be exported.

    Attributes
    ----------
    stem : str
    made : datetime
        When its mask was written, in local time.
    same : bool
        Whether it is the same image, so that only what was drawn is new.
    """

    stem: str
    made: datetime
    same: bool


def look_at_existing(folder: Path, stem: str, planes: Sequence[NDArray[np.generic]]) -> There:
    """Compare an image (planes with the axes YX) with the one of that name in a folder.

    It is the same where one of the planes is in it, pixel for pixel; one in which there is nothing to see does not
    count. One that cannot be read is another one.
    """
    image, mask, _ = (folder / name for name in file_names(stem))
    made = 0.0
    for path in (mask, image):
        with suppress(OSError):
            made = made or path.stat().st_mtime
    try:
        old = read_image(image).data
    except DataError:
        return There(stem, datetime.fromtimestamp(made), same=False)
    telling = [one for one in planes if one.min() < one.max()] or planes
    same = any(one.shape == two.shape and np.array_equal(one, two) for one in telling for two in old)
    return There(stem, datetime.fromtimestamp(made), same)
