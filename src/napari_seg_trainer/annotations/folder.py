"""Annotation folders: the annotated images in them, read when asked for."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage, group_of_stem, size_text
from napari_seg_trainer.annotations.image_file import ImageFile, LabelFile, read_image, read_label_file
from napari_seg_trainer.annotations.layouts import Pair, list_pairs
from napari_seg_trainer.annotations.sidecar import Sidecar, read_sidecar
from napari_seg_trainer.errors import DataError

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
        return self.assemble(read_image(self.image), read_label_file(self.labels), read_sidecar(self.sidecar))

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
            raise DataError(
                f"Image '{self.image}' is {size_text(size)} but its mask {self.labels.name!r} is "
                f"{size_text(mask_size)}. Export the pair again or remove one of them."
            )
        image = image.called(sidecar.channels or image.channels)
        channels = image.channels if sidecar.channels is None else sidecar.channels
        if len(channels) != len(image.data) or len(set(channels)) != len(channels):
            place = self.sidecar.name if self.sidecar else self.image.name
            raise DataError(
                f"Image '{self.image}' has {len(image.data)} channels but {place!r} names {_listed(channels)}. "
                "Give each channel one name of its own."
            )
        return AnnotatedImage(
            image=image.data,
            labels=labels.labels,
            channels=channels,
            stem=self.stem,
            pixel_size=sidecar.spatial_calibration or image.pixel_size,
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
        pairs = tuple(AnnotatedPair(pair.image, pair.labels, pair.sidecar, pair.stem) for pair in listing.pairs)
        return cls(path, listing.layout, pairs, listing.unpaired)

    def __len__(self) -> int:
        """Return the number of annotated images."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[AnnotatedPair]:
        """Go through the annotated images."""
        return iter(self.pairs)


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
