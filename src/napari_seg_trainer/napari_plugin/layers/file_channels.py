"""What a layer's file says of its channels: their names, and whether napari has opened them as frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.layers._source import layer_source

from napari_seg_trainer.annotations.channels import COLOURS
from napari_seg_trainer.annotations.metadata import channel_names
from napari_seg_trainer.annotations.pixels import IMAGE_SUFFIXES, Header, peek
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.stacks import channel_look

_FEW = 4
"""Planes of a file that says nothing of its axes are asked about up to this number."""
_SURE = {"C": "channels", "S": "colours"}


@dataclass(frozen=True)
class HiddenChannels:
    """Channels that a layer shows as frames.

    Attributes
    ----------
    axis : int
        The layer's axis along which they lie.
    names : tuple of str
        As the file has them, else ``"channel 0"`` and so on.
    sure : bool
        Whether the file says that they are channels; else its axes are not given, and there are few planes.
    """

    axis: int
    names: tuple[str, ...]
    sure: bool


def names_in_file(layer: Layer) -> tuple[str, ...]:
    """Return the names that a layer's file has for its channels; none where it has none, or calls them after a file."""
    header = _header(layer)
    names = () if header is None else header.metadata.names
    if not all(names) or any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in names):
        return ()
    return names


def hidden_channels(layer: Image) -> HiddenChannels | None:
    """Return the channels that a layer shows as frames, as far as its file says; None if there are none."""
    if layer.rgb or layer.multiscale or layer.ndim < 3:
        return None
    header = _header(layer)
    if header is None or header.shape != tuple(layer.data.shape):
        return None
    leading = header.axes[:-2]
    sure = next((axis for axis in leading if axis in _SURE and header.shape[leading.index(axis)] > 1), None)
    if sure is not None:
        axis = leading.index(sure)
        count = header.shape[axis]
        known = COLOURS if sure == "S" and count == len(COLOURS) else header.metadata.names
        return HiddenChannels(axis, channel_names(known, count), sure=True)
    few = len(leading) == 1 and leading not in {"T", "Z"} and 1 < header.shape[0] <= _FEW
    return HiddenChannels(0, channel_names(header.metadata.names, header.shape[0]), sure=False) if few else None


def show_channels(viewer: ViewerModel, layer: Image, hidden: HiddenChannels) -> list[Image]:
    """Put an image layer for each channel in the place of a layer that shows them as frames.

    Labels of the same shape lose the axis, too.

    Raises
    ------
    DataError
        If labels are drawn on several of the frames.
    """
    # napari has no other way to say where a layer is from; it is exported as that file's
    flat = [(labels, _flattened(labels, hidden.axis)) for labels in viewer.layers if _is_drawn_on(labels, layer)]
    with layer_source(path=layer.source.path, reader_plugin=layer.source.reader_plugin):
        images = [
            Image(
                _plane(layer, hidden.axis, place),
                name=name,
                **_attributes(layer, hidden.axis),
                **channel_look(hidden.names, place),
            )
            for place, name in enumerate(hidden.names)
        ]
    _replace(viewer, layer, images)
    for labels, one in flat:
        _replace(viewer, labels, [one])
    return images


def _is_drawn_on(labels: Layer, image: Image) -> bool:
    return isinstance(labels, Labels) and not labels.multiscale and labels.data.shape == image.data.shape


def _flattened(labels: Labels, axis: int) -> Labels:
    others = tuple(place for place in range(labels.ndim) if place != axis)
    drawn = np.flatnonzero(np.asarray(labels.data).any(axis=others))
    if len(drawn) > 1:
        raise DataError(
            f"Labels {labels.name!r} are drawn on {len(drawn)} of these frames. Leave those of one, and try again."
        )
    place = int(drawn[0]) if len(drawn) else 0
    with layer_source(path=labels.source.path, reader_plugin=labels.source.reader_plugin):
        return Labels(_plane(labels, axis, place), name=labels.name, **_attributes(labels, axis))


def _plane(layer: Layer, axis: int, place: int) -> Any:
    return layer.data[(*[slice(None)] * axis, place)]


def _attributes(layer: Layer, axis: int) -> dict[str, Any]:
    """Return where a layer lies in the world, and what is said of it, without one of its axes."""
    keep = [place for place in range(layer.ndim) if place != axis]
    moved = layer.affine.affine_matrix
    return {
        "scale": np.asarray(layer.scale)[keep],
        "translate": np.asarray(layer.translate)[keep],
        "rotate": np.asarray(layer.rotate)[np.ix_(keep, keep)],
        "affine": moved[np.ix_([*keep, -1], [*keep, -1])],
        "units": tuple(layer.units[place] for place in keep),
        "metadata": dict(layer.metadata),
    }


def _replace(viewer: ViewerModel, old: Layer, new: Sequence[Layer]) -> None:
    """Put layers in the place of one; where that one was selected, the last of them is."""
    at, was_selected = viewer.layers.index(old), viewer.layers.selection.active is old
    viewer.layers.remove(old)
    for layer in reversed(new):
        viewer.layers.insert(at, layer)
    if was_selected:
        viewer.layers.selection.active = new[-1]


def _header(layer: Layer) -> Header | None:
    if layer.source.path is None:
        return None
    path = Path(layer.source.path)
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return _peek(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _peek(path: Path, _size: int, _changed: int) -> Header | None:
    return peek(path)
