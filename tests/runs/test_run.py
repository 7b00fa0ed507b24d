import os
import threading
import time
from contextlib import suppress
from itertools import pairwise

import psutil
import pytest

from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.runs.run import START_SECONDS, ProcessInfo, Run, RunState, find_run, list_runs
from napari_seg_trainer.schema.events import Failed, Finished, Log, Progress, Started, Stopped
from napari_seg_trainer.schema.job import TrainingJob

STARTED = Started(epochs=3, steps_per_epoch=2, training_images=4, validation_images=1)
FINISHED = Finished(model="nuclei", best_epoch=2)


def kill(process):
    process.kill()
    process.wait()


def test_a_new_run_keeps_its_job_and_is_starting(make_run):
    run = make_run(epochs=7)
    assert run.job.hyperparameters == {"epochs": 7}
    assert (run.state(), run.process(), run.events()) == (RunState.STARTING, None, [])
    assert os.listdir(run.folder) == ["job.json"]


def test_runs_of_one_second_have_folders_of_their_own(make_run):
    runs = [make_run() for _ in range(5)]
    assert len({run.id for run in runs}) == 5
    assert all(run.id.startswith("nuclei-") for run in runs)


def test_a_run_that_nobody_began_is_interrupted_after_a_while(make_run):
    run = make_run()
    past = time.time() - START_SECONDS - 1
    os.utime(run.folder, (past, past))
    assert run.state() == RunState.INTERRUPTED


def test_a_living_process_is_starting_then_running(make_run, sleeper):
    run = make_run()
    run.claim(sleeper.pid)
    assert run.state() == RunState.STARTING
    run.append(STARTED)
    assert run.state() == RunState.RUNNING


@pytest.mark.parametrize("events", [[], [STARTED], [STARTED, Log(message="x")]], ids=["none", "started", "more"])
def test_a_dead_process_without_a_last_word_is_interrupted(make_run, sleeper, events):
    run = make_run()
    run.claim(sleeper.pid)
    for event in events:
        run.append(event)
    kill(sleeper)
    assert run.state() == RunState.INTERRUPTED


@pytest.mark.skipif(os.name == "nt", reason="Windows has no zombies")
def test_a_zombie_is_dead(make_run, sleeper):
    run = make_run()
    run.claim(sleeper.pid)
    sleeper.kill()
    deadline = time.monotonic() + 20
    while psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert run.state() == RunState.INTERRUPTED


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (FINISHED, RunState.FINISHED),
        (Stopped(reason="stopped by the user", model="nuclei", best_epoch=1), RunState.STOPPED),
        (Failed(message="The disk is full."), RunState.FAILED),
    ],
)
def test_the_last_word_counts_whatever_the_process_does(make_run, sleeper, last, state):
    run = make_run()
    run.claim(sleeper.pid)
    run.append(STARTED)
    run.append(last)
    assert run.state() == state
    kill(sleeper)
    assert run.state() == state


def test_a_later_process_of_the_same_number_is_another(sleeper):
    now = ProcessInfo.of(sleeper.pid)
    assert now.find() is not None
    earlier = {"created": now.created - 10, "ticks": None if now.ticks is None else now.ticks - 1000}
    assert now.replace(**earlier).find() is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("name", ["job.json", "split.json", "process.json", "events.jsonl", "stop", "log.txt"])
def test_a_pipe_among_a_runs_files_is_not_waited_for(make_run, name):
    """A run may be somebody else's."""
    run = make_run()
    (run.folder / name).unlink(missing_ok=True)
    os.mkfifo(run.folder / name)
    assert run.state() in {RunState.STARTING, RunState.INTERRUPTED}
    for look in (run.events, run.outcome, run.stop_requested, lambda: run.job, lambda: run.split):
        with suppress(RunError):
            look()


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"name": "a/b"}', b"\xff\xfe"])
def test_a_run_without_a_readable_job_says_so(make_run, content):
    run = make_run()
    (run.folder / "job.json").unlink()
    if content is not None:
        (run.folder / "job.json").write_bytes(content)
    with pytest.raises(RunError, match=f"Run '{run.id}' cannot be read"):
        _ = run.job


def test_a_split_is_there_once_it_is_written(make_run):
    run = make_run()
    with pytest.raises(RunError, match="no split yet"):
        _ = run.split
    split = Split(seed=3, training=("a/1", "a/2"), validation=("a/3",))
    (run.folder / "split.json").write_text(split.model_dump_json())
    assert run.split == split


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    job = TrainingJob(name="nuclei", engine="toy", data=("a",))
    with pytest.raises(RunError, match="a file of that name, or of a folder above it, is in the way") as error:
        Run.create(job, tmp_path / "file" / "runs")
    assert "\n" not in str(error.value)


# events


def test_events_are_read_on_from_an_offset(make_run):
    run = make_run()
    assert run.read_events() == ([], 0)
    run.append(STARTED)
    first, offset = run.read_events()
    run.append(FINISHED)
    second, end = run.read_events(offset)
    assert (first, second) == ([STARTED], [FINISHED])
    assert run.read_events(end) == ([], end)
    assert run.events() == [STARTED, FINISHED]


def test_half_a_line_waits_for_its_other_half(make_run):
    run = make_run()
    line = (Log(message="größer").model_dump_json() + "\n").encode()
    for cut in (1, line.index(b"\xc3") + 1, len(line) - 1):
        with run.events_file.open("wb") as file:
            file.write(line[:cut])
            file.flush()
            assert run.read_events() == ([], 0)
            file.write(line[cut:])
        events, offset = run.read_events()
        assert ([event.message for event in events], offset) == (["größer"], len(line))


@pytest.mark.parametrize("rest", ['{"type":"log","mess', "\x00\x00\x00", "[]", ""], ids=["half", "zeros", "list", "no"])
def test_a_broken_line_is_passed_over(make_run, rest):
    run = make_run()
    run.append(STARTED)
    with run.events_file.open("a") as file:
        file.write(rest + "\n")
    run.append(FINISHED)
    assert run.events() == [STARTED, FINISHED]


def test_a_stop_is_a_wish(make_run):
    run = make_run()
    assert run.stop_requested() is None
    run.request_stop()
    assert run.stop_requested() == "keep"
    run.request_stop(keep=False)
    assert run.stop_requested() == "discard"
    (run.folder / "stop").write_bytes(b"")
    assert run.stop_requested() == "keep"


# following


def test_following_a_run_that_is_over_gives_all_its_events(make_run):
    run = make_run()
    run.append(STARTED)
    run.append(FINISHED)
    assert list(run.follow()) == [STARTED, FINISHED]


def test_following_gives_what_comes_and_nothing_twice(make_run, sleeper):
    run = make_run()
    run.claim(sleeper.pid)
    written = [STARTED, *(Progress(stage="training", done=i, total=40) for i in range(40)), FINISHED]

    def train():
        for event in written:
            run.append(event)
            time.sleep(0.005)

    training = threading.Thread(target=train)
    training.start()
    seen = list(run.follow(poll=0.01))
    training.join()
    assert [event for event in seen if event is not None] == written


def test_following_ends_when_the_process_is_killed(make_run, sleeper):
    run = make_run()
    run.claim(sleeper.pid)
    run.append(STARTED)
    following = run.follow(poll=0.01)
    assert (next(following), next(following)) == (STARTED, None)
    kill(sleeper)
    assert [event for event in following if event is not None] == []
    assert run.state() == RunState.INTERRUPTED


def test_leaving_does_not_disturb_and_coming_back_shows_all(make_run, sleeper):
    run = make_run()
    run.claim(sleeper.pid)
    run.append(STARTED)
    before = sorted(os.listdir(run.folder))
    first = run.follow(poll=0.01)
    assert next(first) == STARTED
    first.close()
    assert sorted(os.listdir(run.folder)) == before
    run.append(FINISHED)
    assert list(run.follow()) == [STARTED, FINISHED]


# finding


def test_runs_are_listed_the_newest_first(make_run, tmp_path):
    runs = [make_run(name) for name in ("b", "c", "a")]
    for age, run in enumerate(runs):
        os.utime(run.folder / "job.json", (1_000_000 + age, 1_000_000 + age))
    (tmp_path / "runs" / "no-run").mkdir()
    (tmp_path / "runs" / "file.txt").touch()
    listed = list_runs(tmp_path / "runs")
    assert listed == runs[::-1]
    times = [(run.folder / "job.json").stat().st_mtime for run in listed]
    assert all(newer > older for newer, older in pairwise(times))


def test_without_a_folder_there_are_no_runs(tmp_path):
    assert list_runs(tmp_path / "nowhere") == []


def test_a_run_is_found_by_its_id_its_model_and_its_folder(make_run, tmp_path, monkeypatch):
    old, new, other = make_run("nuclei"), make_run("nuclei"), make_run("nuclei-2")
    for age, run in enumerate((old, new, other)):
        os.utime(run.folder / "job.json", (1_000_000 + age, 1_000_000 + age))
    runs = tmp_path / "runs"
    assert find_run(old.id, runs) == old
    assert find_run("nuclei", runs) == new
    assert find_run("nuclei-2", runs) == other
    assert find_run(str(old.folder), tmp_path / "elsewhere") == old
    monkeypatch.chdir(runs)
    assert find_run(old.id, tmp_path / "elsewhere").folder == old.folder


@pytest.mark.parametrize("text", ["nuclie", "", ".", "..", "a\0b", "x" * 300])
def test_an_unknown_run_is_named(make_run, tmp_path, text):
    broken = make_run("broken")
    (broken.folder / "job.json").write_text("{")
    with pytest.raises(RunError, match="There is no run") as error:
        find_run(text, tmp_path / "runs")
    assert repr(text) in str(error.value)
