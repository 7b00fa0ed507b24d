"""How many epochs a training has: as many as given, as the time allows, or until it no longer improves."""

import math

import pytest

from napari_seg_trainer.api import make_job
from napari_seg_trainer.runs import context as contexts
from napari_seg_trainer.runs import length as lengths
from napari_seg_trainer.runs import scoring
from napari_seg_trainer.runs.context import RunContext
from napari_seg_trainer.runs.length import Plan
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import EpochEnded, Evaluated, Finished, Log, Started
from napari_seg_trainer.schema.job import Hyperparameters
from testkit.clock import Clock

MOST = 100


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(contexts, "time", made)
    monkeypatch.setattr(lengths, "time", made)
    return made


def begin(run, **given):
    """Begin, or go on with, what a job with these parameters asks for."""
    asked = Hyperparameters(**given)
    context = RunContext(run, 4, 1, plan=Plan(asked.length))
    known = context.hyperparameters.get("epochs")
    parameters = asked.replace(epochs=asked.epochs or known or MOST, learning_rate=1.0)
    context.start(parameters, steps_per_epoch=2, device="CPU")
    return context


def train(context, clock=None, *, until=None, seconds=2.0, loss=lambda epoch: 1 / epoch):
    """Do epoch after epoch, as an engine does; return the learning rates."""
    rates = []
    for epoch in context.epochs():
        rates.append(context.learning_rate(epoch))
        if clock is not None:
            clock.sleep(seconds)
        metrics = {"loss": 1 / epoch, "val_loss": loss(epoch)}
        if not context.end_epoch(epoch, metrics, lambda folder: None) or epoch == until:
            break
    return rates


def ended(run):
    return [event for event in run.events() if isinstance(event, EpochEnded)]


def told(run):
    return [event.message for event in run.events() if isinstance(event, Log)]


def plateau(since):
    """A validation loss that falls until an epoch."""
    return lambda epoch: 1 / min(epoch, since)


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ({}, "improving"),
        ({"minutes": 10}, "minutes"),
        ({"epochs": 3}, "epochs"),
        ({"epochs": 3, "minutes": 10}, "epochs"),
    ],
)
def test_what_is_given_settles_what_ends_it(given, length):
    assert Hyperparameters(**given).length == length


def test_the_epochs_that_are_given_are_done(make_run, clock):
    run = make_run()
    context = begin(run, epochs=30)
    assert len(train(context, clock, loss=plateau(3))) == 30
    assert context.has_all_epochs
    assert {event.epochs for event in ended(run)} == {30}


def test_it_ends_when_it_no_longer_improves(make_run, clock):
    run = make_run()
    context = begin(run)
    rates = train(context, clock, loss=plateau(20))
    # the last three tenths of these epochs brought nothing
    assert rates.count(1.0) == 40
    assert len(rates) == 67
    assert rates[40:] == sorted(rates[40:], reverse=True)
    assert rates[-1] < 0.05
    assert context.has_all_epochs
    assert told(run) == [
        "Little improvement after epoch 40: the learning rate now decreases, and epoch 67 is the last."
    ]
    started = next(event for event in run.events() if isinstance(event, Started))
    assert (started.epochs, started.is_limit) == (MOST, True)
    assert [event.epochs for event in ended(run)] == [MOST] * 39 + [67] * 28


def test_what_improves_to_the_end_takes_all_epochs(make_run, clock):
    run = make_run()
    assert len(train(begin(run), clock)) == MOST
    assert told(run) == []


def test_rising_scores_are_an_improvement(make_run, clock):
    plan = Plan("improving")
    plan.begin(Hyperparameters(epochs=2 * MOST))
    said = ""
    for epoch in range(1, 2 * MOST):
        event = EpochEnded(
            epoch=epoch,
            metrics={"loss": 1.0, "val_loss": 1.0},
            learning_rate=1.0,
            is_best=False,
            seconds=1.0,
        )
        said = plan.end_epoch(event, min(epoch, 70) / 100 if epoch % 5 == 0 else None)
        if said:
            break
    assert 90 < epoch <= 110
    assert plan.epochs == math.ceil(epoch / 0.6)


def test_an_epoch_that_was_scored_twice_counts_once(make_run):
    events = [
        Evaluated(dataset="validation", images=1, scores=dict.fromkeys(("ap50", "ap70", "ap90"), value), epoch=epoch)
        for epoch, value in ((1, 0.1), (2, 0.2), (2, 0.3))
    ]
    plan = Plan("improving")
    plan.begin(Hyperparameters(epochs=MOST), events)
    assert list(plan._scores) == [1, 2]
    assert plan._scores[2] == pytest.approx(0.3)


@pytest.mark.parametrize("stop", [10, 39, 40, 41, 60])
def test_a_run_that_goes_on_ends_with_the_same_epoch(make_run, clock, stop):
    run = make_run()
    first = train(begin(run), clock, until=stop, loss=plateau(20))
    context = begin(run)
    assert context.first_epoch == stop + 1
    rates = first + train(context, clock, loss=plateau(20))
    whole = train(begin(make_run("other")), clock, loss=plateau(20))
    assert rates == whole
    assert len(told(run)) == 1


def test_minutes_become_epochs(make_run, clock):
    run = make_run()
    context = begin(run, minutes=10)
    rates = train(context, clock, seconds=2.0)
    # five hundredths of the time are left to making the model
    assert len(rates) == 285
    assert rates.count(1.0) == 171
    assert context.has_all_epochs
    assert told(run) == ["285 epochs fit into 10 minutes."]
    assert [event.epochs for event in ended(run)][:17] == [None] * 15 + [285] * 2
    assert run.job.hyperparameters == {"epochs": 285}
    assert context.hyperparameters["epochs"] == 285


def test_the_time_before_the_first_epoch_counts(make_run, clock):
    run = make_run()
    asked = Hyperparameters(minutes=10)
    context = RunContext(run, 4, 1, plan=Plan(asked.length, clock.monotonic()))
    clock.sleep(300)
    context.start(asked.replace(epochs=MOST, learning_rate=1.0), steps_per_epoch=2, device="CPU")
    assert len(train(context, clock, seconds=2.0)) == 135


@pytest.mark.parametrize(("seconds", "expected"), [(400.0, 1), (200.0, 2), (1000.0, 1), (0.5, 1140)])
def test_long_and_short_epochs(make_run, clock, seconds, expected):
    assert len(train(begin(make_run(), minutes=10), clock, seconds=seconds)) == expected


def test_a_stop_before_the_time_is_measured(make_run, clock):
    run = make_run()
    context = begin(run, minutes=10)
    train(context, clock, until=2)
    assert not context.has_all_epochs
    assert context.hyperparameters["epochs"] is None
    later = begin(run, minutes=10)
    assert later.first_epoch == 3
    # the time begins anew
    assert len(train(later, clock, seconds=2.0)) == 285


def test_when_a_run_began_stays_known(make_run, clock):
    run = make_run()
    before = (run.folder / "job.json").stat().st_mtime_ns
    train(begin(run, minutes=10), clock)
    assert (run.folder / "job.json").stat().st_mtime_ns == before


def test_a_job_with_minutes_is_trained_and_keeps_its_epochs(home, toy, annotation_folder, monkeypatch):
    monkeypatch.setattr(lengths, "MEASURED_SECONDS", 0.0)
    folder = annotation_folder(images=3)
    run = Run.create(make_job(name="quick", engine=toy, data=(folder,), hyperparameters={"minutes": 0.05}))
    last = train_run(run)
    assert isinstance(last, Finished)
    epochs = run.job.hyperparameters["epochs"]
    assert epochs == len(ended(run)) > 1
    again = Run.create(make_job(name="again", engine=toy, data=(folder,), hyperparameters=run.job.hyperparameters))
    train_run(again)
    assert [event.metrics for event in ended(again)] == [event.metrics for event in ended(run)]
    assert [event.learning_rate for event in ended(again)] == [event.learning_rate for event in ended(run)]


def test_a_job_without_a_length_ends_by_itself(home, toy, annotation_folder, monkeypatch):
    monkeypatch.setattr(scoring, "SHARE", 1e9)
    folder = annotation_folder(images=3)
    run = Run.create(make_job(name="by-itself", engine=toy, data=(folder,)))
    assert isinstance(train_run(run), Finished)
    started = next(event for event in run.events() if isinstance(event, Started))
    assert started.is_limit
    assert len(ended(run)) <= started.epochs
