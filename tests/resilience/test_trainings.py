"""Whole trainings of the toy engine that are killed, or whose disk is full, at each step in turn."""

import os
from itertools import count

import pytest

from napari_seg_trainer.api import make_job
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.paths import HOME_VARIABLE
from napari_seg_trainer.runs.checkpoint import epoch_folder, read_state
from napari_seg_trainer.runs.control import resume
from napari_seg_trainer.runs.previews import MODEL, Previews
from napari_seg_trainer.runs.run import Run, RunState
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import EpochEnded, Failed, Finished
from testkit import drawing

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes cannot be copied there")

EPOCHS = 2


@pytest.fixture
def make_run(fresh, toy, annotation_folder, monkeypatch):
    """Make a run that nobody trains yet, in a home of its own."""
    data = annotation_folder(images=2, shape=(48, 48))

    def make():
        home = fresh()
        monkeypatch.setenv(HOME_VARIABLE, str(home))
        return Run.create(make_job(name="nuclei", engine=toy, data=(data,), hyperparameters={"epochs": EPOCHS}))

    with drawing.left_out():
        yield make


def epochs(run):
    return [event.epoch for event in run.events() if isinstance(event, EpochEnded)]


def the_model_is_whole():
    library = ModelLibrary()
    assert library.broken() == {}
    for model in library:
        model.verify()


def the_checkpoint_can_be_read(run):
    state = read_state(run)
    if state is not None:
        for epoch in {state.last.epoch, state.best_epoch}:
            assert (epoch_folder(run, epoch) / "weights.json").read_text().endswith("}")
    return state


def the_previews_can_be_read(run):
    kept = Previews(run)
    index = kept.index()
    for name in () if index is None else index.images:
        kept.image(name)
        for done in kept.rounds().get(name, ()):
            kept.prediction(name, done)
    return index


@pytest.mark.parametrize(("every", "resumed"), [(3, 4), pytest.param(1, 1, marks=pytest.mark.slow)])
def test_a_training_that_is_killed_at_each_step_goes_on_to_its_end(
    make_run, killed_at_each_step, zygote, every, resumed
):
    """What is there after each step can be read, and the training goes on; both are looked at as often as given."""
    steps = count()

    def check(run):
        the_model_is_whole()
        the_previews_can_be_read(run)
        state = the_checkpoint_can_be_read(run)
        told = epochs(run)
        assert told == list(range(1, len(told) + 1))
        if "nuclei" in ModelLibrary():
            assert state.last.epoch == EPOCHS
            if run.state() == RunState.INTERRUPTED:
                resume(run)  # which only tells what the process had no time to tell
            assert run.state() == RunState.FINISHED
            return
        if next(steps) % resumed:
            return
        zygote.end(zygote.begin("testkit.works:train", run.folder))
        assert isinstance(run.outcome(), Finished)
        assert epochs(run) == list(range(1, EPOCHS + 1))
        assert run.state() == RunState.FINISHED
        the_model_is_whole()
        (name,) = the_previews_can_be_read(run).images
        assert Previews(run).rounds()[name][-1] == MODEL
        assert ModelLibrary().get("nuclei").card.hyperparameters["epochs"] == EPOCHS

    assert killed_at_each_step(make_run, lambda run: ("train", run.folder), check, every=every) >= 40


def test_a_training_whose_disk_is_full_at_each_write_keeps_its_last_epoch(make_run, full_at_each_write):
    minded = []

    def work(run):
        last = train_run(run)
        if isinstance(last, Failed):
            minded.append(last.message)

    def check(run):
        the_model_is_whole()
        the_previews_can_be_read(run)
        told = epochs(run)
        state = the_checkpoint_can_be_read(run)
        assert (0 if state is None else state.last.epoch) >= len(told)

    raised = full_at_each_write(make_run, work, check)
    assert len(minded) >= 15
    for message in minded:
        assert "space" in message, message
        assert len(message.splitlines()) == 1
        assert message.endswith("."), message
    # where even the last word cannot be written
    assert all(isinstance(error, OSError) for error in raised)
