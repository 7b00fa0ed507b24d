"""What a model's training has left behind that tells where the model is unsure."""

from pathlib import Path

from napari_seg_trainer.errors import RunError
from napari_seg_trainer.runs.checkpoint import epoch_folder, read_state
from napari_seg_trainer.runs.listing import list_runs
from napari_seg_trainer.schema.model_card import ModelCard


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
