"""Scores of a set of images, as the command line prints them and as JSON, and the kinds of mistakes behind them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.evaluation.matching import IOU_THRESHOLDS, Matching, count_pairs, match
from napari_seg_trainer.schema._base import FrozenModel

IOU = 0.5
MEASURES = ("precision", "recall", "f1", "ap", "pq")
_COMPARED = (0.5, 0.7, 0.9)


class Mistakes(FrozenModel):
    """How many objects are wrong in which way.

    An object is *missed* or *extra* where it has no partner at IoU 0.5. Two or more true objects are *merged* where
    more than half of each lies in one predicted object; a true object is *split* where two or more predicted objects
    lie in it by more than half of each (after Caicedo et al. 2019, https://doi.org/10.1002/cyto.a.23863). What is
    merged or split is mostly missed or extra, too.

    Attributes
    ----------
    missed, extra, split : int
        True objects, predicted objects, true objects.
    merged : int
        Predicted objects that merge others.
    """

    missed: int = 0
    extra: int = 0
    merged: int = 0
    split: int = 0

    @classmethod
    def total(cls, several: Iterable[Self]) -> Self:
        """Return the mistakes in several images together."""
        sums = dict.fromkeys(cls.model_fields, 0)
        for one in several:
            for kind in sums:
                sums[kind] += getattr(one, kind)
        return cls(**sums)


def find_mistakes(truth: NDArray[Any], prediction: NDArray[Any], matching: Matching | None = None) -> Mistakes:
    """Count the mistakes in one image.

    Parameters
    ----------
    truth, prediction : NDArray of int, axes YX
        As for `match`: pixels where the truth is negative do not count.
    matching : Matching, optional
        Theirs at IoU 0.5, where it is known already.

    Raises
    ------
    DataError
        As for `match`.
    """
    if matching is None:
        (matching,) = match(truth, prediction, (IOU,))
    counted = truth >= 0
    true, predicted, pixels = count_pairs(truth[counted], prediction[counted])
    both = (true > 0) & (predicted > 0)
    swallowed = both & (pixels > _totals(true, pixels) / 2)
    contained = both & (pixels > _totals(predicted, pixels) / 2)
    return Mistakes(
        missed=matching.false_negative,
        extra=matching.false_positive,
        merged=_with_several(predicted[swallowed]),
        split=_with_several(true[contained]),
    )


def _totals(labels: NDArray[np.int64], pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each entry the pixels of all entries with its label."""
    distinct, places = np.unique(labels, return_inverse=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, places, pixels)
    return totals[places]


def _with_several(labels: NDArray[np.int64]) -> int:
    """Return how many labels occur more than once."""
    return int(np.count_nonzero(np.unique(labels, return_counts=True)[1] > 1))


def score_key(measure: str, iou_threshold: float) -> str:
    """Return the name of a score: ``ap50``, ``f1_50`` (an underscore keeps digits apart), ``precision70``."""
    separator = "_" if measure[-1].isdigit() else ""
    return f"{measure}{separator}{100 * iou_threshold:g}"


class ImageScore(FrozenModel):
    """How well one image was segmented.

    Attributes
    ----------
    image : str
        The image's name.
    matchings : tuple of Matching
        The counts at each IoU threshold.
    mistakes : Mistakes
        What is wrong, by its kind.
    """

    image: str
    matchings: tuple[Matching, ...]
    mistakes: Mistakes = Mistakes()

    @property
    def scores(self) -> dict[str, float]:
        """The image's own scores by name, such as ``ap50``."""
        return _named(self.matchings)

    @property
    def half(self) -> Matching:
        """The counts at IoU 0.5."""
        return next(matching for matching in self.matchings if matching.iou_threshold == IOU)


class Scores(FrozenModel):
    """How well a set of images was segmented.

    Attributes
    ----------
    pooled : dict of str to float
        From the counts summed over all images, so that every object counts the same. Empty without images.
    mean : dict of str to float
        Mean of the images' own scores, so that every image counts the same. Empty without images.
    images : tuple of ImageScore
        Each image's counts.
    """

    pooled: dict[str, float]
    mean: dict[str, float]
    images: tuple[ImageScore, ...]

    @classmethod
    def of(cls, images: Iterable[ImageScore]) -> Self:
        """Return the scores of some images together; all must have the same IoU thresholds."""
        images = tuple(images)
        if not images:
            return cls(pooled={}, mean={}, images=())
        own = [image.scores for image in images]
        return cls(
            pooled=_named(pool(images)),
            mean={key: float(np.mean([scores[key] for scores in own])) for key in own[0]},
            images=images,
        )

    @property
    def mistakes(self) -> Mistakes:
        """What is wrong in all images together."""
        return Mistakes.total(image.mistakes for image in self.images)

    @property
    def told(self) -> dict[str, float]:
        """The pooled scores, and how many objects are missed, extra, merged and split."""
        if not self.images:
            return {}
        return {**self.pooled, **{kind: float(count) for kind, count in self.mistakes.model_dump().items()}}

    def rows(self) -> list[dict[str, str | float]]:
        """Return a table: a row for each image, then the pooled scores, then the mean."""
        named = [(image.image, image.scores) for image in self.images]
        named += [("pooled", self.pooled), ("mean", self.mean)] if self.images else []
        return [{"image": name, **scores} for name, scores in named]


def score_image(
    name: str, truth: NDArray[Any], prediction: NDArray[Any], thresholds: Sequence[float] = IOU_THRESHOLDS
) -> ImageScore:
    """Return how well one image was segmented.

    Parameters
    ----------
    name : str
        The image's name.
    truth, prediction : NDArray of int, axes YX
        As for `match`.
    thresholds : sequence of float
        IoU thresholds.

    Raises
    ------
    DataError
        As for `match`.
    """
    matchings = match(truth, prediction, thresholds)
    half = next((matching for matching in matchings if matching.iou_threshold == IOU), None)
    return ImageScore(image=name, matchings=matchings, mistakes=find_mistakes(truth, prediction, half))


def mean_ap(scores: Mapping[str, float]) -> float:
    """Return the mean of the AP at IoU 0.5, 0.7 and 0.9, by which the networks of a training are compared."""
    return sum(scores[score_key("ap", iou)] for iou in _COMPARED) / len(_COMPARED)


def pool(images: Sequence[ImageScore]) -> tuple[Matching, ...]:
    """Return the counts of all images together, at each IoU threshold; nothing without images."""
    if not images:
        return ()
    first, *others = (image.matchings for image in images)
    total = first
    for matchings in others:
        total = tuple(a + b for a, b in zip(total, matchings, strict=True))
    return total


def _named(matchings: Iterable[Matching]) -> dict[str, float]:
    return {
        score_key(measure, matching.iou_threshold): float(getattr(matching, measure))
        for matching in matchings
        for measure in MEASURES
    }
