"""How good a model is, in sentences that each follow from a stated rule and its numbers."""

import re
from collections.abc import Mapping, Sequence

from napari_seg_trainer.evaluation.advice import tell_kinds, tell_next, tell_worst, worst_images
from napari_seg_trainer.evaluation.comparison import FEWEST_IMAGES, Comparison, compare, counted, tell_difference
from napari_seg_trainer.evaluation.course import is_learning, tell_course
from napari_seg_trainer.evaluation.learning_curve import LearningCurve, tell_learning_curve
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.evaluation.traits import Reason
from napari_seg_trainer.schema.events import EpochEnded

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


def give_verdict(
    scores: Scores,
    epochs: Sequence[EpochEnded],
    baseline: str = "",
    other: Scores | None = None,
    tested: Scores | None = None,
    reasons: Mapping[str, Reason] | None = None,
    curve: LearningCurve | None = None,
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
        How models of some of the images do; what more images would bring is then told by it alone.
    """
    finds_some = any(image.half.true_positive for image in scores.images)
    # of a model that finds nothing, every image is as bad as the others
    worst, reasons = worst_images(scores) if finds_some else [], reasons or {}
    learning = is_learning(epochs)
    said = [
        _how_good(scores, finds_some),
        _test(tested),
        _against(scores, baseline, other, learning, curve is not None),
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
    """Return what can be said in the middle of a training: its course, and how it stands to what is to be beaten.

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
    """Tell recall and precision at IoU 0.5 in counts."""
    if not scores.images:
        return "No validation image was scored, so nobody knows how good it is."
    if not finds_some:
        return "It finds none of the objects. Train for longer, or look whether labels and images belong together."
    found = round(100 * scores.pooled["recall50"])
    unreal = round(100 * (1 - scores.pooled["precision50"]))
    return f"Finds {found} of 100 objects; {unreal} of 100 that it finds are not real."


def _test(tested: Scores | None) -> str:
    """Tell the same of the test images."""
    if tested is None or not tested.images:
        return ""
    pooled = tested.pooled
    found, unreal = round(100 * pooled["recall50"]), round(100 * (1 - pooled["precision50"]))
    return (
        f"On {counted(len(tested.images), 'test image')}, by which nothing was chosen: finds {found} of 100 objects; "
        f"{unreal} of 100 that it finds are not real (AP {pooled['ap50']:.2f})."
    )


def _against(scores: Scores, baseline: str, other: Scores | None, learning: bool, is_asked: bool) -> str:
    """Tell how it stands to what is to be beaten, and, where it is worse, the way out that nothing else tells."""
    compared = _compared(scores, other)
    if compared is None:
        return ""
    text = tell_difference(compared, baseline)
    way_out = "train for longer" if learning else "" if is_asked else "train with more images"
    way_out = f"Keep using that, or {way_out}." if way_out else "Keep using that."
    return f"{text} {way_out}" if text.startswith("Worse") else text


def _compared(scores: Scores, other: Scores | None) -> Comparison | None:
    """Compare on the images that both were scored on: in the middle, and of what is to be beaten, that may be some."""
    if other is None:
        return None
    ours, theirs = ({image.image: image for image in seen.images} for seen in (scores, other))
    both = [name for name in ours if name in theirs]
    return compare([ours[name] for name in both], [theirs[name] for name in both]) if both else None
