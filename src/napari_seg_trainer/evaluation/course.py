"""What the losses of the epochs tell: whether a network overfits, is still learning, or learns no more."""

from collections.abc import Iterable, Sequence

import numpy as np

from napari_seg_trainer.schema.events import EpochEnded, Event

STILL_FALLING = 0.02
RISEN = 0.1
RECENT = 0.2
"""Part of the epochs that counts as the end of a training."""
FEWEST_EPOCHS = 10


def course_of(events: Iterable[Event]) -> list[EpochEnded]:
    """Return the epochs that a run tells of, in order, each once."""
    told = {event.epoch: event for event in events if isinstance(event, EpochEnded)}
    return [told[epoch] for epoch in sorted(told)]


def is_learning(epochs: Sequence[EpochEnded]) -> bool:
    """Return whether the validation loss still falls at the end, so that more epochs would help.

    It falls by more than `STILL_FALLING`, in the last fifth of the epochs against the fifth before, and its lowest
    value is among the last fifth; of fewer than ten epochs, in the last against the first, and the last has the lowest.
    A network that overfits learns nothing more of use.
    """
    validation = _losses(epochs, "val_loss")
    if len(validation) < 2 or not np.isfinite(validation).all():
        return False
    last = _last(epochs)
    is_lately = int(np.argmin(validation)) >= len(validation) - last
    return is_lately and _fall(validation, last) > STILL_FALLING and not _overfits(epochs)


def tell_course(epochs: Sequence[EpochEnded], during: bool = False, is_asked: bool = False) -> str:
    """Tell overfitting and what more epochs would bring, from the losses; of fewer than ten epochs only the latter.

    Parameters
    ----------
    epochs : sequence of EpochEnded
        In order.
    during : bool
        Whether the training goes on. It is then told, too, that the loss falls no more; of fewer than ten epochs
        nothing.
    is_asked : bool
        Whether something else tells what more images would bring.
    """
    validation, last = _losses(epochs, "val_loss"), _last(epochs)
    learning = is_learning(epochs)
    if len(epochs) < FEWEST_EPOCHS:
        if during or not learning:
            return ""
        fall = f"in {len(epochs)} epochs the validation loss fell by {100 * _fall(validation, last):.0f} %"
        return f"It was still learning: {fall}. More epochs would help."
    if not np.isfinite(validation).all():
        return "The validation loss was no number at times. Use a smaller learning rate."
    lowest = int(np.argmin(validation))
    if _overfits(epochs):
        rise = 100 * _rise(epochs)
        return (
            f"It overfits: after epoch {epochs[lowest].epoch} the validation loss rose by {rise:.0f} % while "
            f"the training loss fell. {'More' if is_asked else 'More images would help, more'} epochs would not"
            f"{' help' if is_asked else ''}."
        )
    told = f"in the last {last} epochs the validation loss fell by {100 * _fall(validation, last):.0f} %."
    if learning:
        return f"It is still learning: {told}" if during else f"It was still learning: {told} More epochs would help."
    if not during:
        return ""
    is_lately = lowest >= len(epochs) - last
    since = told if is_lately else f"the validation loss was lowest after epoch {epochs[lowest].epoch}."
    return f"It hardly learns any more: {since}"


def _losses(epochs: Sequence[EpochEnded], name: str) -> list[float]:
    return [event.metrics[name] for event in epochs]


def _last(epochs: Sequence[EpochEnded]) -> int:
    """Return how many epochs count as the end of a training."""
    return max(1, round(RECENT * len(epochs))) if len(epochs) >= FEWEST_EPOCHS else 1


def _overfits(epochs: Sequence[EpochEnded]) -> bool:
    """Return whether the validation loss rose again by more than `RISEN`, while the training loss fell."""
    training, lowest = _losses(epochs, "loss"), int(np.argmin(_losses(epochs, "val_loss")))
    return _rise(epochs) > RISEN and float(np.mean(training[-_last(epochs) :])) < training[lowest]


def _rise(epochs: Sequence[EpochEnded]) -> float:
    """Return by which part of its lowest value the validation loss is higher at the end."""
    validation = _losses(epochs, "val_loss")
    lowest = min(validation)
    return float(np.mean(validation[-_last(epochs) :])) / lowest - 1 if lowest > 0 else 0.0


def _fall(losses: Sequence[float], last: int) -> float:
    """Return by which part a loss fell at the end: from the epochs before, or from the first where there are few."""
    begin = losses[-2 * last : -last] if len(losses) >= FEWEST_EPOCHS else losses[:1]
    before = float(np.mean(begin))
    return 1 - float(np.mean(losses[-last:])) / before if before > 0 else 0.0
