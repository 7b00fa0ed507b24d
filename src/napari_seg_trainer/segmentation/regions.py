"""Regions of large images, each of which takes a few minutes to annotate."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import ROI_MARK, AnnotatedImage
from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.file_names import stem_of
from napari_seg_trainer.annotations.folder import AnnotationFolder, distinct
from napari_seg_trainer.annotations.objects import centres, find_objects
from napari_seg_trainer.annotations.region import annotated_part
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.evaluation.matching import match_pairs
from napari_seg_trainer.library.model_folder import LibraryModel, job_of
from napari_seg_trainer.segmentation.looks import looks_of
from napari_seg_trainer.segmentation.ranking import Suggestion, Window

ACROSS = 8
"""Width of a region in diameters of typical objects: about 16 of them where the gaps are as wide as they are."""
SMALLEST, LARGEST = 96, 1024
"""Sides of a region, pixels."""
_WHOLE = 1.5
"""An image is divided from this ratio of its side to a region's on."""
_TAKEN = 0.25
"""A region is annotated already where this part of it is."""
_MOST_READ = 200
"""Annotated images of a folder that are looked at."""


@dataclass(frozen=True)
class Taken:
    """A part of an image that is annotated already, and the file that it was exported from, where that is known."""

    window: Window
    source: str | None = None

    def is_of(self, path: Path) -> bool:
        """Whether it may be of an image file that has the right name."""
        return self.source is None or Path(self.source) == path.absolute() or not Path(self.source).exists()


@dataclass(frozen=True)
class Covered:
    """What is annotated already.

    Attributes
    ----------
    looks : tuple of tuple of float
        Of annotated regions, as `looks_of` gives them.
    taken : Mapping of str to list of Taken
        What is annotated of an image, by the stem of its file.
    """

    looks: tuple[tuple[float, ...], ...] = ()
    taken: Mapping[str, list[Taken]] = field(default_factory=dict)

    def share(self, path: Path, window: Window) -> float:
        """Return which part of a region of an image file is annotated."""
        known = [one.window for one in self.taken.get(stem_of(path), ()) if one.is_of(path)]
        return sum(window.shared(other) for other in known) / max(1, window.area)


def training_folders(model: LibraryModel) -> list[Path]:
    """Return the folders that a model was trained and validated on, as they are named in its job."""
    job = job_of(model)
    if job is None:
        return []
    return distinct([*job.data, *(builtin_folder(name) for name in job.builtin), *job.validation_data])


def covered_by(folders: Sequence[Path]) -> Covered:
    """Return what annotation folders cover; what is missing or cannot be read covers nothing."""
    looks: list[tuple[float, ...]] = []
    taken: defaultdict[str, list[Taken]] = defaultdict(list)
    for folder in folders:
        try:
            pairs = AnnotationFolder.open(folder).pairs
        except DataError:
            continue
        for pair in pairs[:_MOST_READ]:
            try:
                annotated = pair.read()
            except DataError:
                continue
            name, origin = _crop_of(pair.stem) or (pair.stem, Window(0, 0, 0, 0))
            for window in _annotated_windows(annotated):
                labels = find_objects(annotated.labels[window.slices]).image
                looks.append(looks_of(annotated.image[(slice(None), *window.slices)], labels))
                taken[name].append(Taken(window.moved(origin.y0, origin.x0), annotated.source_file))
    return Covered(tuple(looks), taken)


def _annotated_windows(annotated: AnnotatedImage) -> Iterator[Window]:
    """Yield the regions of an image most of which is annotated."""
    side = side_for(find_objects(annotated.labels).median_area)
    for window in windows_of(annotated.labels.shape, side):
        if annotated_part(annotated.labels[window.slices]) > 0.5:
            yield window


def regions_of(
    path: Path, image: NDArray[Any], answers: Sequence[NDArray[np.int32]], covered: Covered
) -> tuple[Suggestion, ...] | None:
    """Return how sure a model is of the regions of an image that are not annotated yet.

    Parameters
    ----------
    path : Path
        Of the image.
    image : NDArray, axes CYX
    answers : sequence of NDArray of int32, axes YX
        What the model says, several times.
    covered : Covered

    Returns
    -------
    tuple of Suggestion, optional
        None for an image that is hardly larger than a region, and not annotated.
    """
    found = find_objects(answers[0])
    side = side_for(found.median_area)
    windows = windows_of(answers[0].shape, side)
    if len(windows) < 2:
        return () if covered.share(path, windows[0]) > _TAKEN else None
    (places, weights), (_, middles) = _doubts(answers), _centres(answers[0])
    parts = []
    for window in windows:
        if covered.share(path, window) > _TAKEN:
            continue
        unsure = float(weights[_within(window, places)].sum())
        objects = int(_within(window, middles).sum())
        pixels, labels = image[(slice(None), *window.slices)], answers[0][window.slices]
        parts.append(Suggestion(path, objects, unsure, looks_of(pixels, labels), window=window))
    return tuple(parts)


def windows_of(shape: Sequence[int], side: int) -> list[Window]:
    """Return windows of about this side (pixels) that make up an image (YX); a single one where it is hardly larger."""
    if all(length < _WHOLE * side for length in shape):
        return [Window(0, shape[0], 0, shape[1])]
    rows, columns = (_parts(length, side) for length in shape)
    return [Window(*row, *column) for row, column in product(rows, columns)]


def _parts(length: int, side: int) -> list[tuple[int, int]]:
    ends = np.linspace(0, length, max(1, round(length / side)) + 1).round().astype(int).tolist()
    return list(pairwise(ends))


def side_for(area: float) -> int:
    """Return the side of a region, pixels, where typical objects have this area; 256 where there are none."""
    diameter = 2 * float(np.sqrt(area / np.pi))
    return int(min(max(SMALLEST, round(ACROSS * diameter)), LARGEST)) if diameter else 256


def _within(window: Window, places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of some places (N × YX) are in a window."""
    y, x = places.T
    inside: NDArray[np.bool_] = (y >= window.y0) & (y < window.y1) & (x >= window.x0) & (x < window.x1)
    return inside


def _centres(labels: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the labels of objects, and their centres (N × YX)."""
    objects = find_objects(labels)
    return objects.labels, centres(objects.image, len(objects.labels))


def _doubts(answers: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where an object is in one answer and none in another (N × YX), and in which part of the pairs."""
    known = [_centres(labels) for labels in answers]
    pairs = list(combinations(range(len(answers)), 2))
    found = [np.zeros((0, 2))]
    for pair in pairs:
        one, other = (answers[place] for place in pair)
        for place, partners in zip(pair, match_pairs(one, other).T, strict=True):
            names, middles = known[place]
            found.append(middles[~np.isin(names, partners)])
    places = np.concatenate(found)
    return places, np.full(len(places), 1 / max(1, len(pairs)))


def _crop_of(stem: str) -> tuple[str, Window] | None:
    """Return of which image a file is a crop, by its name, and which one."""
    name, mark, numbers = stem.rpartition(ROI_MARK)
    parts = numbers.split("_")
    if not mark or len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return None
    x0, x1, y0, y1 = map(int, parts)
    return name, Window(y0, y1, x0, x1)
