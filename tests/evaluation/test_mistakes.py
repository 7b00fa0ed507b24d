"""Kinds of mistakes."""

import numpy as np
import pytest

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.evaluation.scores import Mistakes, Scores, find_mistakes, score_image


def strips(*widths):
    """Objects 1, 2, 3 of these widths beside each other, in a row of background at the end; 0 is a gap of 2."""
    parts, number = [], 0
    for width in widths:
        number += width > 0
        parts += [number] * width if width else [0, 0]
    return np.array([parts + [0] * (24 - len(parts))] * 3)


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        (strips(8, 8), strips(8, 8), Mistakes()),
        (strips(8, 8), strips(8), Mistakes(missed=1)),
        (strips(8), strips(8, 8), Mistakes(extra=1)),
        (strips(8, 8), strips(16), Mistakes(missed=1, merged=1)),
        (strips(6, 6, 6), strips(18), Mistakes(missed=3, extra=1, merged=1)),
        (strips(16), strips(8, 8), Mistakes(extra=1, split=1)),
        (strips(18), strips(6, 6, 6), Mistakes(missed=1, extra=3, split=1)),
        (strips(8, 8), strips(16) * 0, Mistakes(missed=2)),
        (strips(8) * 0, strips(8), Mistakes(extra=1)),
        (strips(8) * 0, strips(8) * 0, Mistakes()),
        (strips(12, 8), strips(10, 10), Mistakes()),
    ],
)
def test_each_kind_is_counted(truth, prediction, expected):
    assert find_mistakes(truth, prediction) == expected


def test_half_is_not_more_than_half():
    truth, prediction = strips(8, 0, 8), strips(18)
    prediction[:, :4] = 0
    assert find_mistakes(truth, prediction).merged == 0  # one of the two lies in it by half only


def test_pixels_that_do_not_count_change_nothing():
    truth, prediction = strips(8, 8), strips(16)
    truth[:, 8:] = -1
    assert find_mistakes(truth, prediction) == Mistakes()


def test_numbers_of_labels_do_not_matter():
    truth, prediction = strips(6, 6, 0, 6), strips(12, 0, 3, 3)
    numbers = np.array([0, 70_000, 5, 123_456_789])
    assert find_mistakes(numbers[truth], numbers[prediction]) == find_mistakes(truth, prediction)


def test_what_is_no_image_of_labels_is_refused():
    with pytest.raises(DataError, match="differ in size"):
        find_mistakes(strips(8), strips(8)[:2])


def test_images_are_counted_together():
    scores = Scores.of([score_image("a", strips(8, 8), strips(16)), score_image("b", strips(8), strips(8, 8))])
    assert scores.mistakes == Mistakes(missed=1, extra=1, merged=1)
    assert scores.told == scores.pooled | {"missed": 1.0, "extra": 1.0, "merged": 1.0, "split": 0.0}
    assert Mistakes.total([]) == Mistakes()
