"""StarDist as an `Engine`, on the real `stardist` package."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from stardist.models import Config2D, StarDist2D

from napari_seg_trainer.annotations.patches import Patch, PatchPlan, PatchStream, draw_patch
from napari_seg_trainer.annotations.selection import spread
from napari_seg_trainer.engines.portable import PortableNetwork
from napari_seg_trainer.engines.protocol import PredictionSettings, TrainingContext, TrainingData, TrainingTask
from napari_seg_trainer.engines.stardist.design import adopt, complete
from napari_seg_trainer.engines.stardist.files import find_stardist_weights, read_config, read_thresholds
from napari_seg_trainer.engines.stardist.network import (
    MEANS_FILE,
    Trainer,
    load_arrays,
    make_config,
    set_tile_overlap,
    training_fields,
    use_device,
)
from napari_seg_trainer.engines.stardist.portable import write_network
from napari_seg_trainer.engines.stardist.spec import StarDistParameters, StarDistSettings
from napari_seg_trainer.engines.stardist.targets import Batch, make_batch
from napari_seg_trainer.engines.stardist.thresholds import DEFAULTS, MAX_CANDIDATES, optimize_thresholds
from napari_seg_trainer.engines.stardist.weights import check_weights
from napari_seg_trainer.errors import JobError, LibraryError

MAX_VALIDATION_PATCHES = 100
TILE = 1024


class StarDistEngine:
    """Trains, exports and loads `stardist.models.StarDist2D`."""

    def train(self, task: TrainingTask, data: TrainingData, context: TrainingContext) -> None:
        """Train as `Engine.train` says."""
        device = use_device(task.seed)
        trainer, parameters = _make_trainer(task, data)
        set_tile_overlap(trainer.model)
        config = trainer.model.config
        make = partial(make_batch, rays=config.n_rays, grid=config.grid[0])
        patch = (config.train_patch_size[0], config.train_patch_size[1])
        plan = PatchPlan(patch, parameters.batch_size, parameters.augmentation, parameters.foreground, task.seed)
        stream = PatchStream(data.training, plan)
        validation = [make(patches) for patches in _validation_patches(data, plan)]
        if context.checkpoint is not None:
            trainer.restore(context.checkpoint)
        elif task.pretrained is None:
            trainer.expect_distances(validation)
        context.start(parameters, steps_per_epoch=stream.batches_per_epoch, device=device)
        for epoch in range(context.first_epoch, parameters.epochs + 1):
            metrics = _train_epoch(trainer, stream.epoch(epoch, make), stream.batches_per_epoch, epoch, context)
            metrics |= trainer.validate(validation)
            if not context.end_epoch(epoch, metrics, trainer.save, partial(_predicting, trainer)):
                break

    def export(self, checkpoint: Path, data: TrainingData, folder: Path, context: TrainingContext) -> None:
        """Write a folder that `stardist.models.StarDist2D` opens, its thresholds optimised on validation images."""
        config = Config2D(**json.loads((checkpoint / "config.json").read_text(encoding="utf-8")))
        model = StarDist2D(config, name=folder.name, basedir=str(folder.parent))
        model.keras_model.set_weights(load_arrays(checkpoint / MEANS_FILE))
        model.keras_model.save_weights(str(folder / "weights_best.h5"))
        set_tile_overlap(model)
        thresholds = optimize_thresholds(model, data.validation, partial(context.progress, "optimising thresholds"))
        (folder / "thresholds.json").write_text(json.dumps(thresholds), encoding="utf-8")

    def load(self, folder: Path) -> "StarDistPredictor":
        """Open a StarDist model folder."""
        use_device(0)
        return StarDistPredictor(_open(folder))

    def load_checkpoint(self, checkpoint: Path, model: Path) -> "StarDistPredictor":
        """Open a model folder with the weights of an epoch, as `LoadsCheckpoints.load_checkpoint` says."""
        use_device(0)
        opened = _open(model)
        try:
            opened.keras_model.set_weights(load_arrays(checkpoint / MEANS_FILE))
        except (OSError, ValueError) as error:
            raise LibraryError(f"'{checkpoint}' holds no weights of the model in '{model}'.") from error
        return StarDistPredictor(opened)

    def write_portable(self, model: Path, folder: Path, channels: int) -> PortableNetwork:
        """Write a network in Keras's format, as `Portable.write_portable` says; it has its channels itself."""
        use_device(0)
        return write_network(_open(model), folder)


class StarDistPredictor:
    """A StarDist model in memory; it is also a `tiles.TellsTiles`."""

    def __init__(self, model: StarDist2D) -> None:
        self.model = model
        self.on_tile: Callable[[int, int], object] | None = None

    def predict(self, image: NDArray[np.float32], settings: PredictionSettings | None = None) -> NDArray[np.int32]:
        """Return the instances (YX) of a normalized image (CYX); images over 1024 pixels go through in tiles."""
        chosen = StarDistSettings() if settings is None else settings
        if not isinstance(chosen, StarDistSettings):
            raise TypeError(f"StarDist cannot predict with {type(chosen).__name__}")
        pixels = np.moveaxis(image, 0, -1)
        tiles, done = _tiles(pixels.shape), 0
        # what `predict_instances` runs through: a word for each tile, and the result in the end
        steps = self.model._predict_instances_generator(  # noqa: SLF001
            pixels,
            axes="YXC",
            n_tiles=tiles,
            show_tile_progress=False,
            prob_thresh=chosen.probability,
            nms_thresh=chosen.overlap,
        )
        result = None
        for result in steps:
            if isinstance(result, str) and result == "tile" and tiles is not None and self.on_tile is not None:
                done += 1
                self.on_tile(done, math.prod(tiles))
        assert isinstance(result, tuple), "the last is the result"
        return np.asarray(result[0], np.int32)


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


def _make_trainer(task: TrainingTask, data: TrainingData) -> tuple[Trainer, StarDistParameters]:
    given = task.parameters
    if not isinstance(given, StarDistParameters):
        raise TypeError(f"StarDist cannot be trained with {type(given).__name__}")
    shapes = [prepared.labels.shape for prepared in data.training]
    if task.pretrained is None:
        parameters = complete(given, shapes, data.object_diameters, data.object_extents)
        return Trainer(StarDist2D(make_config(task.channels, parameters), name=None, basedir=None)), parameters
    start = _open(task.pretrained)
    _check_pretrained(start, task)
    known = vars(start.config)
    parameters = adopt(given, known, shapes, data.object_extents)
    config = Config2D(**{**known, **training_fields(parameters)})
    trainer = Trainer(StarDist2D(config, name=None, basedir=None))
    trainer.set_weights(start.keras_model.get_weights())
    return trainer, parameters


def _check_pretrained(start: StarDist2D, task: TrainingTask) -> None:
    if start.config.n_channel_in != task.channels:
        raise JobError(
            f"The pretrained model takes {start.config.n_channel_in} channel(s), the job gives {task.channels}. "
            "Choose as many channels as the pretrained model has."
        )
    if start.config.n_classes is not None:
        raise JobError("The pretrained model tells classes of objects, which cannot be trained here. Choose another.")


def _open(folder: Path) -> StarDist2D:
    """Open a StarDist folder: a network that is built here, with the numbers of the file."""
    weights = find_stardist_weights(folder)
    try:
        check_weights(weights)
        config = Config2D(**read_config(folder, weights).arguments())
        thresholds = read_thresholds(folder)
        model = StarDist2D(config, name=None, basedir=None)
        model.keras_model.load_weights(str(weights))
    except Exception as error:  # what is broken in a file of weights can raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise LibraryError(f"StarDist cannot open the model in {str(folder)!r}: {reason}") from error
    model.thresholds = DEFAULTS | thresholds.model_dump(exclude_none=True)
    set_tile_overlap(model)
    return model


def _validation_patches(data: TrainingData, plan: PatchPlan) -> Iterable[list[Patch]]:
    """Yield one fixed patch for each validation image, a hundred at most, in batches."""
    rng = np.random.default_rng(plan.seed)
    patches = [draw_patch(data.validation[i], plan, rng) for i in spread(len(data.validation), MAX_VALIDATION_PATCHES)]
    for start in range(0, len(patches), plan.batch_size):
        yield patches[start : start + plan.batch_size]


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
