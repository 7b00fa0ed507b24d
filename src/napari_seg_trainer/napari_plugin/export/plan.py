"""What an export writes: fixed when the user clicks, so that whatever changes in the viewer later changes nothing."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage, file_names, group_of_stem
from napari_seg_trainer.annotations.findings import Finding
from napari_seg_trainer.annotations.region import only_within
from napari_seg_trainer.annotations.replaced import Replaced, There, look_at_existing
from napari_seg_trainer.napari_plugin.layers.annotated_part import AnnotatedPart
from napari_seg_trainer.napari_plugin.layers.crops import Crop
from napari_seg_trainer.napari_plugin.layers.grids import finest, plane_shape
from napari_seg_trainer.napari_plugin.layers.names import base_name, origin_of, stem_for
from napari_seg_trainer.napari_plugin.layers.planes import Source, annotated_image, deepest, frame_count, plane

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
        return file_names(self.stem)


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
    """All that is set in the form.

    Attributes
    ----------
    labels : Labels
    labelled : Image
        The image that the labels were drawn on, after which the files are called.
    channels : tuple of (Source, str)
        With their names.
    folder : Path
        The annotation folder; made if missing.
    frames : range
        Counted in the deepest of the layers.
    crops : tuple of Crop
        The parts of each frame; the whole of it if empty.
    part : AnnotatedPart, optional
        Which part of each frame is annotated; all of it if not given.
    pixel_size : float, optional
        µm per pixel.
    name : str
        Of the files, in place of the labelled image's.
    """

    labels: Labels
    labelled: Image
    channels: tuple[tuple[Source, str], ...]
    folder: Path
    frames: range
    crops: tuple[Crop, ...] = ()
    part: AnnotatedPart | None = None
    pixel_size: float | None = None
    name: str = ""

    @property
    def deepest(self) -> Layer:
        """The layer whose frames are counted."""
        return deepest([self.labels, *(source.layer for source, _ in self.channels)])

    @property
    def base_name(self) -> str:
        """What the files are called, apart from frames and crops."""
        origin = origin_of(self.labelled, self.frames.start, frame_count(self.deepest))
        return self.name or (origin.stem if origin else base_name(self.labelled))

    def stems(self, name: str) -> list[str]:
        """Return what the files would be called under another name."""
        return [item.stem for item in replace(self, name=name).items()]

    def items(self) -> tuple[Item, ...]:
        """Return what there is to write, frame after frame."""
        frames = frame_count(self.deepest)
        crops: tuple[Crop | None, ...] = self.crops or (None,)
        return tuple(
            Item(stem_for(self.labelled, frame, frames, crop, self.name), frame, crop)
            for frame in self.frames
            for crop in crops
            if crop is None or crop.frame in {None, frame}
        )

    def start(
        self, items: Sequence[Item], stopped: Callable[[], bool], *, overwrite: Replaced | None = None
    ) -> Callable[[], Generator[ExportStep, None, None]]:
        """Copy the labels as they are now, and return what writes the items when it is called in a thread.

        Parameters
        ----------
        items : sequence of Item
            Some of the plan's own.
        stopped : callable
            Asked before each item; what is written stays.
        overwrite : Replaced, optional
            Replace files of the same names, and keep there what is replaced.
        """
        snapshot = self._snapshot(dict.fromkeys(item.frame for item in items))

        def write() -> Generator[ExportStep, None, None]:
            for frame, group in groupby(items, key=lambda item: item.frame):
                labels = snapshot.pop(frame, None)
                for item in group:
                    if stopped():
                        return
                    yield from _write(self._annotated(item, labels), item, self.folder, overwrite)

        return write

    def there(self, items: Sequence[Item]) -> list[There]:
        """Compare items with the annotated images of their names in the folder; reads these, so it takes a while."""
        channels = [source for source, _ in self.channels]
        frames = frame_count(self.deepest)
        found = []
        for item in items:
            planes = [plane(one, item.frame if frame_count(one.layer) == frames else 0, item.crop) for one in channels]
            found.append(look_at_existing(self.folder, item.stem, planes))
        return found

    def _annotated(self, item: Item, labels: NDArray[Any] | None) -> AnnotatedImage:
        image = annotated_image(
            self.labels,
            [source for source, _ in self.channels],
            item.frame,
            stem=item.stem,
            names=[name for _, name in self.channels],
            pixel_size=self.pixel_size,
            crop=item.crop,
        )
        origin = origin_of(self.labelled, item.frame, frame_count(self.deepest))
        known = origin.field_of_view if origin is not None and not self.name else ""
        drawn = image.labels if labels is None else labels[item.crop.slices] if item.crop else labels
        drawn = np.array(drawn, np.int32)  # a copy: what is painted while the files are written would tear the mask
        if self.part is not None:
            drawn = only_within(drawn, self.part.mask(drawn, item.frame, frame_count(self.deepest), item.crop))
        return replace(
            image,
            labels=drawn,
            field_of_view=known or group_of_stem(self.name or base_name(self.labelled)),
            source_file=self.labelled.source.path,
        )

    def _snapshot(self, frames: Iterable[int]) -> dict[int, NDArray[Any]]:
        data, own = finest(self.labels), frame_count(self.labels)
        if not isinstance(data, np.ndarray) or own not in {1, frame_count(self.deepest)}:
            return {}
        height, width = plane_shape(self.labels)
        room = SNAPSHOT_BYTES // (height * width * data.itemsize)
        return {frame: plane(self.labels, frame).copy() for frame in islice(frames, room)}


def _write(
    image: AnnotatedImage, item: Item, folder: Path, overwrite: Replaced | None
) -> Generator[ExportStep, None, None]:
    if overwrite is not None:
        overwrite.keep(item.stem)
    file, _, _ = image.write(folder, overwrite=overwrite is not None)
    yield Written(item, file)
    from napari_seg_trainer.annotations.checks import examine_image  # slow to import

    yield Examined(item, tuple(examine_image(image, file)))
