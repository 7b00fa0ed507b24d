"""Weights in HDF5 files, which are looked through before a number of them is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

MAX_BYTES = 2 << 30
MAX_RATIO = 100
MAX_ENTRIES = 10_000
_RATIO_FROM = 1 << 20


def check_weights(path: Path) -> None:
    """Refuse a file that leads to other files, or unfolds into far more than it holds.

    Keras would follow a link, and make room for whatever size stands in the file.

    Raises
    ------
    OSError, ValueError
        If it is not an HDF5 file, or is refused.
    """
    limit = min(MAX_BYTES, max(_RATIO_FROM, MAX_RATIO * path.stat().st_size))
    size = 0
    with h5py.File(path, "r") as file:
        for name, item in _entries(file):
            if isinstance(item, h5py.Dataset):
                size += _bytes(name, item)
    if size > limit:
        raise ValueError(f"{path.name} tells of {size:,} bytes of weights; {limit:,} is the limit")


def _entries(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield all groups and datasets with their names; a group that holds itself ends at the limit."""
    waiting, count = [file], 0
    while waiting:
        group = waiting.pop()
        for name in group:
            count += 1
            if count > MAX_ENTRIES:
                raise ValueError(f"it has more than {MAX_ENTRIES:,} entries")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its entry {name!r} is a link to another place")
            item = group[name]
            yield name, item
            if isinstance(item, h5py.Group):
                waiting.append(item)


def _bytes(name: str, dataset: Any) -> int:
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"the numbers of its entry {name!r} lie in another file")
    if dataset.size is None or dataset.dtype.kind not in "fiub":
        raise ValueError(f"its entry {name!r} holds no numbers")
    return int(dataset.size) * int(dataset.dtype.itemsize)
