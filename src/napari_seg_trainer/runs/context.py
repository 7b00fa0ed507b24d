"""What all trainings share: reports, stopping, the best epoch, the length, the learning rate, the time left."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_seg_trainer.engines.protocol import Predicting
from napari_seg_trainer.evaluation.scores import Scores, mean_ap
from napari_seg_trainer.runs.checkpoint import Checkpoints, epoch_folder
from napari_seg_trainer.runs.length import Plan
from napari_seg_trainer.runs.run import DISCARD, Run
from napari_seg_trainer.runs.time_left import TimeLeft
from napari_seg_trainer.schema.events import EpochEnded, Evaluated, Log, Progress, Started
from napari_seg_trainer.schema.job import Hyperparameters, settled

if TYPE_CHECKING:  # a training need not be scored
    from napari_seg_trainer.runs.scoring import Scoring

PROGRESS_SECONDS = 0.5
EXPLODED = 1000.0
"""A training whose loss is this many times that of the first epoch has diverged."""


class Cancelled(BaseException):
    """The user wants the training to end without a model; no `Exception`, so that no engine takes it for an error."""


class Lost(BaseException):
    """Another process trains the run by now, as this one was taken for dead: nothing may be written any more."""


class RunReporter:
    """Writes into a run's folder how far it is, before and while it trains, and sees whether it is to stop.

    Its methods raise `Cancelled` once the user wants no model.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._reported = time.monotonic()
        self._checkpoints = Checkpoints(run)

    def log(self, message: str, level: Literal["info", "warning"] = "info") -> None:
        """Write a `Log` event."""
        self._run.append(Log(message=message, level=level))

    def progress(self, stage: str, done: int, total: int) -> None:
        """Write a `Progress` event of another stage, not too often."""
        now = time.monotonic()
        if done in (0, total) or now - self._reported >= PROGRESS_SECONDS:
            self._reported = now
            self._run.append(Progress(stage=stage, done=done, total=total))
        self.obey()

    def obey(self) -> bool:
        """Return whether the user wants the training to stop and keep its best epoch.

        Raises
        ------
        Cancelled
            If the user wants it to end without a model.
        Lost
            If another process trains the run.
        """
        if self._run.is_lost():
            raise Lost
        wish = self._run.stop_requested()
        if wish == DISCARD:
            raise Cancelled
        return wish is not None

    @property
    def last_epoch(self) -> int:
        """The last epoch that ended, 0 if none has."""
        return self._checkpoints.last_epoch


class RunContext(RunReporter):
    """The `TrainingContext` that writes into a run's folder.

    Its methods raise `Cancelled` once the user wants no model; the checkpoint is then that of the last whole epoch.

    Parameters
    ----------
    run : Run
    training_images, validation_images : int
        For the `Started` event.
    scoring : Scoring, optional
        How whole validation images are scored; nothing is scored without it.
    plan : Plan, optional
        What decides the number of epochs; the parameters, by default.

    Attributes
    ----------
    first_epoch : int
        1, or the one after the last checkpoint.
    checkpoint : Path, optional
        The last epoch's folder, where there is one.
    hyperparameters : dict
        As the engine uses them, once it has begun, or as it did when the checkpoint was made.
    early_stop : bool
        Whether it has ended because it no longer improved.
    diverged : str
        Why the losses made no sense any more, and what to do; empty as long as they do.
    """

    def __init__(
        self,
        run: Run,
        training_images: int,
        validation_images: int,
        scoring: "Scoring | None" = None,
        plan: Plan | None = None,
    ) -> None:
        super().__init__(run)
        self._plan = plan or Plan()
        self._scoring = scoring
        self._images = training_images, validation_images
        self._parameters = Hyperparameters()
        self._seconds: list[float] = []
        self._left = TimeLeft(1)
        self._pixels = 0
        self._epoch_began = self._reported
        self.early_stop = False
        self.diverged = ""
        self._first_loss: float | None = None
        state = self._checkpoints.state
        self.hyperparameters = {} if state is None else state.hyperparameters
        self.first_epoch = self.last_epoch + 1
        self.checkpoint = None if state is None else epoch_folder(run, state.last.epoch)

    def start(self, parameters: Hyperparameters, *, steps_per_epoch: int, device: str) -> None:
        """Write the `Started` event."""
        self._parameters, plan = parameters, self._plan
        plan.begin(parameters, self._run.events() if self.first_epoch > 1 else ())
        self.hyperparameters = parameters.model_dump(mode="json") | {"epochs": plan.epochs}
        self._pixels = steps_per_epoch * parameters.batch_size * parameters.patch_side**2
        if self._scoring is not None:
            self._scoring.plan(settled(parameters.epochs), self._pixels)
        training, validation = self._images
        self._run.append(
            Started(
                epoch=self.first_epoch,
                epochs=plan.epochs,
                is_limit=plan.is_limit,
                steps_per_epoch=steps_per_epoch,
                training_images=training,
                validation_images=validation,
                device=device,
            )
        )
        self._left = TimeLeft(plan.epochs)
        self._epoch_began = self._reported = time.monotonic()

    def epochs(self) -> Iterator[int]:
        """Return the epochs to come."""
        return self._plan.upcoming(self.first_epoch)

    def learning_rate(self, epoch: int) -> float:
        """Return the epoch's learning rate, as `Plan.rate` says."""
        return settled(self._parameters.learning_rate) * self._plan.rate(epoch)

    def end_step(self, epoch: int, step: int, steps: int) -> bool:
        """Write a `Progress` event now and then; False once a stop is asked for."""
        now = time.monotonic()
        if now - self._reported >= PROGRESS_SECONDS and step < steps:
            self._reported = now
            left = self._left.estimate(epoch - 1 + step / steps, now)
            self._run.append(Progress(stage="training", epoch=epoch, done=step, total=steps, seconds_left=left))
        return not self.obey()

    def end_epoch(
        self,
        epoch: int,
        metrics: Mapping[str, float],
        save: Callable[[Path], None],
        predicting: Predicting | None = None,
    ) -> bool:
        """Score where it is time to, keep the epoch's weights, write its event, and return whether to go on.

        An epoch whose losses make no sense is not kept, and is the last.
        """
        self.diverged = self._divergence(epoch, metrics)
        if self.diverged:
            self.obey()
            self.log(f"The training stops: {self.diverged}.", "warning")
            return False
        now = time.monotonic()
        self._seconds.append(now - self._epoch_began)
        self._epoch_began = self._reported = now
        value = metrics["val_loss"]
        scores = self._score(epoch, predicting)
        score = None if scores is None or self._scoring is None else self._scoring.deciding(scores)
        decides = self._scoring is not None and self._scoring.decides
        is_best = self._checkpoints.is_better(value, score, decides)
        event = EpochEnded(
            epoch=epoch,
            metrics=dict(metrics),
            learning_rate=self.learning_rate(epoch),
            is_best=is_best,
            seconds=self._seconds[-1],
        )
        self._left.end_epoch(self._seconds[-1])
        # before it is kept, so that a run that goes on from here has the same length
        self._settle(event, scores)
        event = event.replace(epochs=self._plan.epochs, seconds_left=self._left.estimate(epoch, now))
        self._checkpoints.keep(event, save, score, self.hyperparameters)
        self._run.append(event)
        if scores is not None and self._scoring is not None:
            self._scoring.judge(scores, self._run, epoch)
        self.early_stop = self._is_stale(epoch)
        return not (self.early_stop or self.has_all_epochs or self.obey())

    @property
    def training_images(self) -> int:
        """How many images it learns from."""
        return self._images[0]

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best score so far, or with the lowest validation loss where none was scored."""
        return self._checkpoints.best_epoch

    @property
    def has_all_epochs(self) -> bool:
        """Whether the last epoch that was asked for has ended."""
        epochs = self.hyperparameters.get("epochs")
        return isinstance(epochs, int) and self.last_epoch >= epochs

    def _settle(self, event: EpochEnded, scores: Scores | None) -> None:
        """Decide the number of epochs, if it is time to."""
        plan, is_open = self._plan, self._plan.epochs is None
        said = plan.end_epoch(event, None if scores is None else mean_ap(scores.told))
        if said and is_open:
            self._run.keep(hyperparameters={"epochs": plan.epochs})
        if said and self._scoring is not None:
            self._scoring.settle(settled(plan.epochs), self._pixels if is_open else None)
        if said:
            self.log(said)
        self.hyperparameters["epochs"] = self._left.epochs = plan.epochs

    def _divergence(self, epoch: int, metrics: Mapping[str, float]) -> str:
        """Return why the losses of an epoch make no sense, and what to do; empty if they do."""
        names = {"loss": "training loss", "val_loss": "validation loss"}
        what = ""
        for name, title in names.items():
            if not math.isfinite(metrics[name]):
                what = f"the {title} of epoch {epoch} is not a number"
                break
        first = self._first_loss = metrics["loss"] if self._first_loss is None else self._first_loss
        if not what and abs(metrics["loss"]) > EXPLODED * max(abs(first), 1e-6):
            what = f"the training loss of epoch {epoch} is {metrics['loss']:.3g}, that of the first was {first:.3g}"
        rate = settled(self._parameters.learning_rate)
        return f"{what}; train with a learning rate below {rate:g}, and check the images' intensities" if what else ""

    def _is_stale(self, epoch: int) -> bool:
        patience = self._parameters.early_stopping
        return patience is not None and epoch - self._checkpoints.lowest_epoch >= patience

    def _score(self, epoch: int, predicting: Predicting | None) -> Scores | None:
        scoring = self._scoring
        if scoring is None or predicting is None or not scoring.is_due(epoch):
            return None
        began = time.monotonic()
        scores = scoring.score(predicting, statistics.median(self._seconds), epoch)
        if scores is None:
            return None
        self._run.append(
            Evaluated(
                dataset="validation",
                images=len(scores.images),
                scores=scores.told,
                epoch=epoch,
                seconds=time.monotonic() - began,
                baseline=scoring.baseline_on(scores),
            )
        )
        return scores
