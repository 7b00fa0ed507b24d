"""From what a model finds to a Labels layer. Knows no Qt."""

import math
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import psutil
from napari.layers import Labels
from numpy.typing import NDArray

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.grids import placement, shape_of
from napari_seg_trainer.napari_plugin.layers.names import ORIGINS
from napari_seg_trainer.napari_plugin.layers.planes import PROVENANCE
from napari_seg_trainer.napari_plugin.segment.tasks import LayerTask

_WAY_OUT = "Segment a part of the image, or a folder of images."


def new_labels(task: LayerTask) -> Labels:
    """Return a Labels layer without objects, with the frames, the grid and the place of the image.

    Raises
    ------
    DataError
        If there is not enough memory for it.
    """
    image = task.reference
    shape = shape_of(image)
    try:
        pixels = np.zeros(shape, np.int32)  # takes memory only where something is written
    except MemoryError as error:
        raise DataError(f"The labels need {_gib(_bytes(shape))} of memory. {_WAY_OUT}") from error
    origins = {ORIGINS: image.metadata[ORIGINS]} if ORIGINS in image.metadata else {}
    return Labels(
        pixels,
        name=f"{task.inputs[0].layer.name} · {task.model.name}",
        axis_labels=image.axis_labels,
        metadata=origins | {PROVENANCE: provenance(task)},
        **placement(image),
    )


def show_plane(labels: Labels, frame: int, found: NDArray[np.int32]) -> None:
    """Put what was found in one plane (YX) into a layer of `new_labels`."""
    leading = labels.data.shape[:-2]
    index = np.unravel_index(frame, leading) if leading else ()
    labels.data[index] = found
    labels.metadata[PROVENANCE]["frames"].append(frame)
    labels.refresh()


def memory_problem(shape: tuple[int, ...]) -> str:
    """Return why labels of this shape do not fit into the memory; empty if they do."""
    free = psutil.virtual_memory().available
    if _bytes(shape) <= free:
        return ""
    return f"The labels of all frames need {_gib(_bytes(shape))} of memory; {_gib(free)} are free. {_WAY_OUT}"


def provenance(task: LayerTask) -> dict[str, Any]:
    """Return how labels come about, in values that JSON knows; `show_plane` adds the frames."""
    card = task.model.card
    names = [channel.name for channel in card.channels]
    paths = [source.layer.source.path for source in task.inputs]
    return {
        "model": card.name,
        "engine": card.engine,
        "created": card.created.isoformat(),
        "files": dict(card.files),
        "channels": {name: source.name for name, source in zip(names, task.inputs, strict=True)},
        "images": {name: None if path is None else str(path) for name, path in zip(names, paths, strict=True)},
        "frames": [],
        "pixel_size": task.request.pixel_size,
        "settings": dict(task.request.settings or {}),
        "version": version("napari-seg-trainer"),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _bytes(shape: tuple[int, ...]) -> int:
    return math.prod(shape) * np.dtype(np.int32).itemsize


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
