"""What is wrong with a segmentation, in kinds that a person can do something about."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.evaluation.matching import Matching, count_pairs, match
from napari_seg_trainer.schema._base import FrozenModel

IOU = 0.5


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
