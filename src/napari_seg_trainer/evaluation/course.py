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


def tell_course(epochs: Sequence[EpochEnded], during: bool = False, is_asked: bool = False) -> str:
    """Tell overfitting and what more epochs would bring, from the losses; nothing of fewer than ten epochs.

    Parameters
    ----------
    epochs : sequence of EpochEnded
        In order.
    during : bool
        Whether the training goes on. It is then told, too, that the loss falls no more.
    is_asked : bool
        Whether something else tells what more images would bring.
    """
    if len(epochs) < FEWEST_EPOCHS:
        return ""
    training, validation = ([event.metrics[name] for event in epochs] for name in ("loss", "val_loss"))
    if not np.isfinite(validation).all():
        return "The validation loss was no number at times. Use a smaller learning rate."
    lowest = int(np.argmin(validation))
    last = max(1, round(RECENT * len(epochs)))
    rise = float(np.mean(validation[-last:])) / validation[lowest] - 1
    if rise > RISEN and np.mean(training[-last:]) < training[lowest]:
        return (
            f"It overfits: after epoch {epochs[lowest].epoch} the validation loss rose by {100 * rise:.0f} % while "
            f"the training loss fell. {'More' if is_asked else 'More images would help, more'} epochs would not"
            f"{' help' if is_asked else ''}."
        )
    before, end = float(np.mean(validation[-2 * last : -last])), float(np.mean(validation[-last:]))
    fall = 1 - end / before if before > 0 else 0.0
    is_lately = lowest >= len(epochs) - last
    told = f"in the last {last} epochs the validation loss fell by {100 * fall:.0f} %."
    if is_lately and fall > STILL_FALLING:
        return f"It is still learning: {told}" if during else f"It was still learning: {told} More epochs would help."
    if not during:
        return ""
    since = told if is_lately else f"the validation loss was lowest after epoch {epochs[lowest].epoch}."
    return f"It hardly learns any more: {since}"
