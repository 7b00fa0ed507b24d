"""In which order to annotate images, or regions of them, by what a model says of each."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from napari_seg_trainer.annotations.selection import spread

_FEW = 3
"""Added to the number of objects, so that a single doubtful one does not count much."""
_SPOKEN_FOR = 1000
"""Where there are more images, this many at equal distances are compared in place of all."""
_SAME = 1e-4
"""Square of a distance that counts as none."""


@dataclass(frozen=True)
class Window:
    """A rectangle of an image, in pixels; the pixels y1 and x1 are no longer in it."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """For an array with the axes YX."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def area(self) -> int:
        """Pixels."""
        return max(0, self.y1 - self.y0) * max(0, self.x1 - self.x0)

    def moved(self, y: int, x: int) -> "Window":
        """Return the window that lies `y` pixels lower and `x` pixels further to the right."""
        return Window(self.y0 + y, self.y1 + y, self.x0 + x, self.x1 + x)

    def shared(self, other: "Window") -> int:
        """Return how many pixels are in both."""
        ends = (min(self.y1, other.y1), min(self.x1, other.x1))
        starts = (max(self.y0, other.y0), max(self.x0, other.x0))
        return Window(starts[0], ends[0], starts[1], ends[1]).area


@dataclass(frozen=True)
class Suggestion:
    """How sure a model is of one image, or of a region of it.

    Attributes
    ----------
    image : Path
    objects : int
        How many the model finds.
    unsure : float
        How many objects are in one answer and not in another, in the mean over all pairs of answers.
    looks : tuple of float
        What distinguishes kinds of images: see `looks_of`.
    problem : str
        Why the image could not be looked at.
    window : Window, optional
        The region; None for the whole image.
    regions : tuple of Suggestion, optional
        Of an image: the regions that it falls into, without those that are annotated already; None where it is small.
    """

    image: Path
    objects: int = 0
    unsure: float = 0.0
    looks: tuple[float, ...] = ()
    problem: str = ""
    window: Window | None = None
    regions: tuple["Suggestion", ...] | None = None


def in_regions(suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """Return the regions of large images in place of these, without what is annotated already."""
    return [part for one in suggestions for part in ((one,) if one.regions is None or one.problem else one.regions)]


def rank(suggestions: Sequence[Suggestion], covered: Sequence[tuple[float, ...]] = ()) -> list[Suggestion]:
    """Return the images, or regions, in the order in which to annotate them.

    An image represents those that look like it. The first is the one that represents the most images, each further one
    for the most of those for which none before it does (facility location, as Wei, Iyer and Bilmes 2015, ICML, choose
    data to label). An image counts up to twice, the more objects of it the model is unsure of. By doubt alone the first
    would be the oddest ones, from which a model that has seen few images learns less than from any others (Hacohen,
    Dekel and Weinshall 2022, ICML). Looks are compared by their distance, in standard deviations over all images.

    Images of which the model is sure come behind, and those that could not be looked at last.

    Parameters
    ----------
    suggestions : sequence of Suggestion
    covered : sequence of tuple of float
        The looks of what is annotated already: it represents others from the beginning.
    """
    # of equal worth, the one that the model is less sure of
    seen = sorted((one for one in suggestions if not one.problem), key=lambda one: (-_doubt(one), one.image.name))
    order = _by_what_they_add(seen, covered) if seen else []
    ranked = sorted((seen[place] for place in order), key=lambda one: not one.unsure)
    return ranked + [one for one in suggestions if one.problem]


def _by_what_they_add(images: Sequence[Suggestion], covered: Sequence[tuple[float, ...]]) -> list[int]:
    """Return the images' places, each next the one that represents the most images for which none before it does."""
    looks = np.array([one.looks for one in images], np.float32)
    middle, width = looks.mean(0), np.maximum(looks.std(0), 1e-6)
    looks = (looks - middle) / width
    spoken_for = spread(len(images), _SPOKEN_FOR)
    weights = np.array([1.0 + _doubt(images[place]) for place in spoken_for], np.float32)
    likeness = _likeness(looks, looks[spoken_for])
    best = np.zeros(len(spoken_for), np.float32)
    if covered:
        known = (np.array(covered, np.float32) - middle) / width
        best = _likeness(looks, looks[spoken_for], known).max(axis=0)
    # what an image adds only gets less, so most need not be looked at again (Minoux 1978)
    heap = [(-float(added), place, 0) for place, added in enumerate(np.maximum(likeness - best, 0) @ weights)]
    heapq.heapify(heap)
    order: list[int] = []
    while heap:
        _, place, known_after = heapq.heappop(heap)
        if known_after == len(order):
            order.append(place)
            best = np.maximum(best, likeness[place])
        else:
            added = float(np.maximum(likeness[place] - best, 0) @ weights)
            heapq.heappush(heap, (-added, place, len(order)))
    return order


def _likeness(
    looks: NDArray[np.float32], others: NDArray[np.float32], of: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return how alike images, or further ones (`of`), are to others, from 0 to 1: at the usual distance, 1/e."""
    squares = cdist(looks, others, "sqeuclidean")
    different = squares[squares > _SAME]
    usual = float(np.median(different)) if different.size else 1.0
    asked = squares if of is None else cdist(of, others, "sqeuclidean")
    likeness: NDArray[np.float32] = np.exp(-asked / usual).astype(np.float32)
    return likeness


def _doubt(one: Suggestion) -> float:
    """Return the part of the objects that the model is unsure of, from 0 to 1."""
    return min(1.0, one.unsure / (_FEW + one.objects + one.unsure / 2))
