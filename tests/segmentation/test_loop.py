"""Files one after the other, and what happens beside."""

import threading

import pytest

from napari_seg_trainer.errors import DataError, EngineError, LibraryError
from napari_seg_trainer.segmentation.loop import work_through
from testkit.patience import SECONDS


def told(items, read=lambda item: item, compute=lambda given: given, finish=lambda item, given, found: found):
    work = work_through(items, read, lambda given, _told: compute(given), finish)
    return [(done.item, done.result, done.problem) for done in work]


def failing(error, at):
    def work(given, *_more):
        if given == at:
            raise error
        return given

    return work


def test_nothing_is_nothing():
    assert told([]) == []


def test_each_goes_through_three_steps_in_order():
    found = told([1, 2, 3], lambda i: 10 * i, lambda given: given + 1, lambda *three: three)
    assert found == [(1, (1, 10, 11), ""), (2, (2, 20, 21), ""), (3, (3, 30, 31), "")]


@pytest.mark.parametrize("step", ["read", "compute"])
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("error", [DataError("broken."), EngineError("broken.")])
def test_it_goes_on_after_one_that_fails(step, at, error):
    found = told([1, 2, 3], **{step: failing(error, at)})
    assert found == [(i, None, "broken.") if i == at else (i, i, "") for i in (1, 2, 3)]


@pytest.mark.parametrize("step", ["read", "compute"])
def test_what_concerns_all_ends_it_after_those_before(step):
    steps = {"read": abs, "compute": lambda given, _told: given, "finish": max} | {
        step: failing(LibraryError("The model is gone."), 3)
    }
    done = []
    with pytest.raises(LibraryError):
        done.extend(one.item for one in work_through([1, 2, 3], **steps))
    assert done == [1, 2]


def test_how_far_it_is_counts_parts_and_what_fails():
    def compute(given, told):
        told(1, 2)
        return failing(DataError("broken."), 2)(given)

    far = []
    list(work_through([1, 2, 3], failing(DataError("gone."), 1), compute, max, far.append))
    assert far == [0, 1, 1.5, 2, 2.5, 3]
    list(work_through([], abs, compute, max, far.append))
    assert far[6:] == [0]


def test_what_cannot_be_written_ends_it():
    with pytest.raises(DataError, match="full"):
        told([1, 2, 3], finish=failing(DataError("The disk is full."), 1))


def test_the_next_is_read_and_the_last_finished_meanwhile():
    reads, computes = ({i: threading.Event() for i in range(4)} for _ in range(2))

    def read(i):
        reads[i].set()
        return i

    def compute(i):
        computes[i].set()
        assert i == 3 or reads[i + 1].wait(SECONDS)  # it is read while this one is computed
        return i

    def finish(i, _given, _found):
        assert i == 3 or computes[i + 1].wait(SECONDS)
        return i

    assert [result for _, result, _ in told(range(4), read, compute, finish)] == [0, 1, 2, 3]


def test_no_more_than_one_is_read_ahead():
    reads = []
    work = work_through(range(9), reads.append, lambda given, _told: given, lambda *three: three[0])
    next(work)
    assert len(reads) <= 3
    work.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read_", "finish_"))]
