"""Going on with runs, cancelling and deleting them; with trainings in processes of their own."""

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_seg_trainer.api import make_job, wait_for
from napari_seg_trainer.errors import JobError, RunError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.runs.checkpoint import read_state
from napari_seg_trainer.runs.control import cancel, delete_run, keep, resume
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.life import HEART_FILE
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run, RunState, list_runs
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import EpochEnded, Failed, Finished, Log, Started, Stopped
from testkit import patience, processes
from testkit.patience import wait_until


def epochs(run):
    return [event.epoch for event in run.events() if isinstance(event, EpochEnded)]


def started(run):
    return [event.epoch for event in run.events() if isinstance(event, Started)]


@pytest.fixture
def job(home, toy, undrawn, annotation_folder):
    """``job(epochs=3)`` makes a job for the toy engine."""
    folder = annotation_folder()
    return lambda name="nuclei", **given: make_job(name=name, engine=toy, data=(folder,), hyperparameters=given)


@pytest.fixture
def begun(job):
    """Begin a training in a process of its own, and wait until its third epoch has begun."""

    def begin(epochs_=6, seconds=0.3, **given):
        run = launch(job(epochs=epochs_, seconds=seconds, **given))
        wait_until(lambda: len(epochs(run)) >= 2, "the second epoch has ended")
        return run

    return begin


def kill(run):
    processes.kill(run.process().pid)
    wait_until(lambda: run.state() == RunState.INTERRUPTED, "the run is interrupted")


def saved_epochs(run):
    """Which epochs have ended, of which a killed process may have had no time to tell the last one."""
    return list(range(1, read_state(run).last.epoch + 1))


# resuming


def test_a_killed_run_goes_on_after_its_last_epoch(begun):
    run = begun()
    kill(run)
    done, saved = epochs(run), saved_epochs(run)
    run.request_stop()  # a wish of the earlier attempt
    resume(run)
    assert run.state() in ACTIVE_STATES
    assert run.stop_requested() is None
    seen = [event for event in run.follow(offset=run.attempt_begin()) if event is not None]
    assert isinstance(seen[-1], Finished)
    assert run.state() == RunState.FINISHED
    assert started(run) == [1, saved[-1] + 1]
    assert epochs(run) == [1, 2, 3, 4, 5, 6]
    assert [event.epoch for event in seen if isinstance(event, EpochEnded)] == epochs(run)[len(done) :]
    assert ModelLibrary().get("nuclei").card.epochs == 6


def test_an_epoch_that_was_saved_but_not_told_is_told_once(begun):
    run = begun()
    kill(run)
    lines = run.events_file.read_bytes().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if b'"epoch"' in line and b"metrics" in line)
    run.events_file.write_bytes(b"".join(lines[:last]) + lines[last][:40])  # killed in the middle of the line
    resume(run)
    wait_for(run)
    assert epochs(run) == [1, 2, 3, 4, 5, 6]


def test_a_run_whose_model_was_registered_but_not_told_is_told(job):
    run = Run.create(job(epochs=1))
    made = train_run(run)
    lines = run.events_file.read_bytes().splitlines(keepends=True)
    for take_up in (resume, keep):
        run.events_file.write_bytes(b"".join(lines[:-1]))  # killed before its last word
        (run.folder / "process.json").write_text(run.process().replace(created=0.0).model_dump_json())
        assert run.state() == RunState.INTERRUPTED
        take_up(run)
        assert run.state() == RunState.FINISHED
        assert (run.outcome().model, run.outcome().best_epoch) == (made.model, made.best_epoch)
    assert ModelLibrary().names() == ["nuclei"]


# keeping


def test_the_best_epoch_of_an_interrupted_run_becomes_a_model(begun):
    run = begun(epochs_=1000, losses=[3, 1, *[2] * 998])
    kill(run)
    done = saved_epochs(run)
    keep(run)
    wait_for(run)
    last = run.outcome()
    assert isinstance(last, Stopped)
    assert (last.model, last.best_epoch) == ("nuclei", 2)
    assert epochs(run) == done
    card = ModelLibrary().get("nuclei").card
    assert (card.epochs, card.best_epoch, card.run) == (done[-1], 2, run.id)
    assert card.hyperparameters["epochs"] == 1000
    assert json.loads((ModelLibrary().get("nuclei").folder / "toy.json").read_text()) == {"epoch": 2}


def test_a_cancelled_run_can_be_kept_after_all(begun):
    run = begun()
    cancel(run)
    keep(run)
    wait_for(run)
    assert isinstance(run.outcome(), Stopped)
    assert "nuclei" in ModelLibrary()


def test_what_cannot_be_kept(begun, job):
    run = begun(epochs_=1000)
    with pytest.raises(RunError, match=r"is running\. Stop it instead, which keeps its best epoch\."):
        keep(run)
    cancel(run)
    done = Run.create(job("done", epochs=1))
    train_run(done)
    with pytest.raises(RunError, match="is finished: its best epoch is a model already"):
        keep(done)
    early = Run.create(job("early", failure="disk"))
    train_run(early)
    with pytest.raises(RunError, match="has no completed epoch to keep"):
        keep(early)
    never = Run.create(job("never", epochs=1, losses=[float("nan")]))
    train_run(never)
    with pytest.raises(RunError, match="has no completed epoch to keep"):
        keep(never)


def test_a_failed_run_without_a_checkpoint_begins_anew(job, tmp_path):
    folder = tmp_path / "annotations_nuclei"
    folder.rename(tmp_path / "away")
    run = launch(job(epochs=2))
    with pytest.raises(RunError, match="does not exist"):
        wait_for(run)
    failure = run.outcome()
    (tmp_path / "away").rename(folder)
    resume(run)
    assert run.state() in ACTIVE_STATES
    seen = [event for event in run.follow() if event is not None]
    assert failure in seen[:-1]
    assert isinstance(run.outcome(), Finished)
    assert (run.state(), epochs(run), started(run)) == (RunState.FINISHED, [1, 2], [1])


def test_other_images_do_not_teach_a_resumed_run(begun, annotation_folder):
    run = begun()
    kill(run)
    annotation_folder(images=1, prefix="new", seed=5)
    resume(run)
    with pytest.raises(RunError, match=r"have changed since the run began \(4 then, 5 now\)"):
        wait_for(run)
    assert read_state(run) is not None


def test_of_two_who_resume_at_once_one_does(begun):
    run = begun(epochs_=40)
    kill(run)
    barrier = threading.Barrier(4)

    def try_it():
        barrier.wait()
        try:
            resume(run)
        except (RunError, JobError) as error:
            return str(error)
        return "resumed"

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(answer.result() for answer in [pool.submit(try_it) for _ in range(4)])
    assert answers.count("resumed") == 1, answers
    assert all("already" in answer for answer in answers if answer != "resumed")
    assert not list(run.folder.glob(".process*"))
    cancel(run)


def test_what_cannot_be_resumed_says_why(job, toy_model):
    run = Run.create(job(epochs=1))
    run.claim()
    with pytest.raises(RunError, match="is starting already"):
        resume(run)
    train_run(run)
    with pytest.raises(RunError, match="is finished"):
        resume(run)
    rival = Run.create(run.job)
    rival.append(Failed(message="x"))
    with pytest.raises(RunError, match=r"a model 'nuclei'\. Rename or delete"):
        resume(rival)
    assert not (rival.folder / "process.json").exists()


def test_a_rival_and_a_broken_checkpoint_keep_a_run_from_going_on(job, sleeper):
    run, rival = Run.create(job(epochs=1)), Run.create(job(epochs=1))
    run.append(Failed(message="x"))
    rival.claim(sleeper.pid)
    with pytest.raises(JobError, match=rival.id):
        resume(run)
    rival.append(Failed(message="y"))
    run.checkpoint_folder.mkdir()
    (run.checkpoint_folder / "state.json").write_text("{")
    with pytest.raises(RunError, match="checkpoint"):
        resume(run)
    assert run.state() == RunState.FAILED


def test_a_process_that_cannot_start_leaves_the_run_as_it_was(job, sleeper, monkeypatch):
    run = Run.create(job(epochs=1))
    run.claim(sleeper.pid)
    run.append(Failed(message="x"))
    before = (run.folder / "process.json").read_bytes()
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(RunError, match="cannot be started"):
        resume(run)
    assert ((run.folder / "process.json").read_bytes(), run.state()) == (before, RunState.FAILED)


# cancelling


def test_a_cancelled_run_makes_no_model_and_can_go_on(begun, home):
    run = begun(seconds=0.4)
    last = cancel(run, timeout=patience.SECONDS)
    assert isinstance(last, Stopped)
    assert (last.model, last.best_epoch, last.reason) == (None, epochs(run)[-1], "cancelled by the user")
    assert run.events()[-1] == last
    assert run.state() == RunState.STOPPED
    assert not ModelLibrary().names()
    assert not (run.folder / "prepared").exists()
    resume(run)
    wait_for(run)
    assert epochs(run) == [1, 2, 3, 4, 5, 6]
    assert ModelLibrary().names() == ["nuclei"]


def test_a_training_that_does_not_answer_is_killed_and_nobody_sees_it_interrupted(job):
    run = launch(job(epochs=2, seconds=400.0))
    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(lambda: [event for event in run.follow(poll=0.001) if event is not None])
        wait_until(lambda: started(run) == [1], "the first epoch has begun")
        process = run.process()
        last = cancel(run, timeout=0.2)
        assert follower.result(patience.SECONDS)[-1] == last
    assert isinstance(last, Stopped)
    assert (last.model, last.best_epoch) == (None, None)
    assert process.find() is None
    assert not (run.folder / "prepared").exists()


def test_a_run_that_has_just_been_started_can_be_cancelled(job):
    run = launch(job(epochs=100, seconds=1.0))
    assert isinstance(cancel(run, timeout=0), Stopped)
    assert run.state() == RunState.STOPPED
    assert run.process().find() is None


def test_a_process_that_begins_after_the_wish_trains_nothing(job):
    run = Run.create(job(epochs=1))
    training = threading.Timer(0.2, train_run, [run])
    training.start()
    last = cancel(run, timeout=patience.SECONDS)
    training.join()
    assert last == run.outcome()
    assert isinstance(last, Stopped)
    assert (last.model, started(run)) == (None, [])


@pytest.mark.parametrize("end", [Finished(model="nuclei", best_epoch=1), Failed(message="x"), None])
def test_what_is_over_cannot_be_cancelled(make_run, sleeper, end):
    run = make_run()
    run.claim(sleeper.pid)
    if end is not None:
        run.append(end)
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(RunError, match="nothing to cancel"):
        cancel(run)
    assert run.stop_requested() is None


def test_a_training_on_another_computer_is_asked_only(make_run, sleeper):
    run = make_run()
    run.claim(sleeper.pid)
    there = run.process().replace(host="workstation-7", machine="another")
    (run.folder / "process.json").write_text(there.model_dump_json())
    (run.folder / HEART_FILE).touch()
    with pytest.raises(RunError, match="'workstation-7' and has not responded"):
        cancel(run, timeout=0.1)
    assert run.stop_requested() == "discard"
    assert sleeper.poll() is None


# deleting


def test_a_run_is_deleted_with_all_its_files(make_run, tmp_path):
    run, other = make_run("a"), make_run("b")
    run.append(Failed(message="x"))
    run.checkpoint_folder.mkdir()
    delete_run(run)
    assert os.listdir(tmp_path / "runs") == [other.id]


def test_following_a_run_that_is_deleted_ends(make_run):
    run = make_run()
    following = run.follow(poll=0.01)
    assert next(following) is None
    shutil.rmtree(run.folder)
    assert list(following) == []


def test_an_active_run_and_what_is_no_run_stay(make_run, sleeper, tmp_path):
    run = make_run()
    run.claim(sleeper.pid)
    with pytest.raises(RunError, match=r"is starting\. Stop it first"):
        delete_run(run)
    with pytest.raises(RunError, match="is not a run"):
        delete_run(Run(tmp_path))
    assert list_runs(tmp_path / "runs") == [run]


def test_a_run_that_is_being_deleted_is_not_listed(make_run, tmp_path):
    run = make_run()
    shutil.copytree(run.folder, run.folder.with_name(".deleted-1"))
    assert list_runs(tmp_path / "runs") == [run]


# attempts


def test_how_a_run_stands_is_told_by_its_latest_attempt(make_run, sleeper):
    run = make_run()
    run.append(Failed(message="x"))
    assert (run.state(), run.outcome().message) == (RunState.FAILED, "x")
    run.claim(sleeper.pid)
    assert (run.state(), run.outcome(), run.last_event()) == (RunState.STARTING, None, None)
    run.append(Log(message="y"))
    assert run.state() == RunState.RUNNING
    sleeper.kill()
    sleeper.wait()
    assert (run.state(), run.outcome()) == (RunState.INTERRUPTED, None)
    assert len(run.events()) == 2


def test_an_event_after_half_a_line_is_whole(make_run):
    run = make_run()
    run.append(Log(message="a"))
    with run.events_file.open("ab") as file:
        file.write(b'{"type":"lo')
    offset = run.events_file.stat().st_size
    run.append(Log(message="b"))
    assert [event.message for event in run.events()] == ["a", "b"]
    assert [event.message for event in run.read_events(offset)[0]] == ["b"]


def test_a_process_that_was_described_before_attempts_were_counted_is_read(make_run):
    run = make_run()
    run.claim()
    old = json.loads((run.folder / "process.json").read_text())
    del old["events_from"]
    (run.folder / "process.json").write_text(json.dumps(old))
    assert run.attempt_begin() == 0
