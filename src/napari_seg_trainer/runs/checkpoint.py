"""What a run's checkpoint folder holds, what it is good for, and what it leaves to later."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from napari_seg_trainer.errors import RunError
from napari_seg_trainer.files import flush, read_bytes, write_text
from napari_seg_trainer.runs.run import Run, list_runs
from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.events import EpochEnded, Stopped
from napari_seg_trainer.schema.model_card import ModelCard


class CheckpointState(FrozenModel):
    """What the checkpoint folder holds: the last epoch's event, which epoch is the best, and the parameters in use.

    Attributes
    ----------
    best_epoch : int, optional
        By its score, where scores decide, and by its validation loss else.
    best_value, best_score : float
        Its validation loss, and its score where it has one.
    lowest_epoch, lowest_value : int, float
        The epoch with the lowest validation loss, and that loss.
    """

    last: EpochEnded
    best_epoch: int | None
    best_value: float = math.inf
    best_score: float | None = None
    lowest_epoch: int | None = None
    lowest_value: float = math.inf
    hyperparameters: dict[str, JsonValue] = Field(default_factory=dict)


def epoch_folder(run: Run, epoch: int) -> Path:
    """Return the folder of an epoch's weights."""
    return run.checkpoint_folder / f"epoch_{epoch:05d}"


def read_state(run: Run) -> CheckpointState | None:
    """Return what the run's checkpoint folder holds, or None where no epoch has ended."""
    try:
        return CheckpointState.model_validate_json(read_bytes(run.checkpoint_folder / "state.json"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise RunError(f"The checkpoint of run {run.id!r} cannot be read. Start a new training.") from error


class Checkpoints:
    """What is kept of the epochs of a run's training.

    Attributes
    ----------
    state : CheckpointState, optional
        None where no epoch has ended.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.state = read_state(run)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best score so far, or with the lowest validation loss where none was scored."""
        return None if self.state is None else self.state.best_epoch

    @property
    def last_epoch(self) -> int:
        """The last epoch that ended, 0 if none has."""
        return 0 if self.state is None else self.state.last.epoch

    @property
    def lowest_epoch(self) -> int:
        """The epoch with the lowest validation loss, 0 if there is none."""
        return 0 if self.state is None else self.state.lowest_epoch or self.state.best_epoch or 0

    def is_better(self, value: float, score: float | None, scores_decide: bool) -> bool:
        """Whether an epoch with this validation loss and this score is better than those before."""
        before = self.state
        if before is None or before.best_epoch is None:
            return value < math.inf
        if score is not None:
            # of equal scores, such as those of networks that find nothing yet, the loss decides
            return before.best_score is None or (score, -value) > (before.best_score, -before.best_value)
        is_scored = before.best_score is not None and scores_decide
        return not is_scored and value < before.best_value

    def keep(
        self,
        event: EpochEnded,
        save: Callable[[Path], None],
        score: float | None,
        hyperparameters: dict[str, JsonValue],
    ) -> None:
        """Have an epoch's weights written by `save`, and remove those that are needed no more.

        Raises
        ------
        RunError
            If the disk refuses; those of earlier epochs are still there.
        """
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
            self.state = self._next_state(event, score, hyperparameters)
            # from here on the new epoch counts
            write_text(folder / "state.json", self.state.model_dump_json())
        except OSError as error:
            shutil.rmtree(writing, ignore_errors=True)
            raise RunError(
                f"Epoch {event.epoch} cannot be saved in {str(folder)!r}: {error.strerror or error}. "
                "The weights of earlier epochs are kept."
            ) from error
        needed = {epoch_folder(self._run, epoch).name for epoch in self._needed(event.epoch, before)}
        for path in folder.iterdir():
            if path.is_dir() and path.name not in needed:
                shutil.rmtree(path, ignore_errors=True)

    def _next_state(
        self, event: EpochEnded, score: float | None, hyperparameters: dict[str, JsonValue]
    ) -> CheckpointState:
        before, value = self.state, event.metrics["val_loss"]
        found: dict[str, Any] = {} if before is None else before.model_dump(exclude={"last"})
        if event.is_best:
            found |= {"best_epoch": event.epoch, "best_value": value, "best_score": score}
        if value < found.get("lowest_value", math.inf):
            found |= {"lowest_epoch": event.epoch, "lowest_value": value}
        return CheckpointState.model_validate(
            {"best_epoch": None} | found | {"last": event, "hyperparameters": hyperparameters}
        )

    def _needed(self, epoch: int, before: int | None) -> set[int]:
        """Return the epochs to keep: the last, the best, and, where that is one, the one that was the best before.

        Two late epochs show where a model is unsure.
        """
        needed = {epoch, self.best_epoch} if self.best_epoch != epoch else {epoch, before}
        return {one for one in needed if one is not None}


def cancelled(run: Run) -> Stopped:
    """Return the last event of a run that was cancelled."""
    state = read_state(run)
    return Stopped(reason="cancelled by the user", model=None, best_epoch=None if state is None else state.best_epoch)


def tell_missing_epoch(run: Run) -> None:
    """Write the event of the checkpoint's epoch, if the process was killed after the one and before the other."""
    state = read_state(run)
    if state is None:
        return
    told = (event.epoch for event in reversed(run.events()) if isinstance(event, EpochEnded))
    if next(told, 0) < state.last.epoch:
        run.append(state.last)


def second_checkpoint(card: ModelCard) -> Path | None:
    """Return the weights of another late epoch of a model's training; None where they are gone, or there were none.

    Parameters
    ----------
    card : ModelCard
        Its run must be of this user, and have come to just this model: another one may have got the same id elsewhere.
    """
    run = next((run for run in list_runs() if run.id == card.run), None)
    try:
        state = None if run is None or run.job.engine != card.engine else read_state(run)
    except RunError:
        return None
    if run is None or state is None:
        return None
    made = (state.best_epoch, state.last.epoch, state.hyperparameters)
    if made != (card.best_epoch, card.epochs, card.hyperparameters):
        return None
    own = epoch_folder(run, state.best_epoch or 0)
    others = [path for path in run.checkpoint_folder.glob("epoch_*") if path.is_dir() and path != own]
    return max(others, default=None)
