"""Annotation folders that come with the package."""

from pathlib import Path
from typing import Literal

from napari_seg_trainer.errors import DataError


def builtin_names() -> tuple[str, ...]:
    """Return the names of the built-in datasets."""
    return tuple(sorted(path.name for path in _data().iterdir() if (path / "train").is_dir()))


def builtin_folder(name: str, part: Literal["train", "test"] = "train") -> Path:
    """Return the annotation folder of a built-in dataset.

    Parameters
    ----------
    name : str
        One of `builtin_names`.
    part : {"train", "test"}
        Images to learn from, or images that were never learned from.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If there is no such dataset or part.
    """
    if name not in builtin_names():
        known = ", ".join(builtin_names())
        raise DataError(f"There is no built-in dataset {name!r}. Choose one of: {known}.")
    if part not in {"train", "test"}:
        raise DataError(f"Built-in dataset {name!r} has no part {part!r}. Choose 'train' or 'test'.")
    return _data() / name / part


def _data() -> Path:
    return Path(__file__).parents[1] / "data"
