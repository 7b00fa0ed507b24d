"""Whether one way of finding objects in a few images is better than another by more than chance."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IOUS = (0.5, 0.7)
"""An object is found if a label covers it with more than this; above a half, no two labels do."""
ERRORS = 2.0
"""By how many standard errors: the best of many thresholds seems better than it is."""


def is_clearly_better(
    true: Sequence[NDArray[np.int32]], usual: Sequence[NDArray[np.int32]], other: Sequence[NDArray[np.int32]]
) -> bool:
    """Return whether `other` finds more of the true objects, or fewer false ones, than `usual` does.

    What counts is where both differ (McNemar 1947, doi:10.1007/BF02295996): of as many objects that are right in one of
    them only, chance alone makes the difference between both ways as large as the square root of their number.

    Parameters
    ----------
    true, usual, other : sequence of NDArray of int32, axes YX
        Labels of the same images: as drawn, and as found in either way.
    """
    gains, changes = [], []
    for iou in IOUS:
        gain = change = 0
        for drawn, one, two in zip(true, usual, other, strict=True):
            before, after = _found(drawn, one, iou), _found(drawn, two, iou)
            false = (_count(two) - len(after)) - (_count(one) - len(before))
            gain += len(after) - len(before) - false
            change += len(before ^ after) + abs(false)
        gains.append(gain)
        changes.append(change)
    return float(np.mean(gains)) > ERRORS * math.sqrt(np.mean(changes))


def _count(labels: NDArray[np.int32]) -> int:
    return int(np.count_nonzero(np.unique(labels) > 0))


def _found(true: NDArray[np.int32], labels: NDArray[np.int32], iou: float) -> set[int]:
    """Return the true objects that a label covers well enough."""
    places = (true > 0) & (labels > 0)
    pairs, shared = np.unique(np.stack([true[places], labels[places]]), axis=1, return_counts=True)
    whole, areas = (dict(zip(*np.unique(values, return_counts=True), strict=True)) for values in (true, labels))
    return {
        int(one)
        for one, other, common in zip(*pairs, shared, strict=True)
        if common > iou * (whole[one] + areas[other] - common)
    }
