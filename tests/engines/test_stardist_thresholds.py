"""The search for thresholds of StarDist, on what a network may have answered."""

import numpy as np
import pytest

pytest.importorskip("stardist")

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.engines.stardist.thresholds import USUAL, optimize_thresholds

OBJECTS = 60


def images(fill):
    """Images of 60 squares, and beside them as many pixels of another kind."""
    labels = np.zeros((80, 120), np.int32)
    for number in range(OBJECTS):
        y, x = divmod(number, 10)
        labels[y * 12 : y * 12 + 8, x * 12 : x * 12 + 8] = number + 1
    whole = np.concatenate([labels, np.full_like(labels, fill)])
    return [PreparedImage(str(number), np.zeros((1, *whole.shape), np.float32), whole) for number in range(3)]


def look(image):
    probability = np.zeros(image.shape[1:], np.float32)
    probability[::10] = 1
    return probability, np.zeros((*image.shape[1:], 4), np.float32)


def find(shape, _probability, _distances, thresholds):
    """Above 0.6 all squares are found, and as many more in the other half; below that two of three."""
    half = images(0)[0].labels[:80]
    if thresholds["prob"] > 0.6:
        return np.concatenate([half, np.where(half > 0, half + OBJECTS, 0)])
    return np.concatenate([half * (half % 3 > 0), np.zeros_like(half)])


def test_what_is_found_where_nobody_has_drawn_does_not_count():
    assert optimize_thresholds(look, find, images(0), lambda *_: None) == USUAL  # they would be false
    chosen = images(-1)
    found = optimize_thresholds(look, find, chosen, lambda *_: None)
    assert found["prob"] > 0.6
    assert chosen[0].labels.min() == -1  # it is the training's own
