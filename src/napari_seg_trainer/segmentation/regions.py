"""Regions of large images, each of which takes a few minutes to annotate."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import ROI_MARK
from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.file_names import stem_of
from napari_seg_trainer.annotations.folder import AnnotationFolder, distinct
from napari_seg_trainer.annotations.objects import find_objects
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.evaluation.matching import match_pairs
from napari_seg_trainer.library.model_folder import LibraryModel, job_of
from napari_seg_trainer.segmentation.looks import looks_of
from napari_seg_trainer.segmentation.ranking import Suggestion, Window

ACROSS = 8
"""A region is so many typical objects wide: where they lie a diameter apart, it holds about 16."""
SMALLEST, LARGEST = 96, 1024
"""Sides of a region, pixels."""
_WHOLE = 1.5
"""An image is taken as a whole where its sides are not so many times those of a region."""
_TAKEN = 0.25
"""A region is annotated already where a crop covers this part of it."""
_MOST_READ = 200
"""Annotated images that are looked at."""


@dataclass(frozen=True)
class Covered:
    """What is annotated already.

    Attributes
    ----------
    looks : tuple of tuple of float
        Of annotated images, as `looks_of` gives them.
    windows : Mapping of str to list of Window
        The crops that were annotated of an image, by the stem of its file.
    """

    looks: tuple[tuple[float, ...], ...] = ()
    windows: Mapping[str, list[Window]] = field(default_factory=dict)


def training_folders(model: LibraryModel) -> list[Path]:
    """Return the folders that a model was trained and validated on, as they are named in its job."""
    job = job_of(model)
    if job is None:
        return []
    return distinct([*job.data, *(builtin_folder(name) for name in job.builtin), *job.validation_data])


def covered_by(folders: Sequence[Path]) -> Covered:
    """Return what annotation folders cover; what is missing or cannot be read covers nothing."""
    looks: list[tuple[float, ...]] = []
    windows: defaultdict[str, list[Window]] = defaultdict(list)
    for folder in folders:
        try:
            pairs = AnnotationFolder.open(folder).pairs
        except DataError:
            continue
        for pair in pairs:
            crop = _crop_of(pair.stem)
            if crop is not None:
                windows[crop[0]].append(crop[1])
            if len(looks) < _MOST_READ:
                try:
                    annotated = pair.read()
                except DataError:
                    continue
                looks.append(looks_of(annotated.image, find_objects(annotated.labels).image))
    return Covered(tuple(looks), windows)


def regions_of(path: Path, image: NDArray[Any], answers: Sequence[NDArray[np.int32]], covered: Covered) -> tuple[
    Suggestion, ...
]:  # fmt: skip
    """Return how sure a model is of the regions of an image; none where it is so small that it is one by itself.

    Parameters
    ----------
    path : Path
        Of the image.
    image : NDArray, axes CYX
    answers : sequence of NDArray of int32, axes YX
        What the model says, several times.
    covered : Covered
    """
    found = find_objects(answers[0])
    side = side_for(found.median_area)
    windows = windows_of(answers[0].shape, side)
    if len(windows) < 2:
        return ()
    taken = covered.windows.get(stem_of(path), ())
    doubts, centres = _doubts(answers), _centres(answers[0])
    parts = []
    for window in windows:
        if sum(window.shared(other) for other in taken) > _TAKEN * window.area:
            continue
        unsure = float(sum(weight for place, weight in doubts if _holds(window, place)))
        objects = sum(_holds(window, place) for place in centres)
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


def _holds(window: Window, place: NDArray[np.float64]) -> bool:
    return bool(window.y0 <= place[0] < window.y1 and window.x0 <= place[1] < window.x1)


def _centres(labels: NDArray[np.int32], wanted: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Return the centres (N × YX) of objects, of all or of the wanted labels."""
    objects = find_objects(labels)
    numbers = range(1, len(objects.labels) + 1)
    kept = [number for number in numbers if wanted is None or objects.labels[number - 1] in wanted]
    return np.array([objects.position(number) for number in kept], np.float64).reshape(-1, 2)


def _doubts(answers: Sequence[NDArray[np.int32]]) -> list[tuple[NDArray[np.float64], float]]:
    """Return where an object is in one answer and none in another, and in which part of the pairs of answers."""
    pairs = list(combinations(answers, 2))
    found = []
    for one, other in pairs:
        matched = match_pairs(one, other)
        for labels, known in zip((one, other), matched.T, strict=True):
            single = np.setdiff1d(np.unique(labels), [0, *known])
            found += [(place, 1 / len(pairs)) for place in _centres(labels, single)] if single.size else []
    return found


def _crop_of(stem: str) -> tuple[str, Window] | None:
    """Return of which image a file is a crop, by its name, and which one."""
    name, mark, numbers = stem.rpartition(ROI_MARK)
    parts = numbers.split("_")
    if not mark or len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return None
    x0, x1, y0, y1 = map(int, parts)
    return name, Window(y0, y1, x0, x1)
