"""Objects of a label image, measured all at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as label_regions

from napari_seg_trainer.annotations.region import IGNORED

Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects numbered 1 to n without gaps, whatever their labels.

    Attributes
    ----------
    image : NDArray of int32, axes YX
        0 is background.
    labels : NDArray of int64
        The label of object 1, 2 and so on.
    ignored : NDArray of bool, axes YX, optional
        Where the image is not annotated; None where all of it is.
    """

    image: NDArray[np.int32]
    labels: NDArray[np.int64]
    ignored: NDArray[np.bool_] | None = None

    @property
    def background(self) -> NDArray[np.bool_]:
        """Where there is no object, and somebody has looked (YX)."""
        outside: NDArray[np.bool_] = self.image == 0
        return outside if self.ignored is None else outside & ~self.ignored

    @cached_property
    def flat(self) -> NDArray[np.intp]:
        """The image in one row, as NumPy counts and looks up fastest."""
        return self.image.ravel().astype(np.intp)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each object; one number an object."""
        return np.bincount(self.flat, minlength=len(self.labels) + 1)[1:]

    @cached_property
    def median_area(self) -> float:
        """Pixels of a typical object; 0 without objects."""
        return float(np.median(self.areas)) if len(self.labels) else 0.0

    @cached_property
    def _centres(self) -> NDArray[np.float64]:
        return centres(self.image, len(self.labels))

    def position(self, number: int) -> Point:
        """Return the centre (y, x in pixels) of object `number` (from 1)."""
        return point(self._centres[number - 1])

    @cached_property
    def pieces(self) -> "Pieces":
        """The connected pieces of all objects."""
        regions: NDArray[Any] = label_regions(self.image, background=0, connectivity=2)
        count = int(regions.max(initial=0))
        flat = regions.ravel().astype(np.intp)
        owners = np.zeros(count + 1, np.int64)
        owners[flat] = self.flat
        areas = np.bincount(flat, minlength=count + 1)
        return Pieces(regions, owners[1:], areas[1:])


@dataclass(frozen=True, eq=False)
class Pieces:
    """Connected pieces, numbered from 1.

    Attributes
    ----------
    image : NDArray, axes YX
        0 is background.
    owners : NDArray of int64
        The object (from 1) that each piece belongs to.
    areas : NDArray of int64
        Pixels of each piece.
    """

    image: NDArray[Any]
    owners: NDArray[np.int64]
    areas: NDArray[np.int64]

    def scattered(self) -> Iterator[tuple[int, int, int, Point]]:
        """Yield object (from 1), its number of pieces, pixels and centre of the smallest, where it has several."""
        order = np.lexsort((self.areas, self.owners))
        objects, first, counts = np.unique(self.owners[order], return_index=True, return_counts=True)
        if (counts < 2).all():
            return
        places = centres(self.image, len(self.areas))
        for i in np.flatnonzero(counts > 1):
            smallest = order[first[i]]
            yield int(objects[i]), int(counts[i]), int(self.areas[smallest]), point(places[smallest])


@dataclass(frozen=True)
class Hole:
    """Background that one object (from 1) encloses: all its pixels, and the centre of one piece (y, x in pixels)."""

    owner: int
    area: int
    position: Point


def find_objects(labels: NDArray[np.int32]) -> Objects:
    """Renumber the objects of a label image (YX) without gaps, in the order of their labels; negative is ignored."""
    ignored = labels < 0 if labels.min(initial=0) < 0 else None
    labels = np.maximum(labels, 0)
    highest = int(labels.max(initial=0))
    if highest > 4 * labels.size:
        # too sparse for a table: a label may be as high as two thousand million
        numbers, places = np.unique(labels, return_inverse=True)
        image = places.reshape(labels.shape) + (0 if numbers[0] == 0 else 1)
        return Objects(image.astype(np.int32), numbers[numbers != 0].astype(np.int64), ignored)
    there = np.zeros(highest + 1, bool)
    there[labels.ravel()] = True
    there[0] = False
    table = np.cumsum(there, dtype=np.int32) * there
    return Objects(table[labels], np.flatnonzero(there), ignored)


def renumbered(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return labels (YX) with objects numbered without gaps; what is not annotated stays -1."""
    objects = find_objects(labels)
    return objects.image if objects.ignored is None else np.where(objects.ignored, IGNORED, objects.image)


def centres(image: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Return the centre (y, x in pixels) of each of `count` regions, numbered from 1, of a YX image."""
    flat = image.ravel()
    areas = np.maximum(np.bincount(flat, minlength=count + 1), 1)
    height, width = image.shape
    rows, columns = np.repeat(np.arange(height), width), np.tile(np.arange(width), height)
    sums = [np.bincount(flat, places, count + 1) for places in (rows, columns)]
    return np.stack([total / areas for total in sums], axis=1)[1:]


def find_holes(objects: Objects) -> list[Hole]:
    """Return the holes of objects that have some; a hole is background that touches one object and nothing else."""
    outside = objects.image == 0
    background: NDArray[Any] = label_regions(outside, connectivity=1)
    count = int(background.max(initial=0))
    touching = np.unique(np.concatenate(list(_touching(background, objects, outside))))
    regions, owners = touching // (len(objects.labels) + 1), touching % (len(objects.labels) + 1)
    enclosed = np.bincount(regions, minlength=count + 1) == 1
    enclosed[rim(background)] = False
    if objects.ignored is not None:  # nobody has looked there
        enclosed[np.unique(background[objects.ignored])] = False
    kept = enclosed[regions]
    if not kept.any():
        return []
    areas, places = np.bincount(background.ravel(), minlength=count + 1), centres(background, count)
    found: dict[int, Hole] = {}
    for region, owner in zip(regions[kept].tolist(), owners[kept].tolist(), strict=True):
        area = found[owner].area if owner in found else 0
        found[owner] = Hole(owner, area + int(areas[region]), point(places[region - 1]))
    return [found[owner] for owner in sorted(found)]


def rim(image: NDArray[Any]) -> NDArray[Any]:
    """Return the different values along the border of a YX image."""
    return np.unique(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]))


def _touching(background: NDArray[Any], objects: Objects, outside: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Yield the pairs of background region and object that are neighbours, each as one number."""
    base = len(objects.labels) + 1
    before, after, everything = slice(None, -1), slice(1, None), slice(None)
    for here, there in (((before, everything), (after, everything)), ((everything, before), (everything, after))):
        for empty, full in ((here, there), (there, here)):
            rows, columns = np.nonzero(outside[empty] & ~outside[full])
            yield background[empty][rows, columns].astype(np.int64) * base + objects.image[full][rows, columns]


def point(values: NDArray[np.float64]) -> Point:
    """Return coordinates y and x to a tenth of a pixel."""
    return round(float(values[0]), 1), round(float(values[1]), 1)
