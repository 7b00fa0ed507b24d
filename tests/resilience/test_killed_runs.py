"""Trainings whose process is killed again and again, at random moments, and which are resumed each time."""

import random
import subprocess
import time
from statistics import median

import pytest

from napari_seg_trainer.api import make_job, wait_for
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.runs.control import resume
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import RunState
from napari_seg_trainer.schema.events import EpochEnded, Started
from testkit import other_clock, processes
from testkit.patience import wait_until

FEW, MANY = 3, 20
HOUR, YEAR = 3600, 365 * 86400
CLOCKS = (0, HOUR, -HOUR, 10 * YEAR, -YEAR)
"""By how many seconds another clock differs from this computer's."""
POPEN = subprocess.Popen
SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]
SETTINGS = {
    "toy": {"seconds": 0.04},
    "stardist": {
        "epochs": 400,  # on a fast machine, many end while the test looks once
        "batch_size": 2,
        "augmentation": 8.0,
        "filters": 8,
        "patch_size": 64,
        "depth": 2,
        "rays": 16,
        "grid": 2,
    },
    "cellpose": {"epochs": 40, "batch_size": 2, "augmentation": 1.0, "patch_size": 64, "device": "cpu"},
}


def epochs(run):
    return [event for event in run.events() if isinstance(event, EpochEnded)]


def has_told(run, sign):
    """Whether the latest attempt has told an event of this type; of none, yes."""
    return not sign or any(isinstance(event, sign) for event in run.read_events(run.attempt_begin())[0])


@pytest.fixture
def start(home, toy, annotation_folder):
    data = annotation_folder(images=5, shape=(96, 96))

    def begin(engine, name, **changes):
        return launch(make_job(name=name, engine=engine, data=(data,), hyperparameters=SETTINGS[engine] | changes))

    return begin


@pytest.fixture
def set_clock(monkeypatch, tmp_path):
    """Have processes that begin from now on see a clock that is so many seconds ahead."""
    library = other_clock.build(tmp_path)
    if library is None:
        pytest.skip("there is no compiler for another clock")

    def change(seconds):
        monkeypatch.setattr(subprocess, "Popen", POPEN)  # the toy's are copies of one that began before
        for name, value in other_clock.variables(library, seconds).items():
            monkeypatch.setenv(name, value)

    return change


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", SETTINGS)
def test_a_training_is_killed_while_the_clock_jumps(start, set_clock, engine):
    run = killed_again_and_again(start, engine, MANY, set_clock)
    begun = [event.time.timestamp() for event in run.events() if isinstance(event, Started)]
    assert max(begun) - min(begun) > 10 * YEAR


@pytest.mark.parametrize(
    ("engine", "kills"), [("toy", FEW), *(pytest.param(name, MANY, marks=SLOW) for name in SETTINGS)]
)
def test_a_training_that_is_killed_again_and_again_ends_as_if_nothing_had_been(start, engine, kills):
    killed_again_and_again(start, engine, kills, lambda seconds: None)


def killed_again_and_again(start, engine, kills, set_clock):
    long_enough = {"epochs": 5 * kills} if engine == "toy" else {}
    begun = time.time()
    undisturbed = start(engine, "undisturbed", **long_enough)
    wait_for(undisturbed)
    startup = next(event for event in undisturbed.events() if isinstance(event, Started)).time.timestamp() - begun
    seconds = median(event.seconds for event in epochs(undisturbed))
    draw = random.Random(0)
    set_clock(HOUR)
    run, survived = start(engine, "killed", **long_enough), 0
    for number in range(kills):
        # while it prepares, while its first epoch lasts, and later
        sign, reach = ((None, startup), (Started, 2 * seconds), (EpochEnded, 2 * seconds))[number % 3]
        wait_until(lambda sign=sign: has_told(run, sign), "it trains")
        time.sleep(draw.uniform(0, reach))
        assert run.outcome() is None, f"it was over after {survived} kills"
        processes.kill(run.process().pid)
        set_clock(draw.choice(CLOCKS))
        wait_until(lambda: run.state() == RunState.INTERRUPTED, "the run is interrupted")
        resume(run)
        survived += 1
    wait_for(run)
    assert run.state() == RunState.FINISHED
    told, expected = epochs(run), epochs(undisturbed)
    assert [event.epoch for event in told] == [event.epoch for event in expected]
    begins = [event.epoch for event in run.events() if isinstance(event, Started)]
    losses = [side[-1].metrics["val_loss"] for side in (told, expected)]
    print(f"\n{engine}: {survived} of {kills} kills survived, begun at {begins}; last validation losses {losses}")
    for one, other in zip(told, expected, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-6)
        assert one.learning_rate == other.learning_rate
    # which epoch is the best may depend on how many the time has sufficed to score
    for name in ("undisturbed", "killed"):
        ModelLibrary().get(name).verify()
    return run
