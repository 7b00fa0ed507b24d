"""Which images to annotate next: those that represent most of what a model is unsure of.

A model is asked for the objects of an image and of its mirror images, and, where its training has left the weights of
another late epoch, these are asked, too. What is an object in one answer and none in another is one that the model is
unsure of (query by committee: Seung, Opper and Sompolinsky 1992; here the committee looks from several sides).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.image_file import ImageFile
from napari_seg_trainer.annotations.layouts import list_images, without_masks
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.evaluation.matching import match
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.segmentation.files import count_objects, open_image
from napari_seg_trainer.segmentation.looks import looks_of
from napari_seg_trainer.segmentation.loop import work_through
from napari_seg_trainer.segmentation.ranking import Suggestion
from napari_seg_trainer.segmentation.regions import Covered, regions_of
from napari_seg_trainer.segmentation.request import OnTile, SegmentRequest, check_choices
from napari_seg_trainer.segmentation.segment import Segmenter

if TYPE_CHECKING:
    from napari_seg_trainer.segmentation.service import SegmentationService

IOU = 0.5
"""Two answers hold the same object if they overlap by so much."""
_MIRRORS = (-2, -1)
_Segment = Callable[[NDArray[Any]], NDArray[np.int32]]


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
    covered: Covered | None = None,
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
    covered : Covered, optional
        What is annotated already; where given, large images are looked at region by region.
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

        return _look(path, image.data, [partial(ask, segment) for segment in segments], covered)

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


def _look(path: Path, image: NDArray[Any], segments: Sequence[_Segment], covered: Covered | None) -> Suggestion:
    """Ask the first segmentation for an image (CYX) and its mirror images, and the others for the image."""
    answers = [segment(image) for segment in segments]
    answers += [np.flip(segments[0](np.ascontiguousarray(np.flip(image, axis))), axis) for axis in _MIRRORS]
    found = answers[0]
    regions = None if covered is None else regions_of(path, image, answers, covered)
    looks = looks_of(image, found)
    return Suggestion(path, count_objects(found), disagreement(answers), looks, regions=regions)
