"""The commands that change runs and models: resume, cancel, delete, rename, export, import."""

import io
import json
import os

import pytest

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.api import make_job
from napari_seg_trainer.runs.checkpoint import read_state
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run, RunState, find_run, list_runs
from napari_seg_trainer.schema.events import EpochEnded, Failed, Finished, Started, Stopped, parse_event
from testkit import processes
from testkit.patience import wait_until


def epochs(events):
    return [event.epoch for event in events if isinstance(event, EpochEnded)]


@pytest.fixture
def begun(home, toy, annotation_folder):
    """Begin a training of five epochs, and wait until the second has begun."""
    settings = {"epochs": 5, "seconds": 0.4}
    run = launch(make_job(name="nuclei", engine=toy, data=(annotation_folder(),), hyperparameters=settings))
    wait_until(lambda: epochs(run.events()), "the first epoch has ended")
    return run


@pytest.fixture
def make_past(home, toy):
    """Make a run that is over, without a training."""

    def make(*events):
        run = Run.create(make_job(name="nuclei", engine=toy, data=("annotations",)))
        run.claim()
        for event in events:
            run.append(event)
        return run

    return make


# runs


def test_a_killed_training_goes_on(begun, cli):
    processes.kill(begun.process().pid)
    wait_until(lambda: begun.state() == RunState.INTERRUPTED, "the run is interrupted")
    done, saved = len(epochs(begun.events())), read_state(begun).last.epoch
    followed = cli("follow", begun.id)
    assert f"'napari-seg-trainer resume {begun.id}' continues it, 'keep' makes a model" in followed.error
    shown = cli("resume", "nuclei")
    assert (shown.status, shown.err) == (0, "")
    assert f"continuing with epoch {saved + 1}: 5 epochs" in shown.out
    told = [line[:14] for line in shown.out.splitlines() if line.startswith("epoch")]
    assert told == [f"epoch   {i} of 5" for i in range(done + 1, 6)]
    assert "Model 'nuclei' is in the library" in shown.out
    assert epochs(begun.events()) == [1, 2, 3, 4, 5]


def test_the_best_of_a_killed_training_is_kept(begun, cli):
    processes.kill(begun.process().pid)
    wait_until(lambda: begun.state() == RunState.INTERRUPTED, "the run is interrupted")
    done, saved = epochs(begun.events()), read_state(begun).last.epoch
    shown = cli("keep", "nuclei")
    assert (shown.status, shown.err) == (0, "")
    assert f"Model 'nuclei' is in the library (best epoch: {saved})." in shown.out
    # the process may have had no time to tell of the last one
    assert len([line for line in shown.out.splitlines() if line.startswith("epoch")]) == saved - len(done)
    assert epochs(begun.events()) == list(range(1, saved + 1))
    again = cli("keep", "nuclei")
    assert again.status == 1
    assert "the library already has a model 'nuclei'" in again.error


def test_a_cancelled_training_says_how_to_go_on_and_does(begun, cli):
    shown = cli("cancel", begun.id)
    assert (shown.status, shown.err) == (0, "")
    assert shown.out == f"Run {begun.id} is cancelled. 'napari-seg-trainer resume {begun.id}' continues it.\n"
    assert ModelLibrary().names() == []
    (row,) = json.loads(cli("runs", "--json").out)["runs"]
    assert (row["state"], row["note"]) == ("stopped", "no model: cancelled by the user")
    followed = cli("follow", begun.id)
    assert followed.status == 0
    assert "Cancelled by the user.\nNo model was created." in followed.out
    assert cli("cancel", begun.id).error == f"Run '{begun.id}' is stopped already: there is nothing to cancel."
    done = epochs(begun.events())
    shown = cli("resume", begun.id, "--json")
    first, *rest = shown.out.splitlines()
    assert (shown.status, json.loads(first)["run"]) == (0, begun.id)
    assert done + epochs(map(parse_event, rest)) == [1, 2, 3, 4, 5]
    assert isinstance(parse_event(rest[-1]), Finished)


def test_resume_detached_returns_at_once_and_cancel_is_json_too(begun, cli):
    assert json.loads(cli("cancel", begun.id, "--json").out) == {"run": begun.id, "state": "stopped", "model": None}
    shown = cli("resume", begun.id, "--detach", "--json")
    assert (shown.status, json.loads(shown.out)["run"]) == (0, begun.id)
    assert begun.state() in (RunState.STARTING, RunState.RUNNING)
    assert "nothing to resume" in cli("resume", begun.id).error
    assert cli("delete-run", begun.id, "--yes").error == f"Run '{begun.id}' is {begun.state()}. " + (
        "Stop it first, then delete it."
    )
    cli("cancel", begun.id)


STARTED = Started(epochs=3, steps_per_epoch=2, training_images=4, validation_images=1)


def test_a_run_that_was_interrupted_after_a_failure_is_not_told_as_failed(make_past, cli):
    run = make_past(STARTED, Failed(message="The disk is full."))
    info = run.process().replace(created=1.0, ticks=1, events_from=run.events_file.stat().st_size)
    (run.folder / "process.json").write_text(info.model_dump_json())
    assert "was interrupted" in cli("follow", run.id).error
    (row,) = json.loads(cli("runs", "--json").out)["runs"]
    assert (row["state"], row["note"], row["epochs"]) == ("interrupted", "", "0 of 3")


def test_a_run_is_deleted_if_somebody_says_so(make_past, cli):
    run = make_past(STARTED, Stopped(reason="stopped by the user", model="nuclei", best_epoch=1))
    shown = cli("delete-run", run.id)  # the tests have no terminal
    assert shown.status == 2
    assert "--yes" in shown.err
    assert find_run(run.id) == run
    shown = cli("delete-run", run.id, "--yes", "--json")
    assert (shown.status, json.loads(shown.out)) == (0, {"deleted": run.id})
    assert list_runs() == []


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self):
        return True


@pytest.mark.parametrize("answer", ["n", "y", ""])
def test_a_terminal_is_asked(make_past, cli, monkeypatch, answer):
    run = make_past(STARTED, Failed(message="x"))
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    shown = cli("delete-run", run.id)
    assert (shown.status, list_runs()) == ((0, []) if answer == "y" else (1, [run]))
    assert f"Delete run '{run.id}' permanently? [y/N]:" in shown.err


@pytest.mark.parametrize("command", ["cancel", "resume", "delete-run"])
def test_an_unknown_run(home, cli, command):
    shown = cli(command, "nuclie", *(["--yes"] if command == "delete-run" else []))
    assert shown.status == 1
    assert shown.error == "There is no run 'nuclie'. 'napari-seg-trainer runs' lists them."


# models


def test_a_model_is_renamed(toy_model, cli):
    toy_model("bright")
    shown = cli("rename-model", "bright", "dark")
    assert (shown.status, shown.out) == (0, "Model 'bright' is now 'dark'.\n")
    assert ModelLibrary().names() == ["dark"]
    shown = json.loads(cli("rename-model", "dark", "dim", "--json").out)
    assert shown == {"model": "dim", "old": "dark", "folder": str(ModelLibrary().get("dim").folder)}


def test_a_model_is_deleted_if_somebody_says_so(toy_model, cli):
    toy_model("bright")
    shown = cli("delete-model", "bright")
    assert (shown.status, ModelLibrary().names()) == (2, ["bright"])
    assert "--yes" in shown.err
    assert cli("delete-model", "brigth").error.endswith("Did you mean 'bright'?")
    assert json.loads(cli("delete-model", "bright", "--yes", "--json").out) == {"deleted": "bright"}
    assert ModelLibrary().names() == []


def test_a_model_goes_out_and_comes_back(toy_model, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = toy_model("bright")
    shown = cli("export-model", "bright")
    assert (shown.status, shown.err) == (0, "")
    assert shown.out == f"Model 'bright' is in {tmp_path / 'bright.segmodel'}.\n"
    assert "already exists" in cli("export-model", "bright", "bright.segmodel").error
    written = json.loads(cli("export-model", "bright", "bright.segmodel", "--overwrite", "--json").out)
    assert written == {"model": "bright", "file": str(tmp_path / "bright.segmodel")}
    cli("delete-model", "bright", "--yes")
    assert cli("import-model", "bright.segmodel").out == "Model 'bright' is in the library.\n"
    assert ModelLibrary().get("bright").card == model.card
    shown = json.loads(cli("import-model", "bright.segmodel", "--name", "other", "--json").out)
    assert shown == {"model": "other", "folder": str(ModelLibrary().get("other").folder)}
    assert "already in the library" in cli("import-model", "bright.segmodel", "--name", "other").error


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rename-model", "nobody", "x"], "There is no model 'nobody'"),
        (["rename-model", "bright", "a/b"], "'/' is not allowed"),
        (["rename-model", "bright", "other"], "'other' is already in the library"),
        (["delete-model", "nobody", "--yes"], "There is no model 'nobody'"),
        (["export-model", "nobody", "a.zip"], "There is no model 'nobody'"),
        (["export-model", "bright", "."], "is a folder"),
        (["export-model", "bright", "no/such/folder.zip"], "is not there. Check the path"),
        (["import-model", "missing.zip"], "There is no file or folder"),
        (["import-model", "."], "is not a model folder"),
        (["import-model", "text.zip"], "is not a readable zip file"),
        (["import-model", "text.zip", "--name", "bright"], "'bright' is already in the library"),
    ],
)
def test_what_cannot_be_done_with_models_is_one_line(toy_model, cli, tmp_path, monkeypatch, words, told):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "text.zip").write_text("text")
    toy_model("bright")
    toy_model("other")
    shown = cli(*words)
    assert (shown.status, shown.out) == (1, "")
    assert told in shown.error
    assert sorted(os.listdir(ModelLibrary().folder)) == ["bright", "other"]
    assert os.listdir() == ["text.zip"]


@pytest.mark.parametrize("name", ["events.jsonl", "job.json"])
def test_a_run_that_cannot_be_read_is_listed_with_the_others(make_past, cli, name):
    good, bad = make_past(Failed(message="no images")), make_past(Failed(message="no memory"))
    (bad.folder / name).unlink()
    (bad.folder / name).mkdir()
    shown = cli("runs")
    assert (shown.status, shown.err) == (0, "")
    assert {row["run"] for row in json.loads(cli("runs", "--json").out)["runs"]} == {good.id, bad.id}
    if name == "events.jsonl":
        assert "cannot be read" in shown.out
        assert "Restore that file, or delete the run" in cli("follow", bad.id).error
