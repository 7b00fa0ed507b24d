"""What a training has to beat, scored on its validation images before the first epoch."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.selection import evenly
from napari_seg_trainer.engines.protocol import Engine, TrainingData
from napari_seg_trainer.evaluation.classical import NAME, segment_classically
from napari_seg_trainer.evaluation.scores import Scores, score_image
from napari_seg_trainer.files import read_bytes, write_text
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.runs.dataset import OnStage
from napari_seg_trainer.runs.model_scores import scored_images
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema import events
from napari_seg_trainer.schema._base import FrozenModel

MOST_PIXELS = 4 << 20
"""Of validation images that are looked at, so that this takes no long part of a short training."""


class ScoredBaseline(FrozenModel):
    """The pretrained model, or else a classical method.

    Attributes
    ----------
    name : str
    scores : Scores
        Of some or all of the validation images.
    also : tuple of ScoredBaseline
        What the model is compared with as well: where a pretrained model is to be beaten, the classical method.
    """

    name: str
    scores: Scores
    also: "tuple[ScoredBaseline, ...]" = ()


def settle_baseline(
    run: Run, engine: Engine, parent: LibraryModel | None, data: TrainingData, progress: OnStage
) -> ScoredBaseline:
    """Return what a run has to beat; it is scored once, and kept in the run's folder.

    Parameters
    ----------
    run : Run
    engine : Engine
    parent : LibraryModel, optional
        The model that the training starts from. Without one, and beside it, it is Otsu's threshold and a watershed, on
        the channel on which they do best, for bright or for dark objects.
    data : TrainingData
    progress : callable
        Told the stage, how many images are done, and how many there are.
    """
    file = run.folder / "baseline.json"
    try:
        return ScoredBaseline.model_validate_json(read_bytes(file))
    except (OSError, ValidationError):
        pass
    # among those that the model will be scored on
    scored = scored_images(data.validation)
    images = evenly(scored, len(scored), MOST_PIXELS)
    found = _classical(data, images, progress)
    if parent:
        found = _of_parent(engine, parent, images, progress).replace(also=(found,))
    write_text(file, found.model_dump_json())
    for one in (found, *found.also):
        run.append(events.Baseline(name=one.name, images=len(images), scores=one.scores.told))
    return found


def _of_parent(
    engine: Engine, parent: LibraryModel, images: Sequence[PreparedImage], progress: OnStage
) -> ScoredBaseline:
    predict = engine.load(parent.folder).predict
    return ScoredBaseline(name=f"the model '{parent.name}'", scores=_scores(images, predict, progress))


def _classical(data: TrainingData, images: Sequence[PreparedImage], progress: OnStage) -> ScoredBaseline:
    diameter = float(np.median(data.object_diameters))

    def segmented_by(channel: int, sign: int) -> Callable[[NDArray[np.float32]], NDArray[np.int32]]:
        return lambda image: segment_classically(sign * image[channel], diameter)

    ways = product(range(len(images[0].image)), (1, -1))
    tried = [_scores(images, segmented_by(channel, sign), progress) for channel, sign in ways]
    return ScoredBaseline(name=NAME, scores=max(tried, key=lambda scores: scores.pooled["ap50"]))


def _scores(
    images: Sequence[PreparedImage], predict: Callable[[NDArray[np.float32]], NDArray[np.int32]], progress: OnStage
) -> Scores:
    found = []
    for done, prepared in enumerate(images):
        progress("evaluating the baseline", done, len(images))
        found.append(score_image(prepared.name, prepared.labels, predict(np.asarray(prepared.image))))
    progress("evaluating the baseline", len(images), len(images))
    return Scores.of(found)
