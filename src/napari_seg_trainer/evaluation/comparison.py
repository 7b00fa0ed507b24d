"""How two segmentations of the same images compare, whether that may be chance, and what fewer images would give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.findings import counted
from napari_seg_trainer.evaluation.scores import ImageScore, Scores
from napari_seg_trainer.schema._base import FrozenModel

RESAMPLINGS = 2000
INTERVAL = (2.5, 97.5)
FEWEST_IMAGES = 5
"""With fewer images, chance decides which of two models scores higher."""
_SHOWN = 0.005
"""Differences are reported with two decimals."""
PARTS: dict[Literal["half", "quarter"], int] = {"half": 2, "quarter": 4}
"""Of how many images one is taken."""
FEWEST_TRAINING_IMAGES = 2
"""A part needs at least this many images."""


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
        """Whether chance is an unlikely reason for the difference, and the numbers that are reported show one."""
        return self.images >= FEWEST_IMAGES and (self.low >= _SHOWN or self.high <= -_SHOWN)


def compare_scores(ours: Sequence[ImageScore], other: Sequence[ImageScore], seed: int = 0) -> Comparison:
    """Compare two segmentations of the same images, in the same order.

    Raises
    ------
    ValueError
        If the images are not the same.
    """
    if [score.image for score in ours] != [score.image for score in other]:
        raise ValueError("the scores are on different images")
    counts = np.stack([_counts(ours), _counts(other)])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(ours), size=(RESAMPLINGS, len(ours)))
    resampled = _precision(counts[:, drawn].sum(2))
    low, high = np.percentile(resampled[0] - resampled[1], INTERVAL)
    first, second = _precision(counts.sum(1))
    return Comparison(float(first), float(second), float(low), float(high), len(ours))


def tell_difference(compared: Comparison, other: str) -> str:
    """Say better or worse than another only where resampling the images leaves no doubt."""
    numbers = f"AP {compared.ours:.2f} vs. {compared.other:.2f}"
    if compared.images < FEWEST_IMAGES:
        count = counted(compared.images, "image")
        return (
            f"{numbers} of {other}, but {count} {'is' if compared.images == 1 else 'are'} too few to tell which is "
            f"better. Annotate more: at least {FEWEST_IMAGES} are needed."
        )
    interval = f"difference {compared.low:+.2f} to {compared.high:+.2f} on {compared.images} images"
    if not compared.is_clear:
        return f"No clear difference from {other}: {numbers} ({interval})."
    return f"{'Better' if compared.low > 0 else 'Worse'} than {other}: {numbers} ({interval})."


def _counts(images: Sequence[ImageScore]) -> NDArray[np.int64]:
    """Return for each image what was found, and what is found, made up or missed."""
    halves = [image.half for image in images]
    return np.array(
        [(half.true_positive, half.true_positive + half.false_positive + half.false_negative) for half in halves]
    )


def _precision(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return counts[..., 0] / np.maximum(counts[..., 1], 1)


class CurvePoint(FrozenModel):
    """How a model of a part of the training images does on the validation images."""

    part: Literal["half", "quarter"]
    images: int
    scores: Scores


class LearningCurve(FrozenModel):
    """How models of parts of the training images do.

    Attributes
    ----------
    images : int
        How many training images there are in all.
    points : tuple of CurvePoint
        The largest part first; a part of too few images is missing.
    """

    images: int
    points: tuple[CurvePoint, ...] = ()

    def has(self, part: str) -> bool:
        """Whether the model of a part was made."""
        return any(point.part == part for point in self.points)


def tell_learning_curve(curve: LearningCurve, scores: Scores) -> str:
    """Say whether more images would help, as far as twice as many did.

    Parameters
    ----------
    curve : LearningCurve
    scores : Scores
        Of the model of all images, on the same validation images.
    """
    half = next((point for point in curve.points if point.part == "half"), None)
    unknown = "Whether more images would help is unknown:"
    if half is None:
        fewest = PARTS["half"] * FEWEST_TRAINING_IMAGES
        return f"{unknown} {counted(curve.images, 'training image')} cannot be halved; {fewest} or more are needed."
    if len(scores.images) < FEWEST_IMAGES:
        count = counted(len(scores.images), "validation image")
        return f"{unknown} {count} are too few; {FEWEST_IMAGES} or more are needed."
    found = compare_scores(scores.images, half.scores.images)
    helps = found.is_clear and found.low > 0
    told = "More images would help" if helps else "More images of the same kind would hardly help"
    return (
        f"{told}: with half of them, AP was {found.other:.2f}, with all, {found.ours:.2f} "
        f"(difference {found.low:+.2f} to {found.high:+.2f})."
    )
