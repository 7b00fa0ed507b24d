"""Counts are those of cellpose's own metrics."""

import numpy as np
import pytest
from cellpose.metrics import average_precision
from scipy.ndimage import label

from napari_seg_trainer.evaluation.matching import match

THRESHOLDS = (0.5, 0.6, 0.75, 0.9)


def blobs(rng, shape=(80, 90)):
    """Labels of random shapes."""
    noise = rng.normal(size=shape)
    smooth = sum(np.roll(noise, (y, x), (0, 1)) for y in range(-3, 4) for x in range(-3, 4))
    return label(smooth > 3)[0].astype(np.int32)


@pytest.mark.parametrize("seed", range(12))
def test_counts_are_those_of_cellpose(seed):
    rng = np.random.default_rng(seed)
    truth = blobs(rng)
    prediction = np.roll(truth, tuple(rng.integers(-2, 3, 2)), (0, 1))
    prediction[prediction == rng.integers(1, truth.max() + 1)] = 0
    extra = blobs(rng)
    prediction = np.where((prediction == 0) & (extra > extra.max() // 2), extra + prediction.max(), prediction)
    prediction = np.unique(prediction, return_inverse=True)[1].reshape(
        truth.shape
    )  # without gaps, as cellpose wants it
    theirs = average_precision([truth], [prediction], threshold=list(THRESHOLDS))
    for place, ours in enumerate(match(truth, prediction, THRESHOLDS)):
        counts = ours.true_positive, ours.false_positive, ours.false_negative
        assert counts == tuple(values[0, place] for values in theirs[1:])
        assert ours.ap == pytest.approx(theirs[0][0, place])


def test_an_image_in_which_nothing_is_found():
    truth = blobs(np.random.default_rng(0))
    theirs = average_precision([truth], [truth * 0], threshold=[0.5])
    (ours,) = match(truth, truth * 0, (0.5,))
    assert (ours.true_positive, ours.false_positive, ours.false_negative) == tuple(
        values[0, 0] for values in theirs[1:]
    )
