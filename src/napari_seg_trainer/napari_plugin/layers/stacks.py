"""Annotated images as napari layers: images of one kind form a stack, whose pixels are read when they are shown."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage, group_of_stem, size_text
from napari_seg_trainer.annotations.folder import AnnotatedPair, check_region
from napari_seg_trainer.annotations.image_file import LabelFile
from napari_seg_trainer.annotations.pixels import read_header
from napari_seg_trainer.annotations.region import within
from napari_seg_trainer.annotations.sidecar import Sidecar, read_sidecar
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.annotated_part import NAME, REGION, region_look
from napari_seg_trainer.napari_plugin.layers.names import LABELS_OF, ORIGINS, Origin

MAX_LABEL_BYTES = 2**30
"""Labels are kept in memory, so that they can be corrected; this is how much of it they may take."""

MAX_KINDS = 6
"""How many stacks of images of different sizes or channels are opened."""

LayerTuple = tuple[Any, dict[str, Any], str]
_COLOURS = {"red", "green", "blue"}
_COLORMAPS = ("cyan", "yellow", "magenta", "red", "green", "blue")


@dataclass(frozen=True)
class Opened:
    """Layers of annotated images.

    Attributes
    ----------
    layers : list of LayerTuple
        Image layers, one for each channel, and a Labels layer for each kind of image; where some are annotated in part,
        a layer that shows which. The commonest kind comes last, and it alone is visible.
    count : int
        How many annotated images the layers hold.
    left_out : int
        How many more there are than may be opened at once.
    problems : list of str
        One line about each image that cannot be read.
    """

    layers: list[LayerTuple] = field(default_factory=list)
    count: int = 0
    left_out: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Item:
    """One annotated image, its pixels left in their file."""

    pair: AnnotatedPair
    labels: LabelFile
    sidecar: Sidecar
    kind: tuple[Any, ...]

    @property
    def drawn(self) -> NDArray[np.int32]:
        """The labels, -1 where the image is not annotated."""
        region = self.sidecar.annotated_region
        return self.labels.labels if region is None else within(self.labels.labels, region.mask())

    @property
    def origin(self) -> Origin:
        group = self.sidecar.field_of_view or group_of_stem(self.pair.stem)
        return Origin(self.pair.stem, group, self.sidecar.frame)


def open_pairs(pairs: Sequence[AnnotatedPair], name: str) -> Opened:
    """Make layers of annotated images.

    Parameters
    ----------
    pairs : sequence of AnnotatedPair
    name : str
        Of the Labels layer, and of an image layer whose channel has no name.

    Returns
    -------
    Opened
    """
    items, left_out, problems = _read_items(pairs)
    kinds: dict[tuple[Any, ...], list[_Item]] = defaultdict(list)
    for item in items:
        kinds[item.kind].append(item)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    stacks: list[list[LayerTuple]] = []
    count = 0
    for group in ordered[:MAX_KINDS]:
        while group:
            try:
                stacks.append(_layers(group, name, _mark(group) if stacks else "", visible=not stacks))
                count += len(group)
                break
            except DataError as error:  # of the first, which is the one that is read already
                problems.append(str(error))
                group = group[1:]
    left_out += sum(map(len, ordered[MAX_KINDS:]))
    return Opened([layer for stack in reversed(stacks) for layer in stack], count, left_out, problems)


def _read_items(pairs: Sequence[AnnotatedPair]) -> tuple[list[_Item], int, list[str]]:
    """Return what fits into memory, how many do not, and what is wrong with others."""
    items: list[_Item] = []
    problems: list[str] = []
    room = MAX_LABEL_BYTES
    for place, pair in enumerate(pairs):
        try:
            item = _read_item(pair)
        except DataError as error:
            problems.append(str(error))
            continue
        room -= item.labels.labels.nbytes
        if room < 0 and items:
            return items, len(pairs) - place, problems
        items.append(item)
    return items, 0, problems


def _read_item(pair: AnnotatedPair) -> _Item:
    header, sidecar, labels = read_header(pair.image), read_sidecar(pair.sidecar), pair.read_labels()
    check_region(pair.image, sidecar.annotated_region, labels.labels.shape)
    channels = sidecar.channels or header.metadata.names
    if header.has_colours and not channels:  # three equal ones are one channel, which only the pixels show
        channels = pair.read_image().channels
    pixel_size = sidecar.pixel_size or header.metadata.pixel_size
    kind = (labels.labels.shape, len(pair.more), header.shape, header.axes, header.kind, channels, pixel_size)
    return _Item(pair, labels, sidecar, kind)


def _mark(items: Sequence[_Item]) -> str:
    """Return what distinguishes layers of one kind from the commonest ones, whose names are the channels' alone."""
    return f" ({items[0].pair.stem if len(items) == 1 else size_text(items[0].labels.labels.shape)})"


def _layers(items: Sequence[_Item], name: str, mark: str, visible: bool) -> list[LayerTuple]:
    first = items[0].pair.assemble(items[0].pair.read_image(), items[0].labels, items[0].sidecar)
    shared = _shared_attributes(first, items) | {"visible": visible}
    images = first.image if len(items) == 1 else _lazy_stack(items, first)
    layers: list[LayerTuple] = []
    for place, channel in enumerate(first.channels):
        unnamed = len(first.channels) == 1 and channel == "channel 0"
        look = {"name": (name if unnamed else channel) + mark, **channel_look(first.channels, place)}
        layers.append((images[..., place, :, :], shared | look, "image"))
    drawn = np.stack([item.drawn for item in items]) if len(items) > 1 else first.labels
    layers += labels_layers(drawn, f"{name}{LABELS_OF}{mark}", shared)
    return layers


def labels_layers(drawn: NDArray[np.int32], name: str, attributes: dict[str, Any]) -> list[LayerTuple]:
    """Return a layer of labels; before it, where some are -1, a layer that shows which part is annotated."""
    layers: list[LayerTuple] = []
    if drawn.min(initial=0) < 0:
        metadata = {**attributes.get("metadata", {}), REGION: True}
        look = {**attributes, **region_look(), "name": f"{name} {NAME}", "metadata": metadata}
        layers.append(((drawn >= 0).astype(np.uint8), look, "labels"))
        drawn = np.maximum(drawn, 0)
    return [*layers, (drawn, {**attributes, "name": name}, "labels")]


def _shared_attributes(first: AnnotatedImage, items: Sequence[_Item]) -> dict[str, Any]:
    leading = 1 if len(items) > 1 else 0
    attributes: dict[str, Any] = {
        "metadata": {ORIGINS: tuple(item.origin for item in items)},
        "axis_labels": ("image",) * leading + ("y", "x"),
    }
    if first.pixel_size is not None:
        attributes["scale"] = (1.0,) * leading + (first.pixel_size,) * 2
        attributes["units"] = ("pixel",) * leading + ("um",) * 2
    return attributes


def channel_look(channels: Sequence[str], place: int) -> dict[str, Any]:
    """Return how a channel among others is shown, as attributes of its layer."""
    if len(channels) == 1:
        return {"colormap": "gray"}
    if set(channels) <= _COLOURS:
        return {"colormap": channels[place], "blending": "additive"}
    colormaps = ("magenta", "green") if len(channels) == 2 else _COLORMAPS
    return {"colormap": colormaps[place % len(colormaps)], "blending": "additive"}


def _lazy_stack(items: Iterable[_Item], first: AnnotatedImage) -> Any:
    """Return a dask array with the axes image, C, Y, X."""
    import dask
    import dask.array

    read = dask.delayed(_planes)
    shape, kind = first.image.shape, first.image.dtype
    return dask.array.stack(
        [dask.array.from_delayed(read(item.pair, shape, first.channels), shape, dtype=kind) for item in items]
    )


def _planes(pair: AnnotatedPair, shape: tuple[int, ...], channels: tuple[str, ...]) -> NDArray[Any]:
    data = pair.read_image().called(channels).data
    if data.shape != shape:
        raise DataError(f"'{pair.image}' has changed since it was opened. Open it again.")
    return data
