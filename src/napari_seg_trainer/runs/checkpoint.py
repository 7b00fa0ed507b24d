"""What a run's checkpoint folder holds, what is told by it, and what it leaves to later."""

import math
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from napari_seg_trainer.errors import RunError
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
        return CheckpointState.model_validate_json((run.checkpoint_folder / "state.json").read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise RunError(f"The checkpoint of run {run.id!r} cannot be read. Start the training anew.") from error


def cancelled(run: Run) -> Stopped:
    """Return the last event of a run that was cancelled."""
    state = read_state(run)
    return Stopped(reason="you cancelled it", model=None, best_epoch=None if state is None else state.best_epoch)


def tell_missing_epoch(run: Run) -> None:
    """Write the event of the checkpoint's epoch, if the process was killed after the one and before the other."""
    state = read_state(run)
    if state is None:
        return
    told = (event.epoch for event in reversed(run.events()) if isinstance(event, EpochEnded))
    if next(told, 0) < state.last.epoch:
        run.append(state.last)


def late_checkpoint(card: ModelCard) -> Path | None:
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
