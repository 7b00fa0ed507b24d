"""Whether a training lives, whatever clocks and names say: with real processes that hold real locks."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest

from napari_seg_trainer.errors import RunError
from napari_seg_trainer.runs import life
from napari_seg_trainer.runs.control import cancel, delete_run, resume
from napari_seg_trainer.runs.life import DEAD_SECONDS, HEART_FILE, LOCK_FILE, Life, TakenError, beats, is_held
from napari_seg_trainer.runs.run import Run, RunState
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import EpochEnded, Failed, Started
from testkit.patience import SECONDS, wait_until

posix = pytest.mark.skipif(sys.platform == "win32", reason="forks, and is killed by signals")
STARTED = Started(epochs=3, steps_per_epoch=2, training_images=4, validation_images=1)
LIVE = """
import sys, time
from pathlib import Path
from napari_seg_trainer.runs.life import Life
from napari_seg_trainer.runs.run import Run
run = Run(Path(sys.argv[1]))
with Life(run.folder) as life:
    run.claim(locks=life.locks)
    {more}
    print("lives", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def live():
    """Have a process live for a run as a training does: ``live(run)``."""
    begun = []

    def begin(run, more="pass"):
        process = subprocess.Popen(
            [sys.executable, "-c", LIVE.format(more=more), str(run.folder)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        assert process.stdout.readline() == "lives\n"
        return process

    yield begin
    for process in begun:
        if sys.platform == "win32":
            process.kill()
        else:  # its children, too: they hold the pipe
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def end(process):
    process.kill()
    process.wait()


def set_clock(monkeypatch, seconds):
    """Have it be later (or earlier), as after the system's clock was set; what began when is told by it, too."""
    now, created = time.time, psutil.Process.create_time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + seconds)


@pytest.mark.parametrize("seconds", [3600, -3600, 10 * 365 * 86400])
def test_a_clock_that_is_set_kills_no_training(make_run, live, monkeypatch, seconds):
    run = make_run()
    process = live(run)
    run.append(STARTED)
    set_clock(monkeypatch, seconds)
    assert run.state() == RunState.RUNNING
    with pytest.raises(RunError, match=r"is running\. Stop it first, then delete it\.$"):
        delete_run(run)
    with pytest.raises(RunError, match=r"is running already: there is nothing to resume\.$"):
        resume(run)
    end(process)
    assert run.state() == RunState.INTERRUPTED
    cancelled = make_run("other")
    live(cancelled)
    cancelled.append(STARTED)
    cancel(cancelled, timeout=0.1)
    assert cancelled.state() == RunState.STOPPED


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, only the time of the epoch tells")
def test_a_process_without_a_lock_is_told_by_a_clock_that_nobody_sets(make_run, sleeper, monkeypatch):
    run = make_run()
    run.claim(sleeper.pid)
    set_clock(monkeypatch, 3600)
    assert run.state() == RunState.STARTING


def test_a_computer_may_be_renamed(make_run, live, monkeypatch):
    run = make_run()
    process = live(run)
    run.append(STARTED)
    monkeypatch.setattr("socket.gethostname", lambda: "renamed")
    assert run.state() == RunState.RUNNING
    end(process)
    assert run.state() == RunState.INTERRUPTED


@posix
@pytest.mark.parametrize(
    "more",
    [
        "import os; os.fork() or (time.sleep(600), os._exit(0))",
        "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
    ],
    ids=["forked", "started"],
)
def test_a_child_that_outlives_a_training_holds_no_lock(make_run, live, more):
    run = make_run()
    process = live(run, more)
    (child,) = psutil.Process(process.pid).children()
    assert is_held(run.folder)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not is_held(run.folder))  # a forked child that is slow to begin holds it until then
    assert child.is_running()
    assert run.state() == RunState.INTERRUPTED


def elsewhere(run, **fields):
    """Have a run say that it is trained on another computer of the same name."""
    info = run.process().replace(machine="another", boot="another", **fields)
    (run.folder / "process.json").write_text(info.model_dump_json())


@pytest.mark.parametrize("locks", [True, False, None])
def test_of_another_computer_the_heart_tells(make_run, sleeper, locks):
    """Also where it is called the same, and has a process of the same number."""
    run = make_run()
    run.claim(sleeper.pid, locks=locks)
    run.append(STARTED)
    elsewhere(run)
    heart = run.folder / HEART_FILE
    heart.touch()
    assert (run.state(), run.is_doubtful()) == (RunState.RUNNING, True)
    with pytest.raises(RunError, match=f"less than {DEAD_SECONDS:g} seconds ago.*wait that long, or add --force"):
        delete_run(run)
    with pytest.raises(RunError, match="and has not responded yet"):
        cancel(run, timeout=0.1)
    assert sleeper.poll() is None
    past = time.time() - DEAD_SECONDS - 1
    os.utime(heart, (past, past))
    assert (run.state(), run.is_doubtful()) == (RunState.INTERRUPTED, False)
    heart.touch()
    delete_run(run, force=True)
    assert not run.folder.exists()


def test_a_run_that_was_restored_elsewhere_is_interrupted(make_run, live):
    run = make_run()
    process = live(run)
    run.append(STARTED)
    end(process)
    elsewhere(run)
    (run.folder / HEART_FILE).unlink()  # as where only what matters was copied
    assert run.state() == RunState.INTERRUPTED


def test_nobody_is_forced_where_a_lock_says_that_it_lives(make_run, live):
    run = make_run()
    live(run)
    run.append(STARTED)
    elsewhere(run)
    assert not run.is_doubtful()
    with pytest.raises(RunError, match="is running"):
        delete_run(run, force=True)


@posix
def test_where_there_are_no_locks_the_heart_decides(make_run, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(life.fcntl, "flock", refuse)
    run = make_run()
    with Life(run.folder) as living:
        assert not living.locks
        run.claim(locks=living.locks)
        run.append(STARTED)
        assert is_held(run.folder) is None
        assert run.state() == RunState.RUNNING
        gone = run.process().replace(pid=2**22 + 1)  # as from within a container, which sees no such process
        (run.folder / "process.json").write_text(gone.model_dump_json())
        assert run.state() == RunState.RUNNING
    past = time.time() - DEAD_SECONDS - 1
    os.utime(run.folder / HEART_FILE, (past, past))
    assert run.state() == RunState.INTERRUPTED


def test_the_heart_beats(make_run, monkeypatch):
    monkeypatch.setattr(life, "BEAT_SECONDS", 0.05)
    run = make_run()
    with Life(run.folder):
        heart = run.folder / HEART_FILE
        past = time.time() - 1000
        os.utime(heart, (past, past))
        wait_until(lambda: beats(run.folder))
    assert not [path for path in run.folder.iterdir() if path.name.startswith(".now-")]


def test_a_run_has_one_writer(make_run, live, monkeypatch):
    monkeypatch.setattr(life, "_LOOKS", 2)
    run = make_run()
    process = live(run)
    before = (run.folder / "process.json").read_bytes()
    with pytest.raises(TakenError), Life(run.folder):
        pass
    with pytest.raises(RunError, match="is being trained by another process"):
        train_run(run)
    assert ((run.folder / "process.json").read_bytes(), run.events()) == (before, [])
    end(process)
    with Life(run.folder):
        assert is_held(run.folder)
    assert not is_held(run.folder)


def test_those_who_look_are_not_in_each_others_way(make_run):
    run = make_run()
    (run.folder / LOCK_FILE).touch()
    held = []

    def look():
        held.extend(is_held(run.folder) for _ in range(200))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        with Life(run.folder):
            pass
    for thread in threads:
        thread.join()
    with_nobody = [is_held(run.folder) for _ in range(5)]
    assert len(held) == 800
    assert not any(with_nobody)


def test_a_training_that_was_taken_for_dead_writes_no_more(home, toy, undrawn, annotation_folder, monkeypatch):
    """As a laptop that slept while somebody went on with the run on another computer."""
    from napari_seg_trainer.api import make_job

    monkeypatch.setattr(life, "BEAT_SECONDS", 0.05)
    given = {"epochs": 1000, "seconds": 0.05}
    run = Run.create(make_job(name="nuclei", engine=toy, data=(annotation_folder(),), hyperparameters=given))
    outcome = []
    training = threading.Thread(target=lambda: outcome.append(train_run(run)))
    training.start()
    wait_until(lambda: any(isinstance(event, EpochEnded) for event in run.events()))
    elsewhere(run)
    training.join(SECONDS)
    assert isinstance(outcome[0], Failed)
    assert "has been taken over by another process" in outcome[0].message
    assert not any(isinstance(event, Failed) for event in run.events())
    assert run.process().machine == "another"
