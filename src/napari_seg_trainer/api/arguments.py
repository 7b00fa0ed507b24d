"""What several calls take."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.pretrained import open_model

StrPath = str | PathLike[str]
OnImages = Callable[[float, int], object]
"""Called with how many images are done, parts of one included, and how many there are."""


def say_nothing(done: float, total: int) -> None:
    """Take note of how far it is."""


def paths_of(places: StrPath | Sequence[StrPath]) -> list[Path]:
    """Return one path or several as a list."""
    return [Path(place) for place in ([places] if isinstance(places, str | PathLike) else places)]


def opened(model: str | LibraryModel) -> LibraryModel:
    """Return a model of the library, of a folder, or one that is open already."""
    return model if isinstance(model, LibraryModel) else open_model(model)
