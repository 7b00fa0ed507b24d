"""One run in a viewer: real trainings of the toy engine, stopped, cancelled, killed and resumed with the buttons."""

import subprocess
import sys
import time

import numpy as np
import pytest
from napari.utils import progress
from qtpy.QtCore import QObject, Qt, QTimer, Slot
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QLabel, QMessageBox, QWidget

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.napari_plugin.parts.docks import PLUGIN, SEGMENT
from napari_seg_trainer.napari_plugin.run.texts import interrupted_text, scores_text, stage_text
from napari_seg_trainer.napari_plugin.run.view import RunView
from napari_seg_trainer.runs.checkpoint import read_state
from napari_seg_trainer.runs.run import Run, RunState
from napari_seg_trainer.schema.events import EpochEnded, Evaluated, Failed, Log, Progress, Started, Verdict
from napari_seg_trainer.schema.job import TrainingJob
from testkit import processes


@pytest.fixture
def view(docked, viewer_model):
    return docked(RunView(viewer_model))


@pytest.fixture
def click(qtbot):
    def press(button):
        qtbot.waitUntil(lambda: button.isVisible() and button.isEnabled())
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    return press


@pytest.fixture
def told(home):
    """A run that this process claims to train, and what it tells: ``told(*events)``."""

    def write(*events):
        run = Run.create(TrainingJob(name="nuclei", engine="toy", data=("annotations",)))
        run.claim()
        for event in events:
            run.append(event)
        return run

    return write


def started(epochs=10):
    return Started(epochs=epochs, steps_per_epoch=4, training_images=3, validation_images=1, device="toy")


def epoch(number, val_loss=1.0, is_best=True):
    metrics = {"loss": 1.0, "val_loss": val_loss}
    return EpochEnded(epoch=number, metrics=metrics, learning_rate=0.1, is_best=is_best, seconds=60.0)


def epochs(view):
    return len(view.curves.points().get("loss", []))


def wait_for_epochs(qtbot, view, count):
    qtbot.waitUntil(lambda: epochs(view) >= count)


def wait_for_end(qtbot, view):
    qtbot.waitUntil(lambda: bool(view.outcome.text))
    return view.outcome.text


def answer(qtbot, view, verb):
    """Click on a button of the question that is asked."""
    qtbot.waitUntil(lambda: bool(view.findChildren(QMessageBox)))
    (box,) = view.findChildren(QMessageBox)
    button = next(button for button in box.buttons() if button.text() == verb)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not view.findChildren(QMessageBox))


def kill(run):
    processes.kill(run.process().pid)


# from the beginning to the end


def test_a_training_is_followed_to_its_model(view, viewer, begin, qtbot, tmp_path):
    seen = tmp_path / "seen"
    view.show_run(begin(epochs=6, seconds=0.1, until=str(seen)))
    wait_for_epochs(qtbot, view, 1)
    assert view.title == "Run: nuclei"
    assert view.progress.epoch_line.text().endswith("of 6")
    assert view.button.isVisible()
    seen.touch()
    assert wait_for_end(qtbot, view) == "Finished: model 'nuclei' is in the library. Best epoch 6."
    assert "nuclei" in ModelLibrary()
    assert [number for number, _ in view.curves.points()["val_loss"]] == [1, 2, 3, 4, 5, 6]
    first, second = view.headline.splitlines()
    third, numbers = view.scores.text().splitlines()
    assert "font-size:large" in view.verdict.text()
    assert view.verdict.y() < view.outcome.y() < view.curves.y() < view.scores.y()
    assert first == "Finds 100 of 100 objects; 0 of 100 detections are false."
    assert "Otsu and watershed" in second
    assert third == "It was still learning: in 6 epochs the validation loss fell by 83 %. More epochs would help."
    assert numbers.startswith("F1 1.00")
    assert view.best.text() == "Best epoch: 6 (validation loss 0.167)."
    assert not view.button.isVisible()
    assert not view.keep.isVisible()
    assert view.outcome.segment.isVisible()
    assert not view.outcome.resume.isVisible()
    assert not progress._all_instances


def test_stop_keeps_the_best(view, viewer, begin, qtbot, click):
    view.show_run(begin(epochs=1000, seconds=0.1))
    wait_for_epochs(qtbot, view, 2)
    qtbot.waitUntil(lambda: bool(progress._all_instances))
    (bar,) = progress._all_instances
    assert (bar.desc, bar.total) == ("Training nuclei", 1000)
    click(view.button)
    assert not view.button.isEnabled()
    assert wait_for_end(qtbot, view).startswith("Stopped by the user. Model 'nuclei' is in the library.")
    assert ModelLibrary().get("nuclei").card.epochs >= 2
    assert not progress._all_instances


def test_cancel_asks_first(view, begin, qtbot, click):
    run = begin(epochs=1000, seconds=0.1)
    view.show_run(run)
    wait_for_epochs(qtbot, view, 1)
    click(view.cancel_button)
    answer(qtbot, view, "Go back")
    wait_for_epochs(qtbot, view, epochs(view) + 2)
    click(view.cancel_button)
    answer(qtbot, view, "Cancel the training")
    assert wait_for_end(qtbot, view) == "Cancelled by the user. No model was created."
    assert "nuclei" not in ModelLibrary()
    assert view.outcome.resume.isVisible()
    assert not view.outcome.segment.isVisible()


def test_a_killed_training_is_interrupted_and_can_go_on(view, viewer, begin, qtbot, click, tmp_path):
    killed = tmp_path / "killed"
    run = begin(epochs=8, seconds=0.1, until=str(killed))
    view.show_run(run)
    wait_for_epochs(qtbot, view, 2)
    kill(run)
    killed.touch()
    text = wait_for_end(qtbot, view)
    assert text.startswith("Interrupted: its process ended unexpectedly.")
    assert "Resume continues after epoch" in text
    viewer.add_image(np.zeros((8, 8)))  # napari goes on
    click(view.outcome.resume)
    qtbot.waitUntil(lambda: not view.outcome.text)
    assert wait_for_end(qtbot, view).startswith("Finished: model 'nuclei'")
    assert [number for number, _ in view.curves.points()["loss"]] == list(range(1, 9))


def test_the_best_of_a_killed_training_can_be_kept(view, viewer, begin, qtbot, click):
    run = begin(epochs=1000, seconds=0.2, losses=[3.0, 1.0, *[2.0] * 998])
    view.show_run(run)
    wait_for_epochs(qtbot, view, 2)
    kill(run)
    assert "'Keep the best so far' makes a model" in wait_for_end(qtbot, view)
    done = read_state(run).last.epoch  # the process may have had no time to tell of the last one
    click(view.outcome.keep)
    qtbot.waitUntil(lambda: not view.outcome.text)
    assert wait_for_end(qtbot, view).endswith("Model 'nuclei' is in the library. Best epoch 2.")
    assert ModelLibrary().get("nuclei").card.epochs == done
    assert not view.outcome.keep.isVisible()


def test_where_no_epoch_has_ended_there_is_nothing_to_keep(view, begin, qtbot):
    view.show_run(begin(epochs=3, failure="memory"))
    wait_for_end(qtbot, view)
    assert view.outcome.resume.isVisible()
    assert not view.outcome.keep.isVisible()


def test_a_failure_is_told_with_its_log(view, begin, qtbot, click):
    view.show_run(begin(epochs=3, failure="memory"))
    assert wait_for_end(qtbot, view).startswith("Out of memory.")
    changed = []
    view.change.connect(changed.append)
    click(view.outcome.change)
    assert changed[0].hyperparameters == {"epochs": 3, "failure": "memory"}
    click(view.outcome.show_log)
    qtbot.waitUntil(lambda: "MemoryError" in view.log.printed.toPlainText())
    assert view.log.printed.isVisible()


# what is shown meanwhile


def test_a_stage_that_takes_long_shows_that_it_goes_on(view, told, qtbot):
    view.show_run(told(Progress(stage="loading StarDist", done=0, total=1)))
    line, part = view.progress.stage_line, view.progress.part
    qtbot.waitUntil(lambda: line.text().startswith("loading StarDist…"))
    assert part.maximum() == 0  # it moves by itself
    qtbot.waitUntil(lambda: line.text() == "loading StarDist… (0:04)")


def test_the_time_left_is_told_after_the_second_epoch(view, told, qtbot):
    run = told(started(10), epoch(1), Progress(stage="training", epoch=2, done=1, total=4))
    view.show_run(run)
    qtbot.waitUntil(lambda: view.progress.stage_line.text() == "step 1 of 4")
    assert view.progress.time_line.text() == "measuring…"
    assert view.progress.epoch_line.text() == "epoch 2 of 10"
    run.append(epoch(2).replace(seconds_left=480))  # as the training estimates it
    qtbot.waitUntil(lambda: view.progress.time_line.text() in ("8:00 left", "7:59 left"))
    run.append(Progress(stage="training", epoch=3, done=1, total=4, seconds_left=300))
    qtbot.waitUntil(lambda: view.progress.time_line.text() in ("5:00 left", "4:59 left"))
    run.append(started(10))  # it was resumed
    qtbot.waitUntil(lambda: view.progress.time_line.text() == "measuring…")


def test_other_stages_are_named(view, told, qtbot):
    run = told(Progress(stage="reading images", done=3, total=24))
    view.show_run(run)
    qtbot.waitUntil(lambda: view.progress.stage_line.text() == "reading images 3 of 24")
    assert view.progress.epoch_line.text() == "preparing"
    run.append(started(1))
    run.append(epoch(1))
    run.append(Progress(stage="optimising thresholds", done=3, total=10))
    qtbot.waitUntil(lambda: view.progress.stage_line.text() == "optimising thresholds 3 of 10")
    assert view.progress.time_line.text() == ""
    assert view.progress.whole.value() == view.progress.whole.maximum()


def test_what_is_said_in_the_middle_stands_beside_the_scores(view, told, qtbot):
    def scored(epoch=None):
        return Evaluated(dataset="validation", images=5, epoch=epoch, scores={"recall50": 0.9, "precision50": 1.0})

    run = told(started(), scored(1), epoch(1), Verdict(sentences=("It is still learning.",), epoch=1))
    view.show_run(run)
    found = "Finds 90 of 100 objects; 0 of 100 detections are false."
    qtbot.waitUntil(lambda: view.scores.text() == f"Epoch 1: {found} It is still learning.")
    run.append(scored(2))  # what was said before still holds
    qtbot.waitUntil(lambda: view.scores.text() == f"Epoch 2: {found} It is still learning.")
    run.append(Verdict(sentences=("It overfits.",), epoch=2))
    qtbot.waitUntil(lambda: view.scores.text() == f"Epoch 2: {found} It overfits.")
    run.append(scored())
    run.append(Verdict(sentences=("Good.", "Done.")))
    qtbot.waitUntil(lambda: view.headline == "Good.\nDone.")


def test_messages_are_in_the_log(view, told, qtbot):
    view.show_run(told(started(), Log(message="careful <b>", level="warning"), Log(message="fine")))
    qtbot.waitUntil(lambda: "fine" in view.log.messages.toPlainText())
    assert "⚠ careful <b>" in view.log.messages.toPlainText()
    assert view.log_section.text() == "Log (1 ⚠)"
    assert not view.log_section.isExpanded()


def test_another_run_leaves_nothing_of_the_former(view, told, qtbot):
    view.show_run(told(started(), epoch(1), Log(message="old", level="warning"), Failed(message="It failed.")))
    wait_for_end(qtbot, view)
    view.show_run(told(started()))
    qtbot.waitUntil(lambda: view.progress.epoch_line.text() == "epoch 1 of 10")
    assert view.outcome.text == ""
    assert view.curves.points() == {}
    assert view.log.messages.toPlainText() == ""
    assert view.best.text() == ""
    assert view.button.isVisible()


def test_a_run_that_cannot_be_read_is_told_in_place(view, home, qtbot):
    view.show_run(Run(home / "runs" / "nowhere"))
    qtbot.waitUntil(lambda: "cannot be read" in view.reason)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Progress(stage="training", epoch=3, done=12, total=40), "step 12 of 40"),
        (Progress(stage="downloading", done=5_000_000, total=20_000_000), "downloading 25%"),
        (Progress(stage="waiting for 'x'", done=0, total=1), "waiting for 'x'…"),
    ],
)
def test_stages_in_words(event, text):
    assert stage_text(event) == text


def test_scores_and_ends_in_words():
    scores = {"recall50": 0.93, "precision50": 0.96, "f1_50": 0.945, "ap50": 0.9}
    assert scores_text(Evaluated(dataset="validation", images=5, scores=scores)) == (
        "Finds 93 of 100 objects; 4 of 100 detections are false. F1 0.94, AP 0.90 at IoU 0.5, on 5 validation images."
    )
    assert scores_text(Evaluated(dataset="validation", images=1, scores={})) == ""
    assert "restarts the training from the beginning" in interrupted_text(0)


# what comes after


class SegmentDock(QWidget):
    """Stands where the dock that segments would, and hears which model is chosen."""

    def __init__(self):
        super().__init__()
        self.models = []

    def select_model(self, name):
        self.models.append(name)

    def join(self):
        pass


@pytest.fixture
def segment_dock(viewer):
    widget = SegmentDock()
    viewer.window.add_dock_widget(widget, name=f"{SEGMENT} ({PLUGIN})")
    return widget


def test_a_new_model_is_selected_where_one_segments(view, segment_dock, begin, qtbot, click):
    run = begin(epochs=2, seconds=0.1)
    view.show_run(run)
    wait_for_end(qtbot, view)
    assert segment_dock.models == ["nuclei"]
    view.show_run(run)  # to look at an old run changes nothing
    assert view.outcome.text == ""
    wait_for_end(qtbot, view)
    assert segment_dock.models == ["nuclei"]
    click(view.outcome.segment)
    assert segment_dock.models == ["nuclei", "nuclei"]


class Browser(QObject):
    """Opens files in place of the system's browser."""

    def __init__(self):
        super().__init__()
        self.opened = []

    @Slot("QUrl")
    def open(self, url):
        self.opened.append(url.toLocalFile())


def test_the_report_opens_and_the_next_training_starts(view, viewer, begin, qtbot, click):
    view.show_run(begin(epochs=1))
    wait_for_end(qtbot, view)
    browser, again = Browser(), []
    QDesktopServices.setUrlHandler("file", browser.open)
    try:
        click(view.outcome.report)
        qtbot.waitUntil(lambda: bool(browser.opened))
    finally:
        QDesktopServices.unsetUrlHandler("file")
    assert browser.opened == [str(ModelLibrary().get("nuclei").folder / "report.html")]
    view.train_again.connect(again.append)
    click(view.outcome.train_again)
    assert again == ["nuclei"]
    ModelLibrary().delete("nuclei")
    click(view.outcome.report)
    qtbot.waitUntil(lambda: "There is no model 'nuclei'" in view.reason)


# when napari closes


@pytest.mark.parametrize("keep", [True, False])
def test_closing_napari_stops_the_training_only_if_asked(view, viewer, begin, qtbot, keep):
    run = begin(epochs=1000, seconds=0.1)
    view.show_run(run)
    wait_for_epochs(qtbot, view, 1)
    assert view.keep.isChecked()
    if not keep:
        view.keep.click()
    viewer.close()
    if keep:
        qtbot.wait(300)
        assert run.stop_requested() is None
        assert run.state() == RunState.RUNNING
    else:
        qtbot.waitUntil(lambda: run.stop_requested() == "keep")
        qtbot.waitUntil(lambda: run.state() == RunState.STOPPED)
        assert "nuclei" in ModelLibrary()


QUITTING = """
import sys
from pathlib import Path
import napari
from qtpy.QtCore import QTimer
from napari_seg_trainer.napari_plugin.run.view import RunView
from napari_seg_trainer.runs.run import Run

viewer = napari.Viewer()
view = RunView(viewer)
viewer.window.add_dock_widget(view)
view.show_run(Run(Path(sys.argv[1])))

def quit_once_followed():
    if view.keep.isVisible():
        view.keep.click()
        viewer.window._qt_window.close(quit_app=True)

timer = QTimer()
timer.timeout.connect(quit_once_followed)
timer.start(50)
napari.run()
"""


def test_quitting_the_application_stops_the_training_if_asked(told):
    run = told(started(), epoch(1))  # this process seems to train
    process = subprocess.run(
        [sys.executable, "-c", QUITTING, str(run.folder)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0
    assert "Traceback" not in process.stderr
    assert run.stop_requested() == "keep"


def test_the_wish_outlives_the_dock(view, viewer, begin, qtbot):
    run = begin(epochs=1000, seconds=0.1)
    view.show_run(run)
    wait_for_epochs(qtbot, view, 1)
    view.keep.click()
    viewer.window.remove_dock_widget(view)
    view.leave()
    view.deleteLater()
    again = RunView(viewer)
    viewer.window.add_dock_widget(again, name="again")
    again.show_run(run)
    wait_for_epochs(qtbot, again, 1)
    assert not again.keep.isChecked()
    viewer.close()
    qtbot.waitUntil(lambda: run.stop_requested() == "keep")


def test_the_viewer_stays_fluid(view, viewer, begin, qtbot):
    for draw in view.warming_up():
        draw()
    gaps, last = [], [time.perf_counter()]

    def tick():
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start(5)
    qtbot.wait(300)
    idle = max(gaps)
    run = begin(epochs=50, seconds=0.02)
    qtbot.wait(50)
    gaps.clear()
    view.show_run(run)
    qtbot.waitUntil(lambda: bool(view.outcome.text))
    timer.stop()
    print(f"longest gap of a timer of 5 ms: {1000 * max(gaps):.0f} ms following a training, {1000 * idle:.0f} ms idle")
    assert epochs(view) == 50


def test_all_buttons_and_fields_have_tooltips(view):
    for button in (view.button, view.cancel_button, view.keep, view.log.button, view.curves.logarithmic):
        assert button.toolTip()
    for label in view.findChildren(QLabel):
        assert "_" not in label.text()
