"""The same training on a half and a quarter of the images, to see whether more images would help."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.engines.protocol import Engine, Predicting, TrainingData, TrainingTask
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.evaluation.comparison import FEWEST_TRAINING_IMAGES, PARTS, CurvePoint, LearningCurve
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.files import read_bytes, write_text
from napari_seg_trainer.runs.checkpoint import epoch_folder
from napari_seg_trainer.runs.context import RunContext
from napari_seg_trainer.runs.model_scores import score_model, scored_images
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.scoring import Scoring
from napari_seg_trainer.schema.job import Hyperparameters, settled

_log = logging.getLogger(__name__)
_MOST_AUGMENTATION = 100.0


def learn_curve(
    context: RunContext, run: Run, new_engine: Callable[[], Engine], task: TrainingTask, data: TrainingData
) -> LearningCurve | None:
    """Train on parts of the images as on all of them, with as many steps, and return how those models do.

    Each part is kept in the run's folder as it ends. A user who wants the training to stop gets the model without what
    is missing. What goes wrong here is reported, and leaves the model as it is.

    Parameters
    ----------
    context : RunContext
        Of the training on all images, which is over.
    run : Run
    new_engine : callable
    task : TrainingTask
        Of the training on all images.
    data : TrainingData

    Returns
    -------
    LearningCurve or None
        None if the user wanted no more before the model of a half of the images was made.
    """
    file, folder = run.folder / "learning_curve.json", run.folder / "learning_curve"
    curve = _read(file, len(data.training))
    missing = [part for part in PARTS if not curve.has(part)]
    places = {part: _places(len(data.training), len(data.training) // PARTS[part], task.seed) for part in missing}
    wanted = {part: chosen for part, chosen in places.items() if len(chosen) >= FEWEST_TRAINING_IMAGES}
    for part, chosen in wanted.items():
        some = replace(data, training=_Some(data.training, chosen))
        scores = _try_part(context, Run(folder / part), part, new_engine, task, some)
        if scores is None:
            break
        curve = curve.replace(points=(*curve.points, CurvePoint(part=part, images=len(chosen), scores=scores)))
        write_text(file, curve.model_dump_json())
        shutil.rmtree(folder / part, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    return None if wanted and not curve.points else curve


def _try_part(
    context: RunContext,
    run: Run,
    part: str,
    new_engine: Callable[[], Engine],
    task: TrainingTask,
    data: TrainingData,
) -> Scores | None:
    """Return the scores of a part; None if the user wants no more, or it went wrong."""
    if context.obey() or context.best_epoch is None:
        return None
    try:
        return _score_part(_PartContext(context, run, part, data), new_engine(), task, data)
    except Exception as error:  # noqa: BLE001 - the weights are there, whatever an engine raises now
        _log.exception("the learning curve broke off")
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        context.log(f"The learning curve failed ({reason}). The model is created without it.", "warning")
        return None


def _read(file: Path, images: int) -> LearningCurve:
    """Return what an earlier attempt has kept of it."""
    try:
        kept = LearningCurve.model_validate_json(read_bytes(file))
    except (OSError, ValidationError):
        return LearningCurve(images=images)
    return kept if kept.images == images else LearningCurve(images=images)


def _places(count: int, wanted: int, seed: int) -> list[int]:
    """Return `wanted` of `count` indices at equal distances; the seed sets the first."""
    first = int(np.random.default_rng(seed).integers(count))
    return sorted((first + i * count // wanted) % count for i in range(wanted))


def _score_part(context: "_PartContext", engine: Engine, task: TrainingTask, data: TrainingData) -> Scores | None:
    """Train on a part of the images and score its best epoch; None if the user wants no more."""
    parameters = context.parameters_of(task)
    engine.train(replace(task, parameters=parameters), data, context)
    if context.obey():
        return None
    if context.best_epoch is None:
        raise RunError("the validation loss was never a number")
    folder = context.folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    # as for the model of all images: thresholds are chosen anew
    engine.export(epoch_folder(Run(context.folder), context.best_epoch), data, folder, context)
    progress = partial(context.progress, "scoring")
    return score_model(engine, folder, scored_images(data.validation), progress)[0]


class _PartContext(RunContext):
    """Trains on a part of the images by the same rules, in a folder of its own; the run's events show how far it is."""

    def __init__(self, whole: RunContext, run: Run, part: str, data: TrainingData) -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        super().__init__(run, len(data.training), len(data.validation), Scoring(data.validation))
        self.folder = run.folder
        self._whole, self._part, self._count = whole, part, len(data.training)

    def parameters_of(self, task: TrainingTask) -> Hyperparameters:
        """Return the parameters as the engine used them, with an augmentation that gives as many samples an epoch."""
        used = type(task.parameters).model_validate(self._whole.hyperparameters)
        more = used.augmentation * self._whole.training_images / self._count
        return used.replace(augmentation=min(_MOST_AUGMENTATION, more))

    def start(self, parameters: Hyperparameters, *, steps_per_epoch: int, device: str) -> None:
        super().start(parameters, steps_per_epoch=steps_per_epoch, device=device)
        self._tell_epochs(self.last_epoch)

    def end_epoch(
        self,
        epoch: int,
        metrics: Mapping[str, float],
        save: Callable[[Path], None],
        predicting: Predicting | None = None,
    ) -> bool:
        goes_on = super().end_epoch(epoch, metrics, save, predicting)
        self._tell_epochs(epoch)
        return goes_on

    def progress(self, stage: str, done: int, total: int) -> None:
        self._whole.progress(f"learning curve: {stage} with a {self._part} of the images", done, total)

    def obey(self) -> bool:
        return self._whole.obey()

    def _tell_epochs(self, done: int) -> None:
        self.progress("epochs", done, settled(self._plan.epochs))


class _Some(Sequence[PreparedImage]):
    """Some of the images, read as they are asked for."""

    def __init__(self, images: Sequence[PreparedImage], places: Sequence[int]) -> None:
        self._images, self._places = images, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._images[place] for place in self._places[index]]
        return self._images[self._places[index]]
