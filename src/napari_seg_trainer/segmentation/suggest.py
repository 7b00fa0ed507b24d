"""Which images to annotate next: those that represent most of what a model is unsure of.

A model is asked for the objects of an image and of its mirror images, and, where its training has left the weights of
another late epoch, these are asked, too. What is an object in one answer and none in another is one that the model is
unsure of (query by committee: Seung, Opper and Sompolinsky 1992; here the committee looks from several sides).
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from napari_seg_trainer.annotations.image_file import ImageFile
from napari_seg_trainer.annotations.layouts import list_images, without_masks
from napari_seg_trainer.annotations.selection import spread
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.evaluation.matching import match
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.segmentation.files import count_objects, open_image
from napari_seg_trainer.segmentation.loop import work_through
from napari_seg_trainer.segmentation.request import OnTile, SegmentRequest, check_choices
from napari_seg_trainer.segmentation.segment import Segmenter

if TYPE_CHECKING:
    from napari_seg_trainer.segmentation.service import SegmentationService

IOU = 0.5
"""Two answers hold the same object if they overlap by so much."""
_FEW = 3
"""Added to the number of objects, so that a single doubtful one does not count much."""
_SPOKEN_FOR = 1000
"""Where there are more images, this many at equal distances are compared in place of all."""
_SAME = 1e-4
"""Square of a distance that counts as none."""
_MIRRORS = (-2, -1)
_Segment = Callable[[NDArray[Any]], NDArray[np.int32]]


@dataclass(frozen=True)
class Suggestion:
    """How sure a model is of one image.

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
    """

    image: Path
    objects: int = 0
    unsure: float = 0.0
    looks: tuple[float, ...] = ()
    problem: str = ""


def rank(suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """Return the images in the order in which to annotate them.

    An image represents those that look like it. The first is the one that represents the most images, each further one
    for the most of those for which none before it does (facility location, as Wei, Iyer and Bilmes 2015, ICML, choose
    data to label). An image counts up to twice, the more objects of it the model is unsure of. By doubt alone the first
    would be the oddest ones, from which a model that has seen few images learns less than from any others (Hacohen,
    Dekel and Weinshall 2022, ICML). Looks are compared by their distance, in standard deviations over all images.

    Images of which the model is sure come behind, and those that could not be looked at last.
    """
    # of equal worth, the one that the model is less sure of
    seen = sorted((one for one in suggestions if not one.problem), key=lambda one: (-_doubt(one), one.image.name))
    order = _by_what_they_add(seen) if seen else []
    ranked = sorted((seen[place] for place in order), key=lambda one: not one.unsure)
    return ranked + [one for one in suggestions if one.problem]


def _by_what_they_add(images: Sequence[Suggestion]) -> list[int]:
    """Return the images' places, each next the one that represents the most images for which none before it does."""
    looks = np.array([one.looks for one in images], np.float32)
    looks = (looks - looks.mean(0)) / np.maximum(looks.std(0), 1e-6)
    spoken_for = spread(len(images), _SPOKEN_FOR)
    weights = np.array([1.0 + _doubt(images[place]) for place in spoken_for], np.float32)
    likeness = _likeness(looks, looks[spoken_for])
    best = np.zeros(len(spoken_for), np.float32)
    # what an image adds only gets less, so most need not be looked at again (Minoux 1978)
    heap = [(-float(added), place, 0) for place, added in enumerate(likeness @ weights)]
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


def _likeness(looks: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how alike images are, from 0 to 1: at the usual distance, 1/e."""
    squares = cdist(looks, others, "sqeuclidean")
    different = squares[squares > _SAME]
    usual = float(np.median(different)) if different.size else 1.0
    likeness: NDArray[np.float32] = np.exp(-squares / usual).astype(np.float32)
    return likeness


def _doubt(one: Suggestion) -> float:
    """Return the part of the objects that the model is unsure of, from 0 to 1."""
    return min(1.0, one.unsure / (_FEW + one.objects + one.unsure / 2))


def looks_of(image: NDArray[Any], labels: NDArray[np.int32]) -> tuple[float, ...]:
    """Return how large an image (CYX) is, how its intensities are spread, and how many objects (YX) it has, how large.

    Sizes and numbers are logarithms, so that ratios count.
    """
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    low, middle, high, top = np.percentile(image[0].astype(np.float32), (1, 50, 90, 99.8))
    span = max(float(top - low), 1e-9)
    typical = float(np.log(np.median(areas))) if areas.size else 0.0
    return (
        float(np.log(labels.size)),
        float(middle - low) / span,
        float(high - low) / span,
        float(np.log1p(areas.size)),
        typical,
    )


def unannotated(places: Sequence[Path]) -> list[Path]:
    """Return the image files among these places, and those in the folders among them that have no mask beside them.

    Raises
    ------
    DataError
        If a place is missing or unreadable, or there is no such image.
    """
    found: dict[Path, None] = {}
    for place in places:
        if place.is_dir():
            images = without_masks(list_images(place))
        elif place.exists():
            images = [place]
        else:
            raise DataError(f"There is no image '{place}'. Check the path.")
        if not images:
            raise DataError(f"'{place}' holds no image that is not annotated yet. Choose another folder.")
        found |= dict.fromkeys(images)
    return list(found)


def look_at_images(
    model: LibraryModel,
    images: Sequence[Path],
    request: SegmentRequest | None = None,
    *,
    checkpoint: Path | None = None,
    service: "SegmentationService | None" = None,
    progress: Callable[[float], object] = lambda done: None,
) -> Iterator[Suggestion]:
    """Find out how sure a model is, of one image after the other.

    Parameters
    ----------
    model : LibraryModel
    images : sequence of Path
        TIFF or PNG files, 2D with any number of channels.
    request : SegmentRequest, optional
        What holds for all of them.
    checkpoint : Path, optional
        Weights of another late epoch of the model's training.
    service : SegmentationService, optional
        Segment in its process; in this one where not given.
    progress : callable
        As for `work_through`.

    Yields
    ------
    Suggestion
        In the order of the images; `rank` sorts them.

    Raises
    ------
    EngineError, LibraryError
        If the model cannot be used; an image that cannot be used is reported instead.
    """
    request = request or SegmentRequest()
    check_choices(model.card, request)
    segments = _segments(model, checkpoint, service)

    def look(given: tuple[Path, ImageFile], on_tile: OnTile) -> Suggestion:
        path, image = given
        own = request.of(image.channels, image.pixel_size, str(path))
        answers, asked = len(segments) + len(_MIRRORS), count()

        def ask(segment: Callable[..., NDArray[np.int32]], pixels: NDArray[Any]) -> NDArray[np.int32]:
            before = next(asked)
            labels = segment(pixels, own, on_tile=lambda done, total: on_tile(before * total + done, answers * total))
            on_tile(before + 1, answers)
            return labels

        return _look(path, image.data, [partial(ask, segment) for segment in segments])

    def open_it(path: Path) -> tuple[Path, ImageFile]:
        return path, open_image(path, chosen=bool(request.use))

    for done in work_through(images, open_it, look, lambda _path, _given, found: found, progress):
        yield done.result or Suggestion(done.item, problem=done.problem)


def disagreement(answers: Sequence[NDArray[np.int32]]) -> float:
    """Return how many objects are in one answer (YX) and not in another, in the mean over all pairs."""
    pairs = [match(one, other, (IOU,))[0] for one, other in combinations(answers, 2)]
    return float(np.mean([pair.false_positive + pair.false_negative for pair in pairs]))


def _segments(
    model: LibraryModel, checkpoint: Path | None, service: "SegmentationService | None"
) -> list[Callable[..., NDArray[np.int32]]]:
    """Return what segments with the model's own weights, and with those of the checkpoint where there is one."""
    weights = [None] if checkpoint is None else [None, checkpoint]
    if service is None:
        return [Segmenter(model, one).segment for one in weights]
    return [partial(service.segment, model, checkpoint=one) for one in weights]


def _look(path: Path, image: NDArray[Any], segments: Sequence[_Segment]) -> Suggestion:
    """Ask the first segmentation for an image (CYX) and its mirror images, and the others for the image."""
    answers = [segment(image) for segment in segments]
    answers += [np.flip(segments[0](np.ascontiguousarray(np.flip(image, axis))), axis) for axis in _MIRRORS]
    found = answers[0]
    return Suggestion(path, count_objects(found), disagreement(answers), looks_of(image, found))
