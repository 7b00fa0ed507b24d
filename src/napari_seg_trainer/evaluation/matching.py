"""Which predicted object is which true one.

Objects are matched one to one by intersection over union (IoU), as in the StarDist paper (Schmidt et al. 2018,
MICCAI) and in `stardist.matching`, with which the numbers agree. Panoptic quality is Kirillov et al. 2019, CVPR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.errors import DataError

IOU_THRESHOLDS = (0.5, 0.7, 0.9)
_DENSE_CELLS = 1 << 20


@dataclass(frozen=True)
class Matching:
    """How many objects were found, missed and made up, at one IoU threshold.

    Attributes
    ----------
    iou_threshold : float
        Two objects match if their IoU is at least this.
    true_positive, false_positive, false_negative : int
        Found, made up, missed.
    iou_sum : float
        Sum of the IoU of the matched pairs.

    Notes
    -----
    Where nothing is found every score is 0, also where there was nothing to find; `stardist.matching` does the same.
    """

    iou_threshold: float
    true_positive: int
    false_positive: int
    false_negative: int
    iou_sum: float = 0.0

    @property
    def true_objects(self) -> int:
        """Number of objects in the truth."""
        return self.true_positive + self.false_negative

    @property
    def predicted_objects(self) -> int:
        """Number of objects in the prediction, less those excused by ignored pixels."""
        return self.true_positive + self.false_positive

    @property
    def precision(self) -> float:
        """Fraction of the predicted objects that are real."""
        return _ratio(self.true_positive, self.predicted_objects)

    @property
    def recall(self) -> float:
        """Fraction of the true objects that were found."""
        return _ratio(self.true_positive, self.true_objects)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.true_positive, self.true_objects + self.predicted_objects)

    @property
    def ap(self) -> float:
        """TP / (TP + FP + FN), which the field calls average precision."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive + self.false_negative)

    @property
    def pq(self) -> float:
        """Panoptic quality: F1 times the mean IoU of the matched pairs."""
        return _ratio(2 * self.iou_sum, self.true_objects + self.predicted_objects)

    def __add__(self, other: "Matching") -> "Matching":
        """Return the counts of both together; raises ValueError if their thresholds differ."""
        if self.iou_threshold != other.iou_threshold:
            raise ValueError(f"IoU thresholds {self.iou_threshold:g} and {other.iou_threshold:g} cannot be pooled")
        return Matching(
            self.iou_threshold,
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.iou_sum + other.iou_sum,
        )


def match(
    truth: NDArray[Any], prediction: NDArray[Any], thresholds: Sequence[float] = IOU_THRESHOLDS
) -> tuple[Matching, ...]:
    """Match predicted objects to true ones at each IoU threshold.

    Parameters
    ----------
    truth : NDArray of int, axes YX
        0 is background, negative pixels do not count.
    prediction : NDArray of int, axes YX
        0 is background.
    thresholds : sequence of float
        IoU thresholds, above 0 up to 1.

    Returns
    -------
    tuple of Matching
        One for each threshold.

    Raises
    ------
    DataError
        If the shapes differ, or the arrays are not label images.

    Notes
    -----
    Where the truth is negative, pixels of the prediction are dropped; an object without match that lay there by more
    than half is not counted as made up.
    """
    overlap = _overlap(truth, prediction)
    return tuple(_count(overlap, float(threshold)) for threshold in thresholds)


def match_pairs(truth: NDArray[Any], prediction: NDArray[Any], iou_threshold: float = 0.5) -> NDArray[np.int64]:
    """Return the labels of the matched pairs.

    Parameters
    ----------
    truth, prediction : NDArray of int, axes YX
        As for `match`.
    iou_threshold : float
        As for `match`.

    Returns
    -------
    NDArray of int64, shape (pairs, 2)
        Label in the truth, label in the prediction; by the label in the truth.

    Raises
    ------
    DataError
        As for `match`.
    """
    overlap = _overlap(truth, prediction)
    chosen = np.sort(_assign(overlap, iou_threshold))
    return np.stack([overlap.true_labels[overlap.true[chosen]], overlap.labels[overlap.predicted[chosen]]], axis=1)


@dataclass(frozen=True, eq=False)
class _Overlap:
    """The pairs of objects that share pixels; `true` and `predicted` are places in the lists of labels."""

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    iou: NDArray[np.float64]
    true_labels: NDArray[np.int64]
    labels: NDArray[np.int64]
    excused: NDArray[np.bool_]


def _overlap(truth: NDArray[Any], prediction: NDArray[Any]) -> _Overlap:
    _check(truth, prediction)
    truth, prediction = truth.ravel(), prediction.ravel()
    hidden = prediction[:0]
    if truth.size and truth.min() < 0:
        counted = truth >= 0
        truth, prediction, hidden = truth[counted], prediction[counted], prediction[~counted]
    true, predicted, pixels = count_pairs(truth, prediction)
    true_labels, true, true_area = _group(true, pixels)
    labels, predicted, area = _group(predicted, pixels)
    both = (true >= 0) & (predicted >= 0)
    true, predicted, pixels = true[both], predicted[both], pixels[both]
    iou = pixels / (true_area[true] + area[predicted] - pixels)
    return _Overlap(true, predicted, iou, true_labels, labels, _hidden_by_half(labels, area, hidden))


def count_pairs(
    truth: NDArray[Any], prediction: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of labels (YX) that occur at the same pixel, and at how many."""
    if not truth.size:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    rows, columns = int(truth.max()) + 1, int(prediction.max()) + 1
    if rows * columns > np.iinfo(np.int64).max:
        raise DataError("A label is too large to be compared. Renumber the labels from 1.")
    keys = truth.astype(np.int64)
    keys *= columns
    keys += prediction.astype(np.int64, copy=False)
    if rows * columns <= max(_DENSE_CELLS, 4 * keys.size):
        counts = np.bincount(keys)
        keys = np.flatnonzero(counts)
        counts = counts[keys]
    else:
        keys, counts = np.unique(keys, return_counts=True)
    true, predicted = np.divmod(keys, columns)
    return true, predicted, counts


def _group(
    labels: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the distinct labels but 0, each entry's place among them (-1 for 0), and their areas in pixels."""
    distinct, inverse = np.unique(labels, return_inverse=True)
    places = inverse.astype(np.int64, copy=False)
    area = np.bincount(places, weights=pixels, minlength=len(distinct)).astype(np.float64, copy=False)
    background = int(0 in distinct)
    return distinct[background:], places - background, area[background:]


def _hidden_by_half(labels: NDArray[np.int64], area: NDArray[np.float64], hidden: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which predicted objects lie by more than half where the truth does not count."""
    found, pixels = np.unique(hidden, return_counts=True)
    known = np.isin(found, labels)
    covered = np.zeros(len(labels))
    covered[np.searchsorted(labels, found[known])] = pixels[known]
    return covered > area


def _check(truth: NDArray[Any], prediction: NDArray[Any]) -> None:
    if truth.shape != prediction.shape:
        sizes = " and ".join(" × ".join(map(str, labels.shape)) for labels in (truth, prediction))
        raise DataError(f"Truth and prediction differ in size: {sizes} pixels. Compare labels of the same image.")
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.dtype.kind not in "iub":
            raise DataError(f"The {name} holds {labels.dtype} numbers, not labels. Give an integer label image.")
    if prediction.size and prediction.min() < 0:
        raise DataError(
            f"The prediction has the negative label {prediction.min()}. Use 0 for background, 1 and up else."
        )


def _assign(overlap: _Overlap, threshold: float) -> NDArray[np.intp]:
    """Return the places of the matched pairs: as many as possible, and of those the ones with the largest IoU."""
    close = np.flatnonzero(overlap.iou >= threshold)
    if threshold >= 0.5:
        # Objects of one image share no pixel, so at 0.5 and above one object can have two partners only if each is
        # exactly one half of it; either will do.
        close = close[np.unique(overlap.true[close], return_index=True)[1]]
        return close[np.unique(overlap.predicted[close], return_index=True)[1]]
    from scipy.optimize import linear_sum_assignment  # takes half a second to import, and is rarely needed

    shape = len(overlap.true_labels), len(overlap.labels)
    iou, place = np.zeros(shape), np.full(shape, -1, np.intp)
    iou[overlap.true, overlap.predicted] = overlap.iou
    place[overlap.true[close], overlap.predicted[close]] = close
    cost = -(place >= 0).astype(float) - iou / (2 * max(1, min(shape)))
    chosen: NDArray[np.intp] = place[linear_sum_assignment(cost)]
    return chosen[chosen >= 0]


def _count(overlap: _Overlap, threshold: float) -> Matching:
    chosen = _assign(overlap, threshold)
    unmatched = np.ones(len(overlap.labels), bool)
    unmatched[overlap.predicted[chosen]] = False
    return Matching(
        threshold,
        len(chosen),
        int(np.count_nonzero(unmatched & ~overlap.excused)),
        len(overlap.true_labels) - len(chosen),
        float(overlap.iou[chosen].sum()),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
