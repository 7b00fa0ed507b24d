"""The training with TensorFlow: stardist's own network, and what `Engine.train` says."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stardist.models import Config2D, StarDist2D

from napari_seg_trainer.annotations.patches import PatchStream
from napari_seg_trainer.engines.protocol import PredictionSettings, TrainingContext, TrainingData, TrainingTask
from napari_seg_trainer.engines.stardist.files import find_stardist_weights, opening, read_config
from napari_seg_trainer.engines.stardist.plan import begin, patch_plan, validation_patches
from napari_seg_trainer.engines.stardist.state import inverted_arrays
from napari_seg_trainer.engines.stardist.targets import Batch, make_batch
from napari_seg_trainer.engines.stardist.tensorflow.network import Trainer, set_tile_overlap, use_device
from napari_seg_trainer.engines.stardist.thresholds import DEFAULTS, MAX_CANDIDATES
from napari_seg_trainer.engines.stardist.weights import read_arrays

TILE = 1024


def train(task: TrainingTask, data: TrainingData, context: TrainingContext) -> None:
    """Train as `Engine.train` says."""
    device = use_device(task.seed)
    start = None if task.pretrained is None else open_stardist(task.pretrained)
    parameters, config = begin(task, data, None if start is None else vars(start.config), context.checkpoint)
    trainer = Trainer(StarDist2D(Config2D(**config), name=None, basedir=None))
    if start is not None:
        weights = start.keras_model.get_weights()
        trainer.set_weights(inverted_arrays(weights) if parameters.inverted else weights)
        trainer.keep(parameters.keep or 0.0)
    set_tile_overlap(trainer.model)
    make: Callable[[Any], Batch] = partial(make_batch, rays=config["n_rays"], grid=config["grid"][0])
    plan = patch_plan(task, parameters)
    stream = PatchStream(data.training, plan)
    validation = [make(patches) for patches in validation_patches(data, plan)]
    if context.checkpoint is not None:
        trainer.restore(context.checkpoint)
    elif start is None:
        trainer.expect_distances(validation)
    context.start(parameters, steps_per_epoch=stream.batches_per_epoch, device=device)
    for epoch in context.epochs():
        metrics = _train_epoch(trainer, stream.epoch(epoch, make), stream.batches_per_epoch, epoch, context)
        metrics |= trainer.validate(validation)
        if not context.end_epoch(epoch, metrics, trainer.save, partial(_predicting, trainer)):
            break


class _LearningPredictor:
    """The network while it learns, with StarDist's own thresholds.

    One that has learned little proposes an object at nearly every pixel, and comparing all with all takes minutes: then
    nothing is found.
    """

    def __init__(self, model: StarDist2D) -> None:
        self._model = model

    def predict(self, image: NDArray[np.float32], settings: PredictionSettings | None = None) -> NDArray[np.int32]:
        """Return the instances (YX) of a normalized image (CYX); nobody changes the settings of one that learns."""
        pixels = np.moveaxis(np.asarray(image), 0, -1)
        probability, distances = self._model.predict(
            pixels, axes="YXC", n_tiles=_tiles(pixels.shape), show_tile_progress=False
        )[:2]
        if (probability > DEFAULTS["prob"]).mean() > MAX_CANDIDATES:
            return np.zeros(pixels.shape[:2], np.int32)
        labels, _ = self._model._instances_from_prediction(  # noqa: SLF001 - what `predict_instances` itself goes on with
            pixels.shape[:2], probability, distances, prob_thresh=DEFAULTS["prob"], nms_thresh=DEFAULTS["nms"]
        )
        return np.asarray(labels, np.int32)


@contextmanager
def _predicting(trainer: Trainer) -> Iterator[_LearningPredictor]:
    with trainer.averaged():
        yield _LearningPredictor(trainer.model)


def _tiles(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return into how many tiles an image (YXC) is cut; None for one."""
    rows, columns = (-(-length // TILE) for length in shape[:2])
    return (rows, columns, 1) if max(rows, columns) > 1 else None


def open_stardist(folder: Path) -> StarDist2D:
    """Open a StarDist folder: a network that is built here, with the numbers of the file.

    Raises
    ------
    LibraryError
        If there is none, or it is damaged.
    """
    weights = find_stardist_weights(folder)
    with opening(folder):
        arrays = [array for layer in read_arrays(weights) for array in layer]
        model = StarDist2D(Config2D(**read_config(folder, weights).arguments()), name=None, basedir=None)
        model.keras_model.set_weights(arrays)
    return model


def _train_epoch(
    trainer: Trainer, batches: Iterable[Batch], steps: int, epoch: int, context: TrainingContext
) -> dict[str, float]:
    losses: list[dict[str, float]] = []
    learning_rate = context.learning_rate(epoch)
    for batch in batches:
        losses.append(trainer.train_step(batch, learning_rate))
        if not context.end_step(epoch, len(losses), steps) or not math.isfinite(losses[-1]["loss"]):
            break
    return {name: float(np.mean([loss[name] for loss in losses])) for name in losses[0]}
