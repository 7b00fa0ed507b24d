"""Following a run: real event files, real processes, real kills."""

import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest
from napari.utils import progress
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.run.monitor import ActivityBar, RunMonitor
from napari_seg_trainer.runs.run import Run, RunState
from napari_seg_trainer.schema.events import EpochEnded, Finished, Started
from napari_seg_trainer.schema.job import TrainingJob

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def epoch(number, seconds=2.0, time=BEGIN):
    metrics = {"loss": 1.0, "val_loss": 1.0}
    return EpochEnded(epoch=number, metrics=metrics, learning_rate=0.1, is_best=False, seconds=seconds, time=time)


def started(epochs=100, first=1, time=BEGIN):
    return Started(epoch=first, epochs=epochs, steps_per_epoch=4, training_images=3, validation_images=1, time=time)


@pytest.fixture
def run(home):
    """A run that this process claims to train."""
    made = Run.create(TrainingJob(name="nuclei", engine="toy", data=("annotations",)))
    made.claim()
    return made


@pytest.fixture
def owner(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    yield widget
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)


@pytest.fixture
def heard(owner, run):
    """A monitor, and what it has told so far."""

    class Heard:
        def __init__(self):
            self.monitor, self.batches, self.ends = RunMonitor(owner), [], []

        @property
        def events(self):
            return [event for batch in self.batches for event in batch]

    result = Heard()
    result.monitor.events.connect(result.batches.append)
    result.monitor.ended.connect(result.ends.append)
    yield result
    result.monitor.stop()


def test_a_thousand_epochs_of_the_past_come_in_a_few_batches(heard, run, qtbot):
    told = [started(1000), *(epoch(number) for number in range(1, 1001)), Finished(model="nuclei", best_epoch=1)]
    run.events_file.write_text("".join(event.model_dump_json() + "\n" for event in told))
    heard.monitor.follow(run)
    qtbot.waitUntil(lambda: heard.ends == [RunState.FINISHED])
    assert heard.events == told
    assert len(heard.batches) <= 3


def test_news_come_until_the_last_word(heard, run, qtbot):
    heard.monitor.follow(run)
    run.append(started())
    qtbot.waitUntil(lambda: len(heard.events) == 1)
    run.append(epoch(1))
    qtbot.waitUntil(lambda: len(heard.events) == 2)
    assert heard.ends == []
    run.append(Finished(model="nuclei", best_epoch=1))
    qtbot.waitUntil(lambda: heard.ends == [RunState.FINISHED])
    assert isinstance(heard.events[-1], Finished)


def test_a_killed_process_is_noticed(heard, run, qtbot):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        run.claim(process.pid)
        run.append(started())
        heard.monitor.follow(run)
        qtbot.waitUntil(lambda: len(heard.events) == 1)
        process.kill()
        process.wait()
    qtbot.waitUntil(lambda: heard.ends == [RunState.INTERRUPTED])


def test_only_the_latest_run_is_followed(heard, run, home, qtbot):
    run.append(started(epochs=1))
    other = Run.create(TrainingJob(name="other", engine="toy", data=("annotations",)))
    other.claim()
    other.append(started(epochs=2))
    heard.monitor.follow(run)
    heard.monitor.follow(other)
    qtbot.waitUntil(lambda: bool(heard.events))
    run.append(epoch(1))
    other.append(epoch(2))
    qtbot.waitUntil(lambda: len(heard.events) == 2)
    assert [event.epoch for event in heard.events] == [1, 2]
    assert heard.events[0].epochs == 2


def test_the_thread_ends_with_the_owner(run, qtbot):
    owner = QWidget()
    monitor = RunMonitor(owner)
    before = threading.active_count()
    with qtbot.waitSignal(monitor.events):
        monitor.follow(run)
        run.append(started())
    owner.deleteLater()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)
    run.append(epoch(1))
    qtbot.wait(300)  # whoever still followed would have looked by now
    assert threading.active_count() <= before + 1  # the pool keeps a thread for what comes next


def test_others_work_is_done_while_runs_are_followed(owner, run, qtbot):
    monitors = [RunMonitor(owner) for _ in range(QThreadPool.globalInstance().maxThreadCount())]
    heard = []
    run.append(started())
    for monitor in monitors:
        monitor.events.connect(heard.append)
        monitor.follow(run)
    qtbot.waitUntil(lambda: len(heard) == len(monitors))
    results = []
    in_background(owner, lambda: 42, results.append)
    qtbot.waitUntil(lambda: results == [42])
    for monitor in monitors:
        monitor.stop()


def test_what_cannot_be_read_is_a_line_for_the_user(heard, run, qtbot, caplog):
    problems = []
    heard.monitor.failed.connect(problems.append)
    run.events_file.mkdir()
    heard.monitor.follow(run)
    qtbot.waitUntil(lambda: bool(problems))
    assert "\n" not in problems[0]
    assert heard.ends == []


# the bar in napari's activity dock


def test_the_activity_dock_shows_a_bar_until_its_end(viewer, qtbot):
    owner = QWidget()
    viewer.window.add_dock_widget(owner, name="owner")
    bar = ActivityBar(owner)
    bar.show("Training nuclei", 3, 10)
    (shown,) = progress._all_instances
    assert (shown.n, shown.total, shown.desc) == (3, 10, "Training nuclei")
    qtbot.waitUntil(lambda: bar.show("Training nuclei", 5, 10) or shown.n == 5)
    bar.close()
    assert not progress._all_instances
    bar.show("Training nuclei", 6, 10)
    viewer.window.remove_dock_widget(owner)
    owner.deleteLater()
    qtbot.waitUntil(lambda: not progress._all_instances)
