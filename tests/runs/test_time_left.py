import itertools

import pytest

from napari_seg_trainer.runs.time_left import TimeLeft


def ended(left, epoch, seconds, now):
    """What is left after an epoch that took so long."""
    left.end_epoch(seconds)
    return left.estimate(epoch, now)


def test_the_first_epoch_does_not_count():
    left = TimeLeft(10)
    assert ended(left, 1, 30.0, 30.0) is None  # frameworks compile in it
    assert left.estimate(1.5, 31.0) is None
    assert ended(left, 2, 2.0, 32.0) == pytest.approx(16.0)
    assert left.estimate(2.5, 33.0) == pytest.approx(15.0)


def test_it_does_not_jump():
    left, now, told = TimeLeft(200), 0.0, []
    for number in range(1, 200):
        seconds = 40.0 if number in (1, 60, 61) else 4.0 + (number % 3)
        now += seconds
        told.append((now, ended(left, number, seconds, now)))
    ends = [when + seconds for when, seconds in told if seconds is not None]
    jumps = [abs(b - a) for a, b in itertools.pairwise(ends)]
    assert max(jumps) < 0.1 * (ends[-1] - told[1][0])
    assert told[-1][1] < 20


def test_a_long_epoch_is_told_from_within():
    left = TimeLeft(4)
    ended(left, 1, 100.0, 100.0)
    ended(left, 2, 100.0, 200.0)
    for step in range(1, 10):  # this one takes twice as long
        told = left.estimate(2 + step / 20, 200.0 + step * 10)
    assert told > 120


def test_after_the_last_epoch_nothing_is_left():
    left = TimeLeft(3)
    ended(left, 1, 9.0, 9.0)
    ended(left, 2, 2.0, 11.0)
    assert ended(left, 3, 8.0, 19.0) == 0


def test_another_number_of_epochs_counts_at_once():
    left = TimeLeft(None)
    assert [ended(left, epoch, 4.0, 4.0 * epoch) for epoch in (1, 2, 3)] == [None] * 3
    left.epochs = 103
    assert left.estimate(3, 12.0) == pytest.approx(400)
    left.epochs = 13
    assert left.estimate(3, 12.0) == pytest.approx(40)
