"""Annotation folders: the annotated images in them, read when asked for."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

import numpy as np

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage, group_of_stem, size_text
from napari_seg_trainer.annotations.channels import unnamed
from napari_seg_trainer.annotations.file_names import channel_in_name
from napari_seg_trainer.annotations.image_file import ImageFile, LabelFile, read_image, read_label_file
from napari_seg_trainer.annotations.layouts import Pair, list_pairs
from napari_seg_trainer.annotations.metadata import channel_names
from napari_seg_trainer.annotations.region import Region, within
from napari_seg_trainer.annotations.sidecar import Sidecar, names_beside, read_sidecar
from napari_seg_trainer.errors import DataError

AT_ONCE = 2.0
"""Seconds within which two files count as written together: some disks store the time no better."""

MAX_NAMES = 10
"""A message names this many channels at most."""


@dataclass(frozen=True)
class AnnotatedPair(Pair):
    """The files of one annotated image; nothing is kept in memory."""

    def read(self) -> AnnotatedImage:
        """Read image, labels and sidecar.

        Returns
        -------
        AnnotatedImage

        Raises
        ------
        DataError
            If a file is broken or they do not fit together.
        """
        return self.assemble(self.read_image(), self.read_labels(), read_sidecar(self.sidecar))

    def read_image(self) -> ImageFile:
        """Read the image, whose channels may be in files of their own.

        Raises
        ------
        DataError
            If a file is broken, or one of several holds more than one channel, or another size.
        """
        if not self.more:
            names = _sidecar_names(self.sidecar) or names_beside(self.image)
            return read_image(self.image, names).called(names)
        paths = (self.image, *self.more)
        images = [read_image(path) for path in paths]
        size = images[0].data.shape[1:]
        for path, image in zip(paths, images, strict=True):
            if image.data.shape != (1, *size):
                raise DataError(
                    f"'{path}' has {len(image.data)} channel(s) of {size_text(image.data.shape[1:])}, where each file "
                    f"of {self.stem!r} is to have one of {size_text(size)}. Save its channels in the same format."
                )
        told = [image.channels[0] for image in images]
        own = [channel_in_name(path) if name == unnamed(0) else name for path, name in zip(paths, told, strict=True)]
        data = np.concatenate([image.data for image in images])
        return ImageFile(data, channel_names(own, len(own)), images[0].pixel_size)

    def read_labels(self) -> LabelFile:
        """Read the mask; of several that differ, the newest counts.

        Raises
        ------
        DataError
            If it is broken, or another one of the same age differs.
        """
        return self.read_masks()[0]

    def read_masks(self) -> tuple[LabelFile, tuple[str, ...]]:
        """Read the mask as `read_labels` does, and return also the names of older ones that differ."""
        labels = read_label_file(self.labels)
        differing = []
        for path in self.older:
            try:
                at_once = abs(self.labels.stat().st_mtime - path.stat().st_mtime) <= AT_ONCE
                other = read_label_file(path).labels
            except (DataError, OSError):  # it is broken, and older
                continue
            if np.array_equal(other, labels.labels):
                continue
            if at_once:
                raise DataError(
                    f"Masks {self.labels.name!r} and {path.name!r} of '{self.image}' differ, and none is newer. Keep "
                    "one of them."
                )
            differing.append(path.name)
        return labels, tuple(differing)

    @property
    def group(self) -> str:
        """The field of view: from the sidecar, else what stands before ``_roi_`` in the stem.

        Raises
        ------
        DataError
            If the sidecar is broken.
        """
        return read_sidecar(self.sidecar).field_of_view or group_of_stem(self.stem)

    def assemble(self, image: ImageFile, labels: LabelFile, sidecar: Sidecar) -> AnnotatedImage:
        """Put together what was read.

        Raises
        ------
        DataError
            If sizes or numbers of channels differ.
        """
        size, mask_size = image.data.shape[1:], labels.labels.shape
        if size != mask_size:
            way_out = "Export the pair again or remove one of them."
            if size == mask_size[::-1]:
                way_out = (
                    "Its rows and columns are exchanged (transposed): save it in the same orientation as the image."
                )
            raise DataError(
                f"Image '{self.image}' is {size_text(size)} but its mask {self.labels.name!r} is "
                f"{size_text(mask_size)}. {way_out}"
            )
        region, drawn = sidecar.annotated_region, labels.labels
        check_region(self.image, region, size)
        if region is not None:
            drawn = within(drawn, region.mask())
        image = image.called(sidecar.channels or image.channels)
        channels = image.channels if sidecar.channels is None else sidecar.channels
        if len(channels) != len(image.data) or len(set(channels)) != len(channels):
            place = self.sidecar.name if self.sidecar else self.image.name
            raise DataError(
                f"Image '{self.image}' has {len(image.data)} channels but {place!r} names {_listed(channels)}. "
                "Give each channel its own name."
            )
        return AnnotatedImage(
            image=image.data,
            labels=drawn,
            channels=channels,
            stem=self.stem,
            pixel_size=sidecar.pixel_size or image.pixel_size,
            field_of_view=sidecar.field_of_view,
            frame=sidecar.frame,
            sources=sidecar.sources,
            source_file=sidecar.source_file,
        )


@dataclass(frozen=True)
class AnnotationFolder:
    """A folder of annotated images in any known layout.

    Attributes
    ----------
    path : Path
        The folder.
    layout : str
        ``"celldetective"``, ``"cellpose"`` or ``"stardist"``.
    pairs : tuple of AnnotatedPair
        Sorted by stem.
    unpaired : tuple of Path
        Images without a mask and masks without an image.
    """

    path: Path
    layout: str
    pairs: tuple[AnnotatedPair, ...]
    unpaired: tuple[Path, ...] = ()

    @classmethod
    def open(cls, path: Path) -> Self:
        """List a folder.

        Raises
        ------
        DataError
            If there is no such folder, or no annotated image in it.
        """
        listing = list_pairs(path)
        pairs = tuple(AnnotatedPair(**vars(pair)) for pair in listing.pairs)
        return cls(path, listing.layout, pairs, listing.unpaired)

    def __len__(self) -> int:
        """Return the number of annotated images."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[AnnotatedPair]:
        """Go through the annotated images."""
        return iter(self.pairs)


def check_region(image: Path, region: Region | None, size: Sequence[int]) -> None:
    """Check that the annotated region in a sidecar is of an image of this size (YX, pixels).

    Raises
    ------
    DataError
        If it is not.
    """
    if region is not None and region.size != tuple(size):
        raise DataError(
            f"Image '{image}' is {size_text(size)} but the 'annotated_region' in its sidecar is of "
            f"{size_text(region.size)}. Export the pair again, or remove this entry from the JSON file."
        )


def _sidecar_names(sidecar: Path | None) -> tuple[str, ...]:
    try:
        return read_sidecar(sidecar).channels or ()
    except DataError:  # which is reported when it is read
        return ()


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_NAMES])
    return shown + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")


def open_folders(folders: Sequence[Path]) -> list[AnnotatedPair]:
    """Return the annotated images of all folders; a folder that is given twice counts once.

    Raises
    ------
    DataError
        If a folder is missing or holds no annotated image.
    """
    return [pair for folder in distinct(folders) for pair in AnnotationFolder.open(folder).pairs]


def named(pairs: Iterable[AnnotatedPair]) -> Iterator[tuple[str, AnnotatedPair]]:
    """Yield annotated images with the names that a training has for them, such as ``annotations_nuclei/cell_01``.

    Of several with one folder name and stem, the later ones are numbered.
    """
    taken: set[str] = set()
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(2))
    for pair in pairs:
        name = candidate = f"{pair.image.parent.name}/{pair.stem}"
        while candidate in taken:
            candidate = f"{name} ({next(numbers[name])})"
        taken.add(candidate)
        yield candidate, pair


def distinct(folders: Sequence[Path]) -> list[Path]:
    """Return the folders in their order, each once, whatever its spelling."""
    kept: dict[str, Path] = {}
    for folder in folders:
        kept.setdefault(os.path.normcase(os.path.realpath(folder)), folder)
    return list(kept.values())
