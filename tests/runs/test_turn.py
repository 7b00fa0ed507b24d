"""Trainings that wait for one another: real processes."""

import pytest

from napari_seg_trainer import train
from napari_seg_trainer.runs.control import cancel
from napari_seg_trainer.runs.run import RunState
from napari_seg_trainer.schema.events import EpochEnded, Finished, Progress, Stopped
from testkit import processes
from testkit.patience import wait_until


def epochs(run):
    return [event for event in run.events() if isinstance(event, EpochEnded)]


def stages(run):
    return [event.stage for event in run.events() if isinstance(event, Progress)]


@pytest.fixture
def begin(home, toy, annotation_folder):
    data = annotation_folder()
    return lambda name, **parameters: train(data, name=name, engine=toy, wait=False, **parameters)


@pytest.fixture
def first(begin):
    run = begin("first", epochs=1000, seconds=0.1)
    wait_until(lambda: epochs(run))
    return run


def test_a_second_training_waits_for_the_first(first, begin):
    second = begin("second", epochs=1)
    wait_until(lambda: stages(second) == [f"waiting for {first.id}"])
    assert second.state() == RunState.RUNNING
    first.request_stop()
    wait_until(lambda: second.outcome() is not None)
    assert isinstance(second.outcome(), Finished)
    assert epochs(second)[0].time > first.outcome().time


def test_nobody_waits_for_a_killed_training(first, begin):
    second = begin("second", epochs=1)
    wait_until(lambda: stages(second))
    processes.kill(first.process().pid)
    wait_until(lambda: isinstance(second.outcome(), Finished))


@pytest.mark.parametrize("keep", [True, False])
def test_who_waits_can_be_stopped(first, begin, keep):
    second = begin("second", epochs=1)
    wait_until(lambda: stages(second))
    if keep:
        second.request_stop()
        wait_until(lambda: second.outcome() is not None)
        assert "waiting" in second.outcome().reason
    else:
        cancel(second)
    last = second.outcome()
    assert isinstance(last, Stopped)
    assert last.model is None
    assert first.state() == RunState.RUNNING


def test_another_gpu_need_not_wait(first, begin, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    second = begin("second", epochs=1)
    wait_until(lambda: second.outcome() is not None)
    assert isinstance(second.outcome(), Finished)
    assert first.state() == RunState.RUNNING
