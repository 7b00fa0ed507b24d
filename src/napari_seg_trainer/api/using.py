"""Using models, as a script does."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.channels import all_unnamed
from napari_seg_trainer.annotations.folder import AnnotatedPair, open_folders
from napari_seg_trainer.errors import DataError, LibraryError
from napari_seg_trainer.evaluation.scores import ImageScore, Scores, score_image
from napari_seg_trainer.library.library import open_model
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.runs.late import late_checkpoint
from napari_seg_trainer.segmentation.loop import Done, work_through
from napari_seg_trainer.segmentation.segment import Segmenter, size_warning
from napari_seg_trainer.segmentation.suggest import Suggestion, look_at_images, rank, unannotated

StrPath = str | PathLike[str]
Progress = Callable[[int, int], object]


def _say_nothing(done: int, total: int) -> None:
    """Take note of how far it is."""


def segment(
    model: str | LibraryModel,
    image: NDArray[Any],
    *,
    channels: Sequence[str] | None = None,
    pixel_size: float | None = None,
    use: Sequence[str] = (),
    settings: Mapping[str, JsonValue] | None = None,
) -> NDArray[np.int32]:
    """Return the instances that a model finds in an image, computed in this process.

    Parameters
    ----------
    model : str or LibraryModel
        A name in the library, a model folder, or an opened model.
    image : NDArray, axes YX or CYX
        Intensities as they are.
    channels : sequence of str, optional
        The image's channel names; needed where it has others than the model.
    pixel_size : float, optional
        µm per pixel. Without it, or where it is far from the model's, a `UserWarning` tells so.
    use : sequence of str
        Names or numbers of the channels that feed the model, where the names differ.
    settings : mapping, optional
        Of the prediction, such as ``{"probability": 0.6}`` for StarDist; the model's own where not given.

    Returns
    -------
    NDArray of int32, axes YX

    Raises
    ------
    SegTrainerError
        If the model or a channel is missing.
    """
    pixels = np.asarray(image)
    if pixels.ndim not in (2, 3):
        raise DataError(f"The image has {pixels.ndim} axes. Give one with axes YX, or CYX with its channels first.")
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    names = list(all_unnamed(len(pixels)) if channels is None else channels)
    if len(names) != len(pixels):
        raise DataError(f"The image has {len(pixels)} channel(s), but {len(names)} name(s) are given.")
    opened = _opened(model)
    doubt = size_warning(opened.card, pixel_size)
    if doubt:
        warnings.warn(doubt, stacklevel=2)
    return Segmenter(opened).segment(pixels, names, pixel_size=pixel_size, use=use, settings=settings)


def evaluate(
    model: str | LibraryModel,
    folders: StrPath | Sequence[StrPath],
    *,
    use: Sequence[str] = (),
    progress: Progress = _say_nothing,
) -> Scores:
    """Score a model on annotated images, computed in this process.

    Parameters
    ----------
    model : str or LibraryModel
        As for `segment`.
    folders : path or sequence of paths
        Annotation folders.
    use : sequence of str
        As for `segment`.
    progress : callable, optional
        Told how many images are done, and how many there are.

    Returns
    -------
    Scores
        Per image and pooled, at IoU thresholds 0.5, 0.7, 0.9. An image that cannot be scored is left out, and a
        `UserWarning` says why.

    Raises
    ------
    SegTrainerError
        If the model or a folder is missing, or no image can be scored.
    """
    found: list[ImageScore] = []
    for done in scored(_opened(model), _paths(folders), use, progress):
        if done.result is None:
            _warn_of(done.problem)
        else:
            found.append(done.result.score)
    return _scores_of(found)


@dataclass(frozen=True, eq=False)
class Scored:
    """An annotated image, what a model finds in it (int32, axes YX), and how well."""

    image: AnnotatedImage
    labels: NDArray[np.int32]
    score: ImageScore


def scored(
    model: LibraryModel, folders: Sequence[Path], use: Sequence[str] = (), progress: Progress = _say_nothing
) -> Iterator[Done[AnnotatedPair, Scored]]:
    """Yield what becomes of each annotated image in turn, scores or a problem; `progress` is as for `evaluate`."""
    pairs = open_folders(folders)
    segmenter = Segmenter(model)
    progress(0, len(pairs))
    for place, done in enumerate(score_pairs(segmenter.segment, pairs, use), 1):
        yield done
        progress(place, len(pairs))


def score_pairs(
    segment: Callable[..., NDArray[np.int32]], pairs: Sequence[AnnotatedPair], use: Sequence[str] = ()
) -> Iterator[Done[AnnotatedPair, Scored]]:
    """Yield what becomes of each annotated image; `segment` is a `Segmenter`'s, or a service's with its model."""

    def read(pair: AnnotatedPair) -> tuple[str, AnnotatedImage]:
        return str(pair.image), pair.read()

    def compute(given: tuple[str, AnnotatedImage]) -> NDArray[np.int32]:
        name, image = given
        return segment(image.image, image.channels, pixel_size=image.pixel_size, use=use, name=name)

    def score(pair: AnnotatedPair, given: tuple[str, AnnotatedImage], labels: NDArray[np.int32]) -> Scored:
        _, image = given
        return Scored(image, labels, score_image(pair.stem, image.labels, labels))

    return work_through(pairs, read, compute, score)


def _warn_of(problem: str) -> None:
    warnings.warn(f"{problem} It is left out of the scores.", stacklevel=3)


def _scores_of(found: Sequence[ImageScore]) -> Scores:
    if not found:
        raise DataError("None of the images can be scored. The warnings say why.")
    return Scores.of(found)


def compare(
    models: Sequence[str | LibraryModel],
    folders: StrPath | Sequence[StrPath],
    *,
    use: Sequence[str] = (),
    progress: Progress = _say_nothing,
) -> dict[str, Scores]:
    """Score several models on the same annotated images, each kind of model in a process of its own.

    Parameters
    ----------
    models : sequence of str or LibraryModel
        As for `segment`.
    folders, use
        As for `evaluate`.
    progress : callable, optional
        Told how many images are done with all models together, and how many there are.

    Returns
    -------
    dict of str to Scores
        By the model's name, in the order given. An image that cannot be scored with one model is left out of all,
        and a `UserWarning` says why.

    Raises
    ------
    SegTrainerError
        As for `evaluate`, or if two models have the same name.
    """
    scores, problems = compared(models, folders, use, progress)
    for problem in problems:
        _warn_of(problem)
    return scores


def compared(
    models: Sequence[str | LibraryModel],
    folders: StrPath | Sequence[StrPath],
    use: Sequence[str] = (),
    progress: Progress = _say_nothing,
) -> tuple[dict[str, Scores], list[str]]:
    """Do as `compare`, and return why images are left out as well."""
    from napari_seg_trainer.segmentation.service import SegmentationService  # nothing else here needs what it imports

    opened = [_opened(model) for model in models]
    names = [model.name for model in opened]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LibraryError(f"Two of these models are named {twice!r}, so nobody can tell them apart. Rename one.")
    pairs = open_folders(_paths(folders))
    found: dict[str, dict[AnnotatedPair, ImageScore]] = {}
    problems: dict[AnnotatedPair, str] = {}
    for engine in dict.fromkeys(model.card.engine for model in opened):
        with SegmentationService() as service:  # one engine's memory at a time
            for model in (model for model in opened if model.card.engine == engine):
                before, own = len(found) * len(pairs), found.setdefault(model.name, {})
                for place, done in enumerate(score_pairs(partial(service.segment, model), pairs, use), 1):
                    if done.result is None:
                        problems.setdefault(done.item, done.problem)
                    else:
                        own[done.item] = done.result.score
                    progress(before + place, len(opened) * len(pairs))
    alike = [pair for pair in pairs if pair not in problems]
    return {name: _scores_of([found[name][pair] for pair in alike]) for name in names}, list(problems.values())


def suggest(
    model: str | LibraryModel,
    images: StrPath | Sequence[StrPath],
    *,
    use: Sequence[str] = (),
    pixel_size: float | None = None,
    progress: Progress = _say_nothing,
) -> list[Suggestion]:
    """Tell which images to annotate next: first those that speak for most of what a model is unsure of.

    It is computed in this process.

    Parameters
    ----------
    model : str or LibraryModel
        As for `segment`.
    images : path or sequence of paths
        Image files, and folders with such; images in folders that are annotated already are left out.
    use : sequence of str
        As for `segment`.
    pixel_size : float, optional
        µm per pixel, where the files do not tell it or are wrong; it counts for all.
    progress : callable, optional
        As for `evaluate`.

    Returns
    -------
    list of Suggestion
        All images; those that could not be looked at come last, with the reason.

    Raises
    ------
    SegTrainerError
        If the model or a place is missing, or there is no image.
    """
    return rank(list(looked_at(_opened(model), _paths(images), use, pixel_size, progress)))


def looked_at(
    model: LibraryModel,
    places: Sequence[Path],
    use: Sequence[str] = (),
    pixel_size: float | None = None,
    progress: Progress = _say_nothing,
) -> Iterator[Suggestion]:
    """Yield how sure a model is of each image, as they come; the parameters are those of `suggest`."""
    images = unannotated(places)
    looks = look_at_images(model, images, checkpoint=late_checkpoint(model.card), pixel_size=pixel_size, use=use)
    for done, suggestion in enumerate(looks, 1):
        yield suggestion
        progress(done, len(images))


def load_annotations(folders: StrPath | Sequence[StrPath]) -> list[AnnotatedImage]:
    """Read all annotated images of one or more annotation folders.

    Raises
    ------
    DataError
        If a folder or a file cannot be used.
    """
    return [pair.read() for pair in open_folders(_paths(folders))]


def _paths(folders: StrPath | Sequence[StrPath]) -> list[Path]:
    return [Path(folder) for folder in ([folders] if isinstance(folders, str | PathLike) else folders)]


def _opened(model: str | LibraryModel) -> LibraryModel:
    return model if isinstance(model, LibraryModel) else open_model(model)
