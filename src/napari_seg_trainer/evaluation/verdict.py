"""How good a model is and how its training went, in sentences that each follow from a stated rule and its numbers."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from napari_seg_trainer.annotations.findings import counted
from napari_seg_trainer.evaluation.advice import Reason, tell_kinds, tell_next, tell_worst, worst_images
from napari_seg_trainer.evaluation.comparison import (
    FEWEST_IMAGES,
    Comparison,
    LearningCurve,
    compare_scores,
    tell_difference,
    tell_learning_curve,
)
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.schema.events import EpochEnded, Event

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
STILL_FALLING = 0.02
RISEN = 0.1
RECENT = 0.2
"""Part of the epochs that counts as the end of a training."""
FEWEST_EPOCHS = 10
SAME_RATE = 0.01
"""By which part of the highest learning rate one may be lower and still count as the same."""


def give_verdict(
    scores: Scores,
    epochs: Sequence[EpochEnded],
    baseline: str = "",
    other: Scores | None = None,
    tested: Scores | None = None,
    reasons: Mapping[str, Reason] | None = None,
    curve: LearningCurve | None = None,
    also: Mapping[str, Scores] | None = None,
) -> tuple[str, ...]:
    """Return what is to be said of a model, the most important first.

    Parameters
    ----------
    scores : Scores
        Of the validation images.
    epochs : sequence of EpochEnded
        In order.
    baseline : str
        What the model has to beat; empty if nothing was scored.
    other : Scores, optional
        How that did on the same images.
    tested : Scores, optional
        Of images that chose nothing.
    reasons : mapping, optional
        Why the worst images may be so, by name.
    curve : LearningCurve, optional
        How models of some of the images do; only it then says what more images would bring.
    also : mapping of str to Scores, optional
        How others did on these images, by what they are called.
    """
    finds_some = any(image.half.true_positive for image in scores.images)
    # of a model that finds nothing, every image is as bad as the others
    worst, reasons = worst_images(scores) if finds_some else [], reasons or {}
    learning = is_learning(epochs)
    said = [
        _how_good(scores, finds_some),
        _against(scores, baseline, other, learning, curve is not None),
        *(_against(scores, name, scored, learning, curve is not None) for name, scored in (also or {}).items()),
        _test(tested),
        tell_course(epochs, is_asked=curve is not None),
        tell_learning_curve(curve, scores) if curve else "",
        tell_kinds(scores.mistakes),
        tell_worst(worst, reasons),
        tell_next(scores, worst, reasons, learning) if finds_some else "",
    ]
    return tuple(sentence for sentence in said if sentence)


def give_interim_verdict(
    scores: Scores, epochs: Sequence[EpochEnded], baseline: str = "", other: Scores | None = None
) -> tuple[str, ...]:
    """Return what can be said in the middle of a training: its course, and how it compares with the baseline.

    Parameters are those of `give_verdict`. Nothing is said before there are enough epochs for a course, nor of a
    difference on too few images.
    """
    course = tell_course(epochs, during=True)
    if not course:
        return ()
    compared = _compared(scores, other)
    if compared is None or compared.images < FEWEST_IMAGES:
        return (course,)
    difference = tell_difference(compared, baseline)
    return course, f"So far {difference[0].lower()}{difference[1:]}"


def without_numbers(sentences: Sequence[str]) -> tuple[str, ...]:
    """Return the sentences with their numbers taken out, which change each time though nothing new is said."""
    return tuple(_NUMBER.sub("", sentence) for sentence in sentences)


def _how_good(scores: Scores, finds_some: bool) -> str:
    """Report recall and precision at IoU 0.5 in counts."""
    if not scores.images:
        return "No validation image was evaluated, so the quality is unknown."
    if not finds_some:
        return "It finds none of the objects. Train longer, or check that labels and images match."
    found = round(100 * scores.pooled["recall50"])
    unreal = round(100 * (1 - scores.pooled["precision50"]))
    return f"Finds {found} of 100 objects; {unreal} of 100 detections are false."


def _test(tested: Scores | None) -> str:
    """Report the same for the test images."""
    if tested is None or not tested.images:
        return ""
    pooled = tested.pooled
    found, unreal = round(100 * pooled["recall50"]), round(100 * (1 - pooled["precision50"]))
    return (
        f"On {counted(len(tested.images), 'test image')}, never used for model selection: finds {found} of 100 "
        f"objects; {unreal} of 100 detections are false (AP {pooled['ap50']:.2f})."
    )


def _against(scores: Scores, baseline: str, other: Scores | None, learning: bool, is_asked: bool) -> str:
    """Compare it with the baseline and, if it is worse, say what to do, unless another sentence does."""
    compared = _compared(scores, other)
    if compared is None:
        return ""
    text = tell_difference(compared, baseline)
    way_out = "train longer" if learning else "" if is_asked else "train with more images"
    way_out = f"Use that instead, or {way_out}." if way_out else "Use that instead."
    return f"{text} {way_out}" if text.startswith("Worse") else text


def is_worse(scores: Scores, other: Scores) -> bool:
    """Return whether a model is clearly worse than another on the images that both were scored on."""
    compared = _compared(scores, other)
    return compared is not None and compared.is_clear and compared.low < 0


def _compared(scores: Scores, other: Scores | None) -> Comparison | None:
    """Compare on the images that both were scored on, which during a training may be only some of them."""
    if other is None:
        return None
    ours, theirs = ({image.image: image for image in seen.images} for seen in (scores, other))
    both = [name for name in ours if name in theirs]
    return compare_scores([ours[name] for name in both], [theirs[name] for name in both]) if both else None


def course_of(events: Iterable[Event]) -> list[EpochEnded]:
    """Return the epochs of a run's events, in order, each once."""
    told = {event.epoch: event for event in events if isinstance(event, EpochEnded)}
    return [told[epoch] for epoch in sorted(told)]


def is_learning(epochs: Sequence[EpochEnded]) -> bool:
    """Return whether the validation loss still falls at the end, so that more epochs would help.

    It falls by more than `STILL_FALLING`, in the last fifth of the epochs against the fifth before, and its lowest
    value is among the last fifth; of fewer than ten epochs, in the last against the first, and the last has the lowest.
    Where the learning rate falls at the end, which lets every loss fall, the epochs before that count. A network that
    overfits learns nothing more of use.
    """
    steady = _steady(epochs)
    validation = _losses(steady, "val_loss")
    if len(validation) < 2 or not np.isfinite(_losses(epochs, "val_loss")).all():
        return False
    last = _last(steady)
    is_lately = int(np.argmin(validation)) >= len(validation) - last
    return is_lately and _fall(validation, last) > STILL_FALLING and not _overfits(epochs)


def tell_course(epochs: Sequence[EpochEnded], during: bool = False, is_asked: bool = False) -> str:
    """Report overfitting and what more epochs would bring, from the losses; of fewer than ten epochs only the latter.

    Parameters
    ----------
    epochs : sequence of EpochEnded
        In order.
    during : bool
        Whether the training goes on. It is then reported, too, that the loss falls no more; of fewer than ten epochs
        nothing.
    is_asked : bool
        Whether the learning curve shows what more images would bring.
    """
    validation, steady = _losses(epochs, "val_loss"), _steady(epochs)
    learning = is_learning(epochs)
    last, before = _last(steady), _losses(steady, "val_loss")
    if len(epochs) < FEWEST_EPOCHS:
        if during or not learning:
            return ""
        fall = f"in {len(epochs)} epochs the validation loss fell by {100 * _fall(before, last):.0f} %"
        return f"It was still learning: {fall}. More epochs would help."
    if not np.isfinite(validation).all():
        return "The validation loss was not a number at times. Use a smaller learning rate."
    lowest = int(np.argmin(validation))
    if _overfits(epochs):
        rise = 100 * _rise(epochs)
        return (
            f"It overfits: after epoch {epochs[lowest].epoch} the validation loss rose by {rise:.0f} % while "
            f"the training loss fell. {'More' if is_asked else 'More images would help, more'} epochs would not"
            f"{' help' if is_asked else ''}."
        )
    when = "in the last" if len(steady) == len(epochs) else "before the learning rate was lowered, in"
    told = f"{when} {last} epochs the validation loss fell by {100 * _fall(before, last):.0f} %."
    if learning:
        return f"It is still learning: {told}" if during else f"It was still learning: {told} More epochs would help."
    if not during:
        return ""
    is_lately = lowest >= len(steady) - last
    since = told if is_lately else f"the validation loss was lowest after epoch {epochs[lowest].epoch}."
    return f"The validation loss has plateaued: {since}"


def _losses(epochs: Sequence[EpochEnded], name: str) -> list[float]:
    return [event.metrics[name] for event in epochs]


def _steady(epochs: Sequence[EpochEnded]) -> Sequence[EpochEnded]:
    """Return the epochs before the learning rate fell; all where these are too few."""
    highest = max((event.learning_rate for event in epochs), default=0.0)
    steady = [event for event in epochs if event.learning_rate >= (1 - SAME_RATE) * highest]
    return steady if len(steady) >= FEWEST_EPOCHS else epochs


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
