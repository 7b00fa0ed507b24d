"""Whole trainings: in this process where that shows the same, in processes of their own where it does not.

The toy engine stands for an engine; `stardist_training` and one more training are the real thing.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import tifffile

from napari_seg_trainer import ModelLibrary, train
from napari_seg_trainer.api import make_job, wait_for
from napari_seg_trainer.engines.registry import engine_spec
from napari_seg_trainer.errors import JobError, RunError
from napari_seg_trainer.runs import event_file
from napari_seg_trainer.runs.checkpoint import epoch_folder
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run, RunState, find_run, list_runs
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import EpochEnded, Evaluated, Failed, Finished, Log, Started, Stopped
from napari_seg_trainer.schema.job import TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard
from testkit import patience, processes
from testkit.patience import wait_until


def epochs(run):
    return [event for event in run.events() if isinstance(event, EpochEnded)]


def in_library(home):
    """Everything in the library, hidden files too."""
    return sorted(os.listdir(home / "models")) if (home / "models").is_dir() else []


@pytest.fixture
def here(home, toy, undrawn, annotation_folder):
    """Train in this process: ``here(epochs=3)`` returns the run and its last event."""

    def work(name="nuclei", data=None, **hyperparameters):
        data = data or annotation_folder()
        run = Run.create(make_job(name=name, engine=toy, data=(data,), hyperparameters=hyperparameters))
        return run, train_run(run)

    return work


@pytest.fixture
def begun(home, toy, annotation_folder):
    """Begin a slow training in a process of its own and wait for its second epoch."""

    def work(epochs_=1000, **hyperparameters):
        hyperparameters = {"epochs": epochs_, "seconds": 0.2} | hyperparameters
        run = train(annotation_folder(), name="nuclei", engine=toy, wait=False, **hyperparameters)
        wait_until(lambda: len(epochs(run)) >= 2, "the second epoch has ended")
        return run

    return work


def test_an_engine_for_stacks_alone_is_not_given_images(here, monkeypatch):
    of_stacks = replace(engine_spec("toy"), axes=("ZYX",))
    monkeypatch.setattr("napari_seg_trainer.runs.trainer.engine_spec", lambda _id: of_stacks)
    _, last = here(epochs=1)
    assert last == Failed(message="Toy is for ZYX, and the images are YX.", time=last.time)


# from the job to the model


def test_a_job_becomes_a_model(here, home):
    run, last = here(epochs=4, losses=[3, 1, 2, 4])
    assert isinstance(last, Finished)
    assert (last.model, last.best_epoch) == ("nuclei", 2)
    model = ModelLibrary().get("nuclei")
    model.verify()
    assert json.loads((model.folder / "toy.json").read_text()) == {"epoch": 2}
    card = model.card
    assert (card.epochs, card.best_epoch, card.training_images, card.validation_images) == (4, 2, 3, 1)
    assert [channel.name for channel in card.channels] == ["dapi"]
    assert card.pixel_size == 0.5
    assert 12 <= card.object_diameter <= 19
    assert card.scores["ap50"] == 1.0
    assert card.hyperparameters["epochs"] == 4
    assert set(card.data) == {*run.split.training, *run.split.validation}
    assert card.versions["numpy"] == np.__version__


def test_a_model_comes_with_its_report_job_and_split(home, toy, annotation_folder):
    """Here, the report's figures are drawn."""
    run = Run.create(make_job(name="nuclei", engine=toy, data=(annotation_folder(),), hyperparameters={"epochs": 2}))
    train_run(run)
    folder = ModelLibrary().get("nuclei").folder
    begins = {name: (folder / name).read_bytes()[:4] for name in ("curves.png", "examples.png", "report.pdf")}
    assert begins == {"curves.png": b"\x89PNG", "examples.png": b"\x89PNG", "report.pdf": b"%PDF"}
    assert TrainingJob.model_validate_json((folder / "job.json").read_bytes()) == run.job
    assert (folder / "split.json").read_bytes() == (run.folder / "split.json").read_bytes()
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8").lower()
    assert in_library(home) == ["nuclei"]
    assert not (run.folder / "prepared").exists()
    assert not (run.folder / "model").exists()


def test_the_story_is_told_in_order(here):
    run, last = here(epochs=3)
    told = [type(event) for event in run.events()]
    assert [kind for kind in told if kind in (Started, EpochEnded, Evaluated, Finished)] == [
        Started,
        EpochEnded,
        EpochEnded,
        EpochEnded,
        Evaluated,
        Finished,
    ]
    assert run.events()[-1] == last
    assert run.state() == RunState.FINISHED
    times = [event.time for event in run.events()]
    assert times == sorted(times)


@pytest.mark.parametrize("words", [[], ["/nowhere"], ["a", "b"]])
def test_the_process_of_a_training_wants_a_runs_folder(words):
    done = subprocess.run(
        [sys.executable, "-m", "napari_seg_trainer.runs", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("usage: python -m napari_seg_trainer.runs")


def test_a_training_does_not_read_back_what_it_tells(here, monkeypatch):
    reads, real = [], event_file.read_events

    def read(path, offset=0):
        reads.append(event_file.size(path))
        return real(path, offset)

    monkeypatch.setattr(event_file, "read_events", read)
    run, last = here(epochs=6, losses=[3, 2, 1, 1, 1, 1])
    assert isinstance(last, Finished)
    assert reads == [0]  # what earlier attempts told
    monkeypatch.undo()
    assert len(epochs(run)) == 6


def test_warnings_of_the_data_check_are_told(here, annotation_folder):
    data = annotation_folder()
    labels = data / "cell_00_labelled.tif"
    mask = tifffile.imread(labels)
    mask[0, 0] = mask.max() + 1  # a stray pixel
    tifffile.imwrite(labels, mask)
    run, last = here(data=data, epochs=1)
    assert isinstance(last, Finished)
    assert any(isinstance(event, Log) and "data check" in event.message for event in run.events())


def test_early_stopping_is_a_stop_with_a_model(here):
    _, last = here(epochs=10, early_stopping=2, losses=[2, 1, 3, 3, 0, 0, 0, 0, 0, 0])
    assert isinstance(last, Stopped)
    assert (last.model, last.best_epoch) == ("nuclei", 2)
    assert "no longer improved" in last.reason
    assert ModelLibrary().get("nuclei").card.epochs == 4


def test_a_batch_size_that_nobody_chose_is_fitted_to_the_data(here):
    run, last = here(epochs=1, augmentation=1.0)
    assert isinstance(last, Finished)
    assert any(isinstance(event, Log) and "batch size is 3" in event.message for event in run.events())
    assert ModelLibrary().get("nuclei").card.hyperparameters["batch_size"] == 3


def test_a_model_goes_on_from_another(here, home, toy, annotation_folder):
    here(name="parent", epochs=1)
    data = annotation_folder("more", channels=("gfp", "dapi"), pixel_size=1.0)
    run = Run.create(make_job(name="child", engine=toy, data=(data,), pretrained="parent"))
    assert isinstance(train_run(run), Finished)
    card = ModelLibrary().get("child").card
    assert (card.parent, card.pixel_size) == ("parent", 0.5)
    assert [channel.name for channel in card.channels] == ["dapi"]


def test_what_the_images_decided_stays_when_a_run_goes_on(home, toy, undrawn, annotation_folder, monkeypatch):
    """Another version may decide otherwise; a third epoch is then still the last of three."""
    given = {"failure": "export", "epochs": None}
    run = Run.create(make_job(name="nuclei", engine=toy, data=(annotation_folder(),), hyperparameters=given))
    for number in (3, 5):
        monkeypatch.setattr("napari_seg_trainer.schema.job.LEAST_EPOCHS", number)
        monkeypatch.setattr("napari_seg_trainer.schema.job.MOST_EPOCHS", number)
        assert isinstance(train_run(run), Failed)
    assert [event.epochs for event in run.events() if isinstance(event, Started)] == [3, 3]
    assert len(epochs(run)) == 3


# failures


@pytest.mark.parametrize(
    ("hyperparameters", "told"),
    [
        ({"failure": "bug"}, "ValueError: first line"),
        ({"failure": "memory"}, "Out of memory"),
        ({"failure": "disk"}, "no space left"),
        ({"losses": [float("nan")] * 3}, "loss of epoch 1 is not a number; train with a learning rate below"),
        ({"losses": [float("inf")] * 3}, "loss of epoch 1 is not a number; train with a learning rate below"),
        ({"failure": "export"}, "no model can be made of it"),
    ],
)
def test_a_failure_is_one_line_and_leaves_nothing_in_the_library(here, home, hyperparameters, told):
    run, last = here(epochs=3, **hyperparameters)
    assert isinstance(last, Failed)
    assert told in last.message
    assert "\n" not in last.message
    assert run.state() == RunState.FAILED
    assert in_library(home) == []
    assert not (run.folder / "prepared").exists()
    with pytest.raises(RunError) as error:
        wait_for(run)
    assert str(error.value) == last.message


def test_a_loss_that_is_no_number_ends_the_training_and_the_best_epoch_before_is_the_model(here, home):
    run, last = here(epochs=9, losses=[3.0, 2.0, float("nan"), 1.0])
    assert isinstance(last, Stopped)
    assert "loss of epoch 3 is not a number; train with a learning rate below 0.0003, and check" in last.reason
    assert (last.best_epoch, in_library(home)) == (2, [run.job.name])
    assert [event.epoch for event in run.events() if isinstance(event, EpochEnded)] == [1, 2]


def test_three_channels_are_too_many_for_the_toy(here, annotation_folder):
    _, last = here(data=annotation_folder(channels=("a", "b", "c")))
    assert isinstance(last, Failed)
    assert "1 to 2 channels, not 3" in last.message


# in a process of its own


def test_a_training_runs_beside_this_process(home, toy, annotation_folder, monkeypatch):
    data = annotation_folder()
    monkeypatch.chdir(data.parent)
    run = train(data.name, name="nuclei", engine=toy, epochs=3)
    assert run.state() == RunState.FINISHED
    assert run.process().pid != os.getpid()
    assert ModelLibrary().get("nuclei").card.best_epoch == 3
    assert run.job.data == (data,)
    assert in_library(home) == ["nuclei"]
    log = (run.folder / "log.txt").read_text()
    assert "Traceback" not in log


def test_a_stop_keeps_the_best_epoch_as_a_model(begun, home):
    run = begun(losses=[3, 1, *[2] * 998])
    assert run.state() == RunState.RUNNING
    run.request_stop()
    wait_for(run)
    last = run.events()[-1]
    assert isinstance(last, Stopped)
    assert (last.model, last.best_epoch) == ("nuclei", 2)
    assert run.state() == RunState.STOPPED
    assert len(epochs(run)) < 1000
    assert ModelLibrary().get("nuclei").card.best_epoch == 2
    assert in_library(home) == ["nuclei"]


def test_a_stop_before_the_first_epoch_has_ended(home, toy, undrawn, annotation_folder):
    job = make_job(
        name="nuclei", engine=toy, data=(annotation_folder(),), hyperparameters={"epochs": 5, "seconds": 0.1}
    )
    run = Run.create(job)
    run.request_stop()
    last = train_run(run)
    # the epoch is cut short, but it counts
    assert isinstance(last, Stopped)
    assert (last.model, last.best_epoch) == ("nuclei", 1)


def test_a_killed_training_is_interrupted_and_its_weights_are_there(begun, home):
    run = begun()
    processes.kill(run.process().pid)
    wait_until(lambda: run.state() == RunState.INTERRUPTED, "the run is interrupted")
    with pytest.raises(RunError, match="interrupted"):
        wait_for(run)
    assert in_library(home) == []
    done = epochs(run)
    assert json.loads((epoch_folder(run, done[-1].epoch) / "weights.json").read_text())["epoch"] >= done[-1].epoch


def test_one_name_cannot_be_made_by_two_runs(begun, toy):
    run = begun()
    with pytest.raises(JobError, match="already"):
        train(run.job.data, name="nuclei", engine=toy, wait=False)
    assert list_runs() == [run]


def test_a_name_that_is_taken_meanwhile_stays_with_its_model(begun, home, tmp_path):
    run = begun()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights").write_text("other")
    card = ModelCard(name="nuclei", engine="other", created=datetime.now(UTC), channels=())
    other = ModelLibrary().register(tmp_path / "other", card)
    run.request_stop()
    with pytest.raises(RunError, match="'nuclei' is already in the library"):
        wait_for(run)
    assert ModelLibrary().get("nuclei").card == other.card
    assert in_library(home) == ["nuclei"]
    assert (run.folder / "model" / "toy.json").exists()


def test_a_training_survives_the_death_of_its_starter(home, toy, annotation_folder, command):
    words = ["--data", annotation_folder(), "--name", "nuclei", "--engine", toy, "--epochs", 20, "--set", "seconds=0.1"]
    own_group = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {"start_new_session": True}
    )
    with subprocess.Popen(command("train", *words), stdout=subprocess.PIPE, text=True, **own_group) as starter:
        for line in starter.stdout:
            if line.startswith("epoch"):
                break
        run = find_run("nuclei")
        assert run.state() == RunState.RUNNING
        kill_group(starter)
    assert starter.returncode != 0
    assert len(epochs(run)) < 20
    wait_until(lambda: run.state() not in (RunState.STARTING, RunState.RUNNING), "the run has ended")
    assert run.state() == RunState.FINISHED
    assert len(epochs(run)) == 20
    assert in_library(home) == ["nuclei"]


def kill_group(process):
    if os.name == "nt":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(os.name == "nt", reason="a Ctrl-C cannot be sent to one process there")
@pytest.mark.usefixtures("ctrl_c_counts")
def test_ctrl_c_only_stops_watching(begun, command):
    run = begun()
    with subprocess.Popen(command("follow", run.id), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as cli:
        cli.stdout.readline()
        cli.send_signal(signal.SIGINT)
        _, said = cli.communicate(timeout=patience.SECONDS)
    assert cli.returncode == 130
    assert said.startswith("The training continues.")
    assert len(said.splitlines()) == 1
    assert run.state() == RunState.RUNNING


def test_a_process_that_cannot_start_leaves_an_interrupted_run(home, toy, annotation_folder, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", str(home / "no-python"))
    run = launch(make_job(name="nuclei", engine=toy, data=(annotation_folder(),)))
    wait_until(lambda: run.state() == RunState.INTERRUPTED, "the run is interrupted")
    assert in_library(home) == []


# StarDist


def test_stardist_learns_discs_with_a_real_command(stardist_training):
    run, card = stardist_training.run, stardist_training.model.card
    assert run.state() == RunState.FINISHED
    stardist_training.model.verify()
    assert card.engine == "stardist"
    assert card.epochs == 14
    assert card.scores["ap50"] > 0.7
    assert "Model 'discs' is in the library" in stardist_training.output
    assert stardist_training.output.count("epoch ") >= 14
    folder = stardist_training.model.folder
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "examples.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")


def test_pixels_that_are_no_numbers_do_no_harm(stardist_training):
    images = [*stardist_training.run.split.training, *stardist_training.run.split.validation]
    assert any(name.endswith("cell_nan") for name in images)
    losses = [value for event in epochs(stardist_training.run) for value in event.metrics.values()]
    assert np.isfinite(losses).all()


@pytest.mark.slow
def test_the_same_job_gives_the_same_split_and_losses_until_it_is_stopped(stardist_training, home):
    first = stardist_training.run
    again = launch(first.job.replace(name="again"))
    wait_until(lambda: len(epochs(again)) >= 3 or again.state() == RunState.FAILED, "three epochs have ended")
    again.request_stop()
    wait_for(again)
    last = again.events()[-1]
    assert again.split == first.split
    assert isinstance(last, Stopped)
    pairs = list(zip(epochs(first), epochs(again), strict=False))
    assert len(pairs) >= 3
    whole = pairs[:-1] if len(pairs) < 14 else pairs  # the last epoch may have been cut short
    for old, new in whole:
        assert new.metrics == pytest.approx(old.metrics, rel=1e-3)
    best = min(epochs(again), key=lambda event: event.metrics["val_loss"])
    assert last.best_epoch == best.epoch
    assert (ModelLibrary().get("again").card.epochs, in_library(home)) == (len(epochs(again)), ["again"])
