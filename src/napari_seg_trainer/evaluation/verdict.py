"""How good a model is, in sentences that each follow from a stated rule and its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.evaluation.matching import Matching
from napari_seg_trainer.evaluation.scores import ImageScore, Scores
from napari_seg_trainer.schema.events import EpochEnded

RESAMPLINGS = 2000
INTERVAL = (2.5, 97.5)
FEWEST_IMAGES = 5
"""With fewer images, chance decides which of two models scores higher."""
STILL_FALLING = 0.02
RISEN = 0.1
RECENT = 0.2
"""Part of the epochs that counts as the end of a training."""
FEWEST_EPOCHS = 10
POOR = 0.8
WORST_IMAGES = 3
_IOU = 0.5


@dataclass(frozen=True)
class Comparison:
    """How two segmentations of the same images compare by the average precision at IoU 0.5, pooled over the images.

    Attributes
    ----------
    ours, other : float
    low, high : float
        The 95 % interval of the difference, from resampling the images in pairs (Efron 1979).
    images : int
    """

    ours: float
    other: float
    low: float
    high: float
    images: int

    @property
    def is_clear(self) -> bool:
        """Whether chance is an unlikely reason for the difference."""
        return self.images >= FEWEST_IMAGES and (self.low > 0 or self.high < 0)


def compare(ours: Sequence[ImageScore], other: Sequence[ImageScore], seed: int = 0) -> Comparison:
    """Compare two segmentations of the same images, in the same order.

    Raises
    ------
    ValueError
        If the images are not the same.
    """
    if [score.image for score in ours] != [score.image for score in other]:
        raise ValueError("the scores are of different images")
    counts = np.stack([_counts(ours), _counts(other)])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(ours), size=(RESAMPLINGS, len(ours)))
    resampled = _precision(counts[:, drawn].sum(2))
    low, high = np.percentile(resampled[0] - resampled[1], INTERVAL)
    first, second = _precision(counts.sum(1))
    return Comparison(float(first), float(second), float(low), float(high), len(ours))


def give_verdict(
    scores: Scores,
    epochs: Sequence[EpochEnded],
    baseline: str = "",
    other: Scores | None = None,
    tested: Scores | None = None,
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
    """
    said = [
        _how_good(scores),
        _test(tested),
        _against(scores, baseline, other),
        _course(epochs),
        _kinds(scores),
        _worst(scores),
    ]
    return tuple(sentence for sentence in said if sentence)


def _how_good(scores: Scores) -> str:
    """Tell recall and precision at IoU 0.5 in counts."""
    if not scores.images:
        return "No validation image was scored, so nobody knows how good it is."
    found = round(100 * scores.pooled["recall50"])
    unreal = round(100 * (1 - scores.pooled["precision50"]))
    if not any(_half(image).true_positive for image in scores.images):
        return "It finds none of the objects. Train for longer, or look whether labels and images belong together."
    return f"Finds {found} of 100 objects; {unreal} of 100 that it finds are not real."


def _test(tested: Scores | None) -> str:
    """Tell the same of the test images."""
    if tested is None or not tested.images:
        return ""
    pooled = tested.pooled
    found, unreal = round(100 * pooled["recall50"]), round(100 * (1 - pooled["precision50"]))
    return (
        f"On {_counted(len(tested.images), 'test image')}, by which nothing was chosen: finds {found} of 100 objects; "
        f"{unreal} of 100 that it finds are not real (AP {pooled['ap50']:.2f})."
    )


def _against(scores: Scores, baseline: str, other: Scores | None) -> str:
    """Compare on the images that both were scored on, where there are any."""
    if other is None:
        return ""
    ours, theirs = ({image.image: image for image in seen.images} for seen in (scores, other))
    both = [name for name in ours if name in theirs]
    if not both:
        return ""
    compared = compare([ours[name] for name in both], [theirs[name] for name in both])
    text = tell_difference(compared, baseline)
    return f"{text} Keep using that, or train with more images." if text.startswith("Worse") else text


def tell_difference(compared: Comparison, other: str) -> str:
    """Say better or worse than another only where resampling the images leaves no doubt."""
    numbers = f"AP {compared.ours:.2f} against {compared.other:.2f}"
    if compared.images < FEWEST_IMAGES:
        count = _counted(compared.images, "image")
        return (
            f"{numbers} of {other}, but {count} {'is' if compared.images == 1 else 'are'} too few to tell which is "
            f"better. Annotate more: from {FEWEST_IMAGES} on it can be told."
        )
    interval = f"difference {compared.low:+.2f} to {compared.high:+.2f} on {compared.images} images"
    if not compared.is_clear:
        return f"No clear difference from {other}: {numbers} ({interval})."
    return f"{'Better' if compared.low > 0 else 'Worse'} than {other}: {numbers} ({interval})."


def _course(epochs: Sequence[EpochEnded]) -> str:
    """Tell overfitting and what more epochs would bring, from the losses."""
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
            "the training loss fell. More images would help, more epochs would not."
        )
    before, end = float(np.mean(validation[-2 * last : -last])), float(np.mean(validation[-last:]))
    fall = 1 - end / before if before > 0 else 0.0
    if lowest >= len(epochs) - last and fall > STILL_FALLING:
        return (
            f"It was still learning: in the last {last} epochs the validation loss fell by {100 * fall:.0f} %. "
            "More epochs would help."
        )
    return ""


def _kinds(scores: Scores) -> str:
    """Name merging and splitting where they make at least a third of what is missed."""
    mistakes = scores.mistakes
    if not mistakes.missed:
        return ""
    parts = []
    if 3 * mistakes.merged >= mistakes.missed:
        parts.append(f"{_counted(mistakes.merged, 'time')} it takes several objects for one")
    if 3 * mistakes.split >= mistakes.missed:
        parts.append(f"{_counted(mistakes.split, 'object')} it cuts in pieces")
    if not parts:
        return ""
    return f"{' and '.join(parts)}.".capitalize() + " Annotate more images where objects touch."


def _worst(scores: Scores) -> str:
    """Name the images with the lowest average precision, and what is wrong there."""
    poor = sorted((image for image in scores.images if _half(image).ap < POOR), key=lambda image: _half(image).ap)
    if not poor or len(scores.images) < 2:
        return ""
    told = "; ".join(f"{image.image} ({_wrong(image)})" for image in poor[:WORST_IMAGES])
    return f"Worst: {told}. Look whether they are labelled well, then annotate more like them."


def _wrong(image: ImageScore) -> str:
    half = _half(image)
    parts = [f"{half.false_negative} of {half.true_objects} missed"] if half.true_objects else ["no object there"]
    if image.mistakes.merged:
        parts.append(f"{image.mistakes.merged} merged")
    if image.mistakes.split:
        parts.append(f"{image.mistakes.split} split")
    if half.false_positive:
        parts.append(f"{half.false_positive} not real")
    return ", ".join(parts)


def _half(image: ImageScore) -> Matching:
    return next(matching for matching in image.matchings if matching.iou_threshold == _IOU)


def _counts(images: Sequence[ImageScore]) -> NDArray[np.int64]:
    """Return for each image what was found, and what is found, made up or missed."""
    halves = [_half(image) for image in images]
    return np.array(
        [(half.true_positive, half.true_positive + half.false_positive + half.false_negative) for half in halves]
    )


def _precision(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return counts[..., 0] / np.maximum(counts[..., 1], 1)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
