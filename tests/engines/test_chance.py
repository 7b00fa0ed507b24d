"""What is better in a few images only by chance does not count."""

import numpy as np
import pytest

from napari_seg_trainer.engines.chance import is_clearly_better

OBJECTS = 40


def squares(numbers, side=6):
    """Labels with these of 40 squares, 8 pixels from one to the next."""
    labels = np.zeros((8 * OBJECTS, 8), np.int32)
    for number in numbers:
        labels[8 * number : 8 * number + side, :side] = number + 1
    return labels


ALL, HALF = range(OBJECTS), range(0, OBJECTS, 2)


@pytest.mark.parametrize(
    ("usual", "other", "clearly"),
    [
        (squares(ALL), squares(ALL), False),
        (squares(HALF), squares(ALL), True),
        (squares(ALL), squares(HALF), False),
        (squares(range(37)), squares(ALL), False),  # three more: chance
        (squares(range(35)), squares(ALL), True),
        (squares(range(20)), squares(range(20, 40)), False),  # as many, but others
        (squares([]), squares(ALL), True),
        (squares(ALL, side=3), squares(ALL), True),  # too small to be right
    ],
    ids=["the same", "twice as many", "half as many", "three more", "five more", "others", "all", "better outlines"],
)
def test_of_objects_that_are_found(usual, other, clearly):
    assert is_clearly_better([squares(ALL)], [usual], [other]) is clearly


def test_labels_where_nothing_was_drawn_count_against_it():
    true, more = squares(HALF), squares(ALL)
    assert is_clearly_better([true], [more], [true])
    assert not is_clearly_better([true], [true], [more])


def test_few_objects_in_each_of_many_images_are_many():
    pairs = [(squares([i]), squares([])) for i in range(6)]
    true, nothing = zip(*pairs, strict=True)
    assert not is_clearly_better(true[:3], nothing[:3], true[:3])
    assert is_clearly_better(true, nothing, true)


def test_of_no_objects_there_is_nothing_to_say():
    empty = squares([])
    assert not is_clearly_better([empty], [empty], [empty])
    assert not is_clearly_better([], [], [])
