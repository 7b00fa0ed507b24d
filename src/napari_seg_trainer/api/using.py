"""Using models, as a script does."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotatedPair, open_folders
from napari_seg_trainer.errors import DataError, LibraryError
from napari_seg_trainer.evaluation.scores import ImageScore, Scores, score_image
from napari_seg_trainer.library.library import open_model
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.runs.late import late_checkpoint
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
    names = [f"channel {i}" for i in range(len(pixels))] if channels is None else list(channels)
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
        Per image and pooled, at IoU thresholds 0.5, 0.7, 0.9.

    Raises
    ------
    SegTrainerError
        If the model, a folder or a channel is missing, or an image is broken.
    """
    chosen = [folders] if isinstance(folders, str | PathLike) else list(folders)
    found = scored(_opened(model), [Path(folder) for folder in chosen], use, progress)
    return Scores.of(score for score, _, _ in found)


def scored(
    model: LibraryModel, folders: Sequence[Path], use: Sequence[str] = (), progress: Progress = _say_nothing
) -> Iterator[tuple[ImageScore, AnnotatedImage, NDArray[np.int32]]]:
    """Yield score, annotated image and prediction of each image in turn; `progress` is as for `evaluate`."""
    pairs = open_folders(folders)
    segmenter = Segmenter(model)
    for done, pair in enumerate(pairs):
        progress(done, len(pairs))
        yield _scored_pair(segmenter.segment, use, pair)
    progress(len(pairs), len(pairs))


def _scored_pair(
    segment: Callable[..., NDArray[np.int32]], use: Sequence[str], pair: AnnotatedPair
) -> tuple[ImageScore, AnnotatedImage, NDArray[np.int32]]:
    annotated = pair.read()
    prediction = segment(
        annotated.image, annotated.channels, pixel_size=annotated.pixel_size, use=use, name=str(pair.image)
    )
    return score_image(pair.stem, annotated.labels, prediction), annotated, prediction


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
        By the model's name, in the order given.

    Raises
    ------
    SegTrainerError
        As for `evaluate`, or if two models have the same name.
    """
    from napari_seg_trainer.segmentation.service import SegmentationService  # nothing else here needs what it imports

    opened = [_opened(model) for model in models]
    names = [model.name for model in opened]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LibraryError(f"Two of these models are named {twice!r}, so nobody can tell them apart. Rename one.")
    pairs = open_folders([Path(folder) for folder in ([folders] if isinstance(folders, str | PathLike) else folders)])
    found: dict[str, Scores] = {}
    for engine in dict.fromkeys(model.card.engine for model in opened):
        with SegmentationService() as service:  # one engine's memory at a time
            for model in (model for model in opened if model.card.engine == engine):
                scores: list[ImageScore] = []
                for pair in pairs:
                    scores.append(_scored_pair(partial(service.segment, model), use, pair)[0])
                    progress(len(found) * len(pairs) + len(scores), len(opened) * len(pairs))
                found[model.name] = Scores.of(scores)
    return {model.name: found[model.name] for model in opened}


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
    chosen = [images] if isinstance(images, str | PathLike) else list(images)
    return rank(list(looked_at(_opened(model), [Path(place) for place in chosen], use, pixel_size, progress)))


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
    chosen = [folders] if isinstance(folders, str | PathLike) else list(folders)
    return [pair.read() for pair in open_folders([Path(folder) for folder in chosen])]


def _opened(model: str | LibraryModel) -> LibraryModel:
    return model if isinstance(model, LibraryModel) else open_model(model)
