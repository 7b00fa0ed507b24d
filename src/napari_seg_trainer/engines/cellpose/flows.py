"""The flows of annotated objects: what the network learns to answer; computed once, and kept by their content."""

import hashlib
import io
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cellpose.dynamics import masks_to_flows_gpu
from numpy.typing import NDArray

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.files import prune, write_bytes
from napari_seg_trainer.paths import cache_folder

MAX_BYTES = 4 << 30
MIN_DIAMETER = 5.0
MAX_PLACES = 1000
_FORMAT = "1"  # to be counted up when what is kept changes
_FLOAT = np.float16


@dataclass(frozen=True, eq=False)
class Annotated:
    """An image with its flows; both are read when they are asked for, so that the number of images does not matter.

    Attributes
    ----------
    images : sequence of PreparedImage
    index : int
        Which one of them it is.
    shape : (int, int)
        YX, pixels.
    kept : Path or NDArray
        The file that holds the flows, or the flows themselves.
    diameter : float
        Median over its objects of the diameter, in pixels, of the circle with the object's area; 0 without objects.
    objects : int
    places : NDArray of int64, axes NC
        Y and X of some pixels of objects, drawn evenly among all.
    annotated : NDArray of int64, axes NC
        The same of pixels that are annotated; none where all are.
    """

    images: Sequence[PreparedImage]
    index: int
    shape: tuple[int, int]
    kept: Path | NDArray[np.float16]
    diameter: float
    objects: int
    places: NDArray[np.int64]
    annotated: NDArray[np.int64]

    @property
    def prepared(self) -> PreparedImage:
        """The image and its labels."""
        return self.images[self.index]

    @property
    def flows(self) -> NDArray[np.float16]:
        """Y and X of the unit vector from each pixel of an object to the object's centre, CYX; 0 in the background."""
        if not isinstance(self.kept, Path):
            return self.kept
        flows = _load(self.kept, self.shape)
        # somebody may have deleted the cache
        return flows_of(_objects(self.prepared)) if flows is None else flows


def with_flows(
    images: Sequence[PreparedImage], progress: Callable[[int, int], None], folder: Path | None = None
) -> list[Annotated]:
    """Return the images with their flows, computed in as many threads as there are cores unless they are kept already.

    Parameters
    ----------
    images : sequence of PreparedImage
    progress : callable
        Called with how many are done, and of how many.
    folder : Path, optional
        Where flows are kept; the user's cache if not given. The oldest are removed beyond 4 GiB.
    """
    cache = _Cache(cache_folder() / "flows" if folder is None else folder)
    found: list[Annotated] = []
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="flows") as pool:
        for annotated in pool.map(partial(cache.with_flows, images), range(len(images))):
            found.append(annotated)
            progress(len(found), len(images))
    cache.prune()
    return found


def flows_of(labels: NDArray[np.int32]) -> NDArray[np.float16]:
    """Return the flows (2YX: along Y, X) of labels (YX) numbered without gaps, by Cellpose (Stringer et al. 2021)."""
    flows, _ = masks_to_flows_gpu(labels.astype(np.int64), device=torch.device("cpu"))
    return np.asarray(flows, _FLOAT)


class _Cache:
    """A folder of flows, each named after the SHA-256 of its labels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._used: set[Path] = set()
        with suppress(OSError):  # without a place to keep them, they stay in memory
            folder.mkdir(parents=True, exist_ok=True)

    def with_flows(self, images: Sequence[PreparedImage], index: int) -> Annotated:
        labels = _objects(images[index])
        areas = np.bincount(labels.ravel())[1:]
        areas = areas[areas > 0]
        diameter = max(MIN_DIAMETER, float(np.median(np.sqrt(areas * 4 / np.pi)))) if areas.size else 0.0
        known = np.asarray(images[index].labels) >= 0
        annotated = np.zeros((0, 2), np.int64) if known.all() else _places(known)
        shape = (labels.shape[0], labels.shape[1])
        return Annotated(images, index, shape, self._keep(labels), diameter, areas.size, _places(labels > 0), annotated)

    def prune(self) -> None:
        """Remove the flows that were not used for longest, beyond the limit; never those of this training."""
        with suppress(OSError):
            prune(self.folder, "*.npy", MAX_BYTES, self._used)

    def _keep(self, labels: NDArray[np.int32]) -> Path | NDArray[np.float16]:
        """Return the file with the flows, or the flows themselves where they cannot be kept."""
        key = hashlib.sha256(f"{_FORMAT} {labels.dtype.str} {labels.shape} ".encode())
        key.update(np.ascontiguousarray(labels).data)
        path = self.folder / f"{key.hexdigest()}.npy"
        self._used.add(path)
        if _load(path, labels.shape) is not None:
            return path
        flows = flows_of(labels)
        with suppress(OSError):
            write_bytes(path, _as_file(flows))
            return path
        return flows


def _places(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return some places (axes NC) of a mask, evenly among all."""
    inside = np.flatnonzero(mask)
    return np.stack(np.unravel_index(inside[:: max(1, inside.size // MAX_PLACES)], mask.shape), axis=1)


def _objects(prepared: PreparedImage) -> NDArray[np.int32]:
    """Return the labels without those of pixels that do not count."""
    return np.maximum(np.asarray(prepared.labels), 0)


def _load(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16] | None:
    """Return kept flows, mapped into memory; None where there are none, or the file is not what it should be."""
    try:
        flows = np.load(path, mmap_mode="r", allow_pickle=False)
        os.utime(path, (time.time(), time.time()))
    except (OSError, ValueError, EOFError):
        return None
    return flows if flows.dtype == _FLOAT and flows.shape == (2, *shape) else None


def _as_file(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
