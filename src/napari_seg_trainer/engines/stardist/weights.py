"""Weights in HDF5 files as Keras writes them, which are looked through before a number of them is read.

Keras numbers the layers that nobody names by process, so that their names say nothing: what counts is the order.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 2 << 30
MAX_RATIO = 100
MAX_ENTRIES = 10_000
_RATIO_FROM = 1 << 20
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
"""What HDF5 and h5py do by themselves; Keras uses none."""
KERAS = "3.0.0"
"""The version that the files name: the oldest one that writes them so."""


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
        raise ValueError(f"{path.name} declares {size:,} bytes of weights; {limit:,} is the limit")


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
    filters = dataset.id.get_create_plist()
    unknown = {filters.get_filter(i)[0] for i in range(filters.get_nfilters())} - _FILTERS
    if unknown:  # HDF5 would look for a library that knows it, and load that
        raise ValueError(f"its entry {name!r} uses a compression (filter {unknown.pop()}) that is not supported")
    return max(int(dataset.size), math.prod(dataset.chunks or ())) * int(dataset.dtype.itemsize)


def read_arrays(path: Path) -> list[list[NDArray[Any]]]:
    """Return the weights of each layer that has some, in the file's order, written by Keras 2 or 3.

    Raises
    ------
    OSError, ValueError
        If it is not such a file, or is refused.
    """
    check_weights(path)
    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)  # where a whole model was saved
        layers = [root[name] for name in _names(root, "layer_names")]
        listed = [[layer[name] for name in _names(layer, "weight_names")] for layer in layers]
        names = [dataset.name for datasets in listed for dataset in datasets]
        if len(set(names)) < len(names):  # a few numbers would fill the memory
            raise ValueError("it lists some of its weights twice")
        return [[np.asarray(dataset) for dataset in datasets] for datasets in listed if datasets]


def write_arrays(path: Path, layers: Iterable[tuple[str, Mapping[str, NDArray[Any]]]]) -> None:
    """Write the weights of layers, each by its name, as Keras 2 and 3 read them."""
    with h5py.File(path, "w") as file:
        names = []
        for layer, weights in layers:
            names.append(layer)
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{name}".encode() for name in weights]
            for name, values in weights.items():
                group.create_dataset(f"{layer}/{name}", data=values)
        file.attrs.update(layer_names=[name.encode() for name in names], backend="tensorflow", keras_version=KERAS)


def _names(group: Any, key: str) -> list[str]:
    """Return a list of names; Keras cuts long ones into numbered pieces."""
    pieces: Iterable[str] = [key] if key in group.attrs else (f"{key}{number}" for number in itertools.count())
    told = itertools.takewhile(lambda piece: piece in group.attrs, pieces)
    return [name.decode() if isinstance(name, bytes) else str(name) for piece in told for name in group.attrs[piece]]
