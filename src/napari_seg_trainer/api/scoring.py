"""How good models are on annotated images, as a script asks it."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotatedPair, open_folders
from napari_seg_trainer.api.arguments import OnImages, StrPath, opened, paths_of, say_nothing
from napari_seg_trainer.errors import DataError, LibraryError
from napari_seg_trainer.evaluation.scores import ImageScore, Scores, score_image
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.segmentation.loop import Done, work_through
from napari_seg_trainer.segmentation.request import OnTile, SegmentRequest, check_choices
from napari_seg_trainer.segmentation.segment import Segmenter


def evaluate(
    model: str | LibraryModel,
    folders: StrPath | Sequence[StrPath],
    *,
    use: Sequence[str] = (),
    progress: OnImages = say_nothing,
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
        Called with how many images are done, parts of one included, and how many there are.

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
    problems: list[str] = []
    for done in scored(opened(model), paths_of(folders), use, progress):
        if done.result is None:
            problems.append(done.problem)
        else:
            found.append(done.result.score)
    scores = _scores_of(found, problems)
    _warn_of(problems)
    return scores


@dataclass(frozen=True, eq=False)
class Scored:
    """An annotated image, what a model finds in it (int32, axes YX), and how well."""

    image: AnnotatedImage
    labels: NDArray[np.int32]
    score: ImageScore


def scored(
    model: LibraryModel, folders: Sequence[Path], use: Sequence[str] = (), progress: OnImages = say_nothing
) -> Iterator[Done[AnnotatedPair, Scored]]:
    """Yield what becomes of each annotated image in turn, scores or a problem; `progress` is as for `evaluate`."""
    pairs = open_folders(folders)
    segmenter = Segmenter(model)
    check_choices(model.card, SegmentRequest(use=use))
    yield from score_pairs(segmenter.segment, pairs, use, lambda done: progress(done, len(pairs)))


def score_pairs(
    segment: Callable[..., NDArray[np.int32]],
    pairs: Sequence[AnnotatedPair],
    use: Sequence[str] = (),
    progress: Callable[[float], object] = lambda done: None,
) -> Iterator[Done[AnnotatedPair, Scored]]:
    """Yield what becomes of each annotated image; `segment` is a `Segmenter`'s, or a service's with its model."""

    def read(pair: AnnotatedPair) -> tuple[str, AnnotatedImage]:
        return str(pair.image), pair.read()

    def compute(given: tuple[str, AnnotatedImage], on_tile: OnTile) -> NDArray[np.int32]:
        name, image = given
        return segment(image.image, SegmentRequest(image.channels, image.pixel_size, use, name), on_tile=on_tile)

    def score(pair: AnnotatedPair, given: tuple[str, AnnotatedImage], labels: NDArray[np.int32]) -> Scored:
        _, image = given
        return Scored(image, labels, score_image(pair.stem, image.labels, labels))

    return work_through(pairs, read, compute, score, progress)


def _warn_of(problems: Sequence[str]) -> None:
    for problem in problems:
        warnings.warn(f"{problem} It is not included in the scores.", stacklevel=3)


def _scores_of(found: Sequence[ImageScore], problems: Sequence[str]) -> Scores:
    if not found:
        raise DataError(f"None of the images can be scored. {problems[0]}")
    return Scores.of(found)


def compare(
    models: Sequence[str | LibraryModel],
    folders: StrPath | Sequence[StrPath],
    *,
    use: Sequence[str] = (),
    progress: OnImages = say_nothing,
) -> dict[str, Scores]:
    """Score several models on the same annotated images, each kind of model in a process of its own.

    Parameters
    ----------
    models : sequence of str or LibraryModel
        As for `segment`.
    folders, use
        As for `evaluate`.
    progress : callable, optional
        Called with how many images are done with all models together, and how many there are.

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
    _warn_of(problems)
    return scores


def compared(
    models: Sequence[str | LibraryModel],
    folders: StrPath | Sequence[StrPath],
    use: Sequence[str] = (),
    progress: OnImages = say_nothing,
) -> tuple[dict[str, Scores], list[str]]:
    """Do as `compare`, and return why images are left out as well."""
    from napari_seg_trainer.segmentation.service import SegmentationService  # nothing else here needs what it imports

    chosen = [opened(model) for model in models]
    names = [model.name for model in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LibraryError(f"Two of these models are named {twice!r}, so they cannot be distinguished. Rename one.")
    for model in chosen:
        check_choices(model.card, SegmentRequest(use=use))
    pairs = open_folders(paths_of(folders))
    before, total = 0, len(chosen) * len(pairs)
    found = SideBySide(names, pairs)
    for engine in dict.fromkeys(model.card.engine for model in chosen):
        with SegmentationService() as service:  # one engine's memory at a time
            for model in (model for model in chosen if model.card.engine == engine):
                step = partial(_further, progress, before, total)
                for done in score_pairs(partial(service.segment, model), pairs, use, step):
                    found.add(model.name, done)
                before += len(pairs)
    return found.scores(), found.problems()


def _further(progress: OnImages, before: int, total: int, done: float) -> None:
    progress(before + done, total)


class SideBySide:
    """Scores of several models, on the images that all of them can be scored on.

    Parameters
    ----------
    models : sequence of str
        Their names.
    pairs : sequence of AnnotatedPair
    """

    def __init__(self, models: Sequence[str], pairs: Sequence[AnnotatedPair]) -> None:
        self._pairs = pairs
        self._found: dict[str, dict[AnnotatedPair, ImageScore]] = {name: {} for name in models}
        self._problems: dict[AnnotatedPair, str] = {}

    def add(self, model: str, done: Done[AnnotatedPair, Scored]) -> None:
        """Take note of what became of an image with a model."""
        if done.result is None:
            self._problems.setdefault(done.item, done.problem)
        else:
            self._found[model][done.item] = done.result.score

    def problems(self) -> list[str]:
        """Return why images are left out."""
        return list(self._problems.values())

    def scores(self) -> dict[str, Scores]:
        """Return the scores by the model's name.

        Raises
        ------
        DataError
            If there is no image that all can be scored on.
        """
        alike = [pair for pair in self._pairs if pair not in self._problems]
        return {name: _scores_of([own[pair] for pair in alike], self.problems()) for name, own in self._found.items()}
