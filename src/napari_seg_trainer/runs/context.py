"""What all trainings share: the best epoch, stopping, checkpoints, the learning rate, the time left."""

import math
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_seg_trainer.engines.protocol import Predicting
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.files import flush, write_text
from napari_seg_trainer.runs.checkpoint import CheckpointState, epoch_folder, read_state
from napari_seg_trainer.runs.run import DISCARD, Run
from napari_seg_trainer.runs.time_left import TimeLeft
from napari_seg_trainer.schema.events import EpochEnded, Evaluated, Log, Progress, Started
from napari_seg_trainer.schema.job import Hyperparameters

if TYPE_CHECKING:  # docks read what is here, and need no scores
    from napari_seg_trainer.evaluation.scores import Scores
    from napari_seg_trainer.runs.scoring import Scoring

PROGRESS_SECONDS = 0.5


class Cancelled(BaseException):
    """The user wants the training to end without a model; no `Exception`, so that no engine takes it for an error."""


class RunContext:
    """The `TrainingContext` that writes into a run's folder.

    Its methods raise `Cancelled` once the user wants no model; the checkpoint is then that of the last whole epoch.

    Parameters
    ----------
    run : Run
    training_images, validation_images : int
        For the `Started` event.
    scoring : Scoring, optional
        How whole validation images are scored; nothing is scored without it.

    Attributes
    ----------
    first_epoch : int
        1, or the one after the last checkpoint.
    checkpoint : Path, optional
        The last epoch's folder, where there is one.
    hyperparameters : dict
        As the engine uses them, once it has begun, or as it did when the checkpoint was made.
    """

    def __init__(
        self, run: Run, training_images: int, validation_images: int, scoring: "Scoring | None" = None
    ) -> None:
        self._run = run
        self._scoring = scoring
        self._images = training_images, validation_images
        self._parameters = Hyperparameters()
        self._seconds: list[float] = []
        self._left = TimeLeft(self._parameters.epochs)
        self._epoch_began = self._told = time.monotonic()
        self.early_stop = False
        self._state = read_state(run)
        self.hyperparameters = {} if self._state is None else self._state.hyperparameters
        self.first_epoch = 1 if self._state is None else self._state.last.epoch + 1
        self.checkpoint = None if self._state is None else epoch_folder(run, self._state.last.epoch)

    def start(self, parameters: Hyperparameters, *, steps_per_epoch: int, device: str) -> None:
        """Write the `Started` event."""
        self._parameters = parameters
        self.hyperparameters = parameters.model_dump(mode="json")
        if self._scoring is not None:
            self._scoring.plan(parameters.epochs, steps_per_epoch * parameters.batch_size * parameters.patch_side**2)
        training, validation = self._images
        self._run.append(
            Started(
                epoch=self.first_epoch,
                epochs=parameters.epochs,
                steps_per_epoch=steps_per_epoch,
                training_images=training,
                validation_images=validation,
                device=device,
            )
        )
        self._left = TimeLeft(parameters.epochs)
        self._epoch_began = self._told = time.monotonic()

    def learning_rate(self, epoch: int) -> float:
        """Return the epoch's learning rate, which falls along a half cosine (Loshchilov and Hutter 2017)."""
        done = (epoch - 1) / self._parameters.epochs
        return self._parameters.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))

    def end_step(self, epoch: int, step: int, steps: int) -> bool:
        """Write a `Progress` event now and then; False once a stop is asked for."""
        now = time.monotonic()
        if now - self._told >= PROGRESS_SECONDS and step < steps:
            self._told = now
            left = self._left.end_step(epoch, step / steps, now)
            self._run.append(Progress(stage="training", epoch=epoch, done=step, total=steps, seconds_left=left))
        return not self.obey()

    def end_epoch(
        self,
        epoch: int,
        metrics: Mapping[str, float],
        save: Callable[[Path], None],
        predicting: Predicting | None = None,
    ) -> bool:
        """Score where it is time to, keep the epoch's weights, write its event, and return whether to go on."""
        now = time.monotonic()
        self._seconds.append(now - self._epoch_began)
        self._epoch_began = self._told = now
        value = metrics["val_loss"]
        scores = self._score(epoch, value, predicting)
        score = None if scores is None or self._scoring is None else self._scoring.deciding(scores)
        is_best = self._is_best(value, score)
        event = EpochEnded(
            epoch=epoch,
            metrics=dict(metrics),
            learning_rate=self.learning_rate(epoch),
            is_best=is_best,
            seconds=self._seconds[-1],
            seconds_left=self._left.end_epoch(epoch, self._seconds[-1], now),
        )
        self._keep(event, save, score)
        self._run.append(event)
        if scores is not None and self._scoring is not None:
            self._scoring.judge(scores, self._run, epoch)
        self.early_stop = self._is_stale(epoch)
        return not (self.early_stop or self.obey())

    def log(self, message: str, level: Literal["info", "warning"] = "info") -> None:
        """Write a `Log` event."""
        self._run.append(Log(message=message, level=level))

    def progress(self, stage: str, done: int, total: int) -> None:
        """Write a `Progress` event of another stage, not too often."""
        now = time.monotonic()
        if done in (0, total) or now - self._told >= PROGRESS_SECONDS:
            self._told = now
            self._run.append(Progress(stage=stage, done=done, total=total))
        self.obey()

    def obey(self) -> bool:
        """Return whether the user wants the training to stop and keep its best epoch.

        Raises
        ------
        Cancelled
            If the user wants it to end without a model.
        """
        wish = self._run.stop_requested()
        if wish == DISCARD:
            raise Cancelled
        return wish is not None

    @property
    def training_images(self) -> int:
        """How many images it learns from."""
        return self._images[0]

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best score so far, or with the lowest validation loss where none was scored."""
        return None if self._state is None else self._state.best_epoch

    @property
    def last_epoch(self) -> int:
        """The last epoch that ended, 0 if none has."""
        return 0 if self._state is None else self._state.last.epoch

    @property
    def has_all_epochs(self) -> bool:
        """Whether the last epoch that was asked for has ended."""
        return self.last_epoch >= self._parameters.epochs

    def _is_stale(self, epoch: int) -> bool:
        patience = self._parameters.early_stopping
        lowest = 0 if self._state is None else self._state.lowest_epoch or self._state.best_epoch or 0
        return patience is not None and epoch - lowest >= patience

    def _score(self, epoch: int, value: float, predicting: Predicting | None) -> "Scores | None":
        scoring = self._scoring
        if scoring is None or predicting is None or not math.isfinite(value) or not scoring.is_due(epoch):
            return None
        began = time.monotonic()
        scores = scoring.score(predicting, statistics.median(self._seconds), epoch)
        if scores is None:
            return None
        took, images = time.monotonic() - began, len(scores.images)
        self._run.append(Evaluated(dataset="validation", images=images, scores=scores.told, epoch=epoch, seconds=took))
        return scores

    def _is_best(self, value: float, score: float | None) -> bool:
        before = self._state
        if before is None or before.best_epoch is None:
            return value < math.inf
        if score is not None:
            # of equal scores, such as those of networks that find nothing yet, the loss decides
            return before.best_score is None or (score, -value) > (before.best_score, -before.best_value)
        is_scored = before.best_score is not None and self._scoring is not None and self._scoring.decides
        return not is_scored and value < before.best_value

    def _next_state(self, event: EpochEnded, score: float | None) -> CheckpointState:
        before, value = self._state, event.metrics["val_loss"]
        found: dict[str, Any] = {} if before is None else before.model_dump(exclude={"last"})
        if event.is_best:
            found |= {"best_epoch": event.epoch, "best_value": value, "best_score": score}
        if value < found.get("lowest_value", math.inf):
            found |= {"lowest_epoch": event.epoch, "lowest_value": value}
        return CheckpointState.model_validate(
            {"best_epoch": None} | found | {"last": event, "hyperparameters": self.hyperparameters}
        )

    def _keep(self, event: EpochEnded, save: Callable[[Path], None], score: float | None) -> None:
        folder, before = self._run.checkpoint_folder, self.best_epoch
        target = epoch_folder(self._run, event.epoch)
        writing = folder / f".{target.name}"
        try:
            shutil.rmtree(writing, ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            writing.mkdir(parents=True)
            save(writing)
            flush(writing)
            writing.rename(target)
            self._state = self._next_state(event, score)
            # from here on the new epoch counts
            write_text(folder / "state.json", self._state.model_dump_json())
        except OSError as error:
            shutil.rmtree(writing, ignore_errors=True)
            raise RunError(
                f"Epoch {event.epoch} cannot be saved in {str(folder)!r}: {error.strerror or error}. "
                "The weights of earlier epochs are still there."
            ) from error
        needed = {epoch_folder(self._run, epoch).name for epoch in self._needed(event.epoch, before)}
        for path in folder.iterdir():
            if path.is_dir() and path.name not in needed:
                shutil.rmtree(path, ignore_errors=True)

    def _needed(self, epoch: int, before: int | None) -> set[int]:
        """Return the epochs to keep: the last, the best, and, where that is one, the one that was the best before.

        Two late epochs tell where a model is unsure.
        """
        needed = {epoch, self.best_epoch} if self.best_epoch != epoch else {epoch, before}
        return {one for one in needed if one is not None}
