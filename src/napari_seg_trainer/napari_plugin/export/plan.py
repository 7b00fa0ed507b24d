"""What an export writes: fixed when the user clicks, so that whatever changes in the viewer later changes nothing."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import LABELS_SUFFIX, AnnotatedImage
from napari_seg_trainer.annotations.findings import Finding
from napari_seg_trainer.napari_plugin.layers.grids import finest, plane_shape
from napari_seg_trainer.napari_plugin.layers.planes import (
    Crop,
    Source,
    annotated_image,
    deepest,
    frame_count,
    plane,
    stem_for,
)

SNAPSHOT_BYTES = 256 * 2**20
"""Labels up to this size are copied at once when an export starts, those of further frames when their turn comes."""


@dataclass(frozen=True)
class Item:
    """One annotated image to be written: its file name without extension, its frame and, of that, which part."""

    stem: str
    frame: int
    crop: Crop | None

    @property
    def file_names(self) -> tuple[str, str, str]:
        """Of image, mask and sidecar."""
        return f"{self.stem}.tif", f"{self.stem}{LABELS_SUFFIX}.tif", f"{self.stem}.json"


@dataclass(frozen=True)
class Written:
    """An annotated image is on the disk; `file` is its image."""

    item: Item
    file: Path


@dataclass(frozen=True)
class Examined:
    """What the data doctor says of an annotated image that was written."""

    item: Item
    findings: tuple[Finding, ...]


ExportStep = Written | Examined


@dataclass(frozen=True, eq=False)
class ExportPlan:
    """All that the form tells.

    Attributes
    ----------
    labels : Labels
    channels : tuple of (Source, str)
        With their names.
    folder : Path
        The annotation folder; made if missing.
    frames : range
        Counted in the deepest of the layers.
    crops : tuple of Crop
        The parts of each frame; the whole of it if empty.
    pixel_size : float, optional
        µm per pixel.
    """

    labels: Labels
    channels: tuple[tuple[Source, str], ...]
    folder: Path
    frames: range
    crops: tuple[Crop, ...] = ()
    pixel_size: float | None = None

    @property
    def deepest(self) -> Layer:
        """The layer whose frames are counted."""
        return deepest([self.labels, *(source.layer for source, _ in self.channels)])

    def items(self) -> tuple[Item, ...]:
        """Return what there is to write, frame after frame."""
        frames = frame_count(self.deepest)
        first = self.channels[0][0].layer
        crops: tuple[Crop | None, ...] = self.crops or (None,)
        return tuple(Item(stem_for(first, frame, frames, crop), frame, crop) for frame in self.frames for crop in crops)

    def start(
        self, items: Sequence[Item], stopped: Callable[[], bool], *, overwrite: bool
    ) -> Callable[[], Generator[ExportStep, None, None]]:
        """Copy the labels as they are now, and return what writes the items when it is called in a thread.

        Parameters
        ----------
        items : sequence of Item
            Some of the plan's own.
        stopped : callable
            Asked before each item; what is written stays.
        overwrite : bool
            Replace files of the same names.
        """
        snapshot = self._snapshot(dict.fromkeys(item.frame for item in items))

        def write() -> Generator[ExportStep, None, None]:
            for frame, group in groupby(items, key=lambda item: item.frame):
                whole: AnnotatedImage | None = None
                for item in group:
                    if stopped():
                        return
                    whole = whole or self._annotated(item, snapshot.pop(frame, None))
                    yield from _write(_cut(whole, item), item, self.folder, overwrite=overwrite)

        return write

    def _annotated(self, item: Item, labels: NDArray[Any] | None) -> AnnotatedImage:
        whole = annotated_image(
            self.labels,
            [source for source, _ in self.channels],
            item.frame,
            stem=item.stem,
            names=[name for _, name in self.channels],
            pixel_size=self.pixel_size,
        )
        # a copy in any case: what is painted while the files are written would tear the mask
        return replace(whole, labels=np.array(whole.labels if labels is None else labels, np.int32))

    def _snapshot(self, frames: Iterable[int]) -> dict[int, NDArray[Any]]:
        data, own = finest(self.labels), frame_count(self.labels)
        if not isinstance(data, np.ndarray) or own not in {1, frame_count(self.deepest)}:
            return {}
        height, width = plane_shape(self.labels)
        room = SNAPSHOT_BYTES // (height * width * data.itemsize)
        return {frame: plane(self.labels, frame).copy() for frame in islice(frames, room)}


def _cut(whole: AnnotatedImage, item: Item) -> AnnotatedImage:
    part = item.crop.slices if item.crop else (slice(None), slice(None))
    return replace(whole, image=whole.image[:, *part], labels=whole.labels[part], stem=item.stem)


def _write(image: AnnotatedImage, item: Item, folder: Path, *, overwrite: bool) -> Generator[ExportStep, None, None]:
    file, _, _ = image.write(folder, overwrite=overwrite)
    yield Written(item, file)
    from napari_seg_trainer.annotations.checks import examine_image  # slow to import

    yield Examined(item, tuple(examine_image(image, file)))
