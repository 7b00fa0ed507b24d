"""Whether more images would help, from models of some of the images."""

from typing import Literal

from napari_seg_trainer.evaluation.comparison import FEWEST_IMAGES, compare, counted
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.schema._base import FrozenModel

PARTS: dict[Literal["half", "quarter"], int] = {"half": 2, "quarter": 4}
"""Of how many images one is taken."""
FEWEST_TRAINING_IMAGES = 2
"""A part needs at least this many images."""


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
    unknown = "It cannot be told whether more images would help:"
    if half is None:
        fewest = PARTS["half"] * FEWEST_TRAINING_IMAGES
        return f"{unknown} {counted(curve.images, 'training image')} cannot be halved, {fewest} or more could."
    if len(scores.images) < FEWEST_IMAGES:
        count = counted(len(scores.images), "validation image")
        return f"{unknown} of {count} it cannot be seen, of {FEWEST_IMAGES} or more it could."
    found = compare(scores.images, half.scores.images)
    helps = found.is_clear and found.low > 0
    told = "More images would help" if helps else "More of the same images would hardly help"
    return (
        f"{told}: with a half of them AP was {found.other:.2f}, with all {found.ours:.2f} "
        f"(difference {found.low:+.2f} to {found.high:+.2f})."
    )
