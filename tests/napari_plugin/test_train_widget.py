"""The dock that trains, from the form to the run and back: real trainings of the toy engine."""

import pytest
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QApplication

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.napari_plugin.parts.docks import PLUGIN, TRAIN, open_dock, opened
from napari_seg_trainer.napari_plugin.parts.widgets import Section
from napari_seg_trainer.runs.run import RunState, list_runs
from napari_seg_trainer.schema.events import EpochEnded
from napari_seg_trainer.schema.job import TrainingJob
from testkit import processes

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def dock(viewer, toy):
    return open_dock(viewer, TRAIN)


@pytest.fixture
def click(qtbot):
    def press(button):
        qtbot.waitUntil(lambda: button.isVisible() and button.isEnabled())
        qtbot.mouseClick(button, LEFT)

    return press


@pytest.fixture
def fill(dock, qtbot, annotation_folder):
    """Fill the form with a training of the toy engine: ``fill("nuclei", epochs=3)``."""
    data = annotation_folder("annotations_of_the_form")

    def work(name="nuclei", **hyperparameters):
        job = TrainingJob(name=name, engine="toy", data=(data,), hyperparameters=hyperparameters)
        dock.job_form.set_value(job)
        qtbot.waitUntil(lambda: dock.form_page.button.isEnabled())

    return work


def shows_run(dock):
    return dock.run_view is not None and dock.run_view.isVisible()


def epochs(run):
    return sum(isinstance(event, EpochEnded) for event in run.events())


def test_without_data_the_button_says_why(dock, qtbot):
    qtbot.waitUntil(dock.form_page.isVisible)
    assert not dock.form_page.button.isEnabled()
    assert dock.form_page.reason == next(iter(dock.job_form.reasons().values()))
    assert not dock.copy_button.isEnabled()


def test_a_training_from_the_form_to_the_model(dock, fill, click, qtbot):
    fill("nuclei", epochs=3, seconds=0.1)
    click(dock.form_page.button)
    qtbot.waitUntil(lambda: shows_run(dock))
    assert not dock.form_page.isVisible()
    qtbot.waitUntil(lambda: "in the library" in dock.run_view.outcome.text)
    assert "nuclei" in ModelLibrary()
    click(dock.run_view.outcome.train_again)
    qtbot.waitUntil(dock.form_page.isVisible)
    assert dock.job_form.pretrained.value() == "nuclei"
    assert "'nuclei'" in dock.job_form.reasons()["name"]  # that name is taken now


def test_a_second_training_waits_for_the_first(dock, fill, click, qtbot):
    fill("first", epochs=1000, seconds=0.1)
    click(dock.form_page.button)
    qtbot.waitUntil(lambda: shows_run(dock))
    first = dock.run_view.shown
    qtbot.waitUntil(lambda: epochs(first) > 0)
    click(dock.back_button)
    fill("second", epochs=2)
    click(dock.form_page.button)
    qtbot.waitUntil(lambda: shows_run(dock) and dock.run_view.title == "Run: second")
    qtbot.waitUntil(lambda: dock.run_view.progress.stage_line.text() == f"waiting for {first.id}…")
    dock.open_run(first)
    click(dock.run_view.button)
    qtbot.waitUntil(lambda: "in the library" in dock.run_view.outcome.text)
    second = next(run for run in list_runs() if run.makes("second"))
    qtbot.waitUntil(lambda: second.state() == RunState.FINISHED)


def test_a_name_that_somebody_else_takes_meanwhile_is_refused(dock, fill, begin, click, qtbot):
    fill("nuclei", epochs=3)
    begin("nuclei", epochs=1000, seconds=0.1)  # by somebody else, a moment before
    click(dock.form_page.button)
    # the form may have heard of it, or the training that was to begin
    qtbot.waitUntil(lambda: "Choose another name" in dock.form_page.reason)
    fill("another", epochs=3)
    assert dock.form_page.reason == ""


def test_an_error_stays_in_place_until_the_job_is_another(dock, fill, click, qtbot, home):
    fill("nuclei", epochs=3)
    home.mkdir(exist_ok=True)
    (home / "runs").touch()  # a file where a folder is to be
    click(dock.form_page.button)
    qtbot.waitUntil(lambda: "runs" in dock.form_page.reason)
    told = dock.form_page.reason
    dock.job_form.changed.emit()  # as when the data have been looked at, or the library changes
    assert dock.form_page.reason == told
    assert dock.form_page.button.isEnabled()
    fill("another", epochs=3)
    assert dock.form_page.reason == ""
    (home / "runs").unlink()
    click(dock.form_page.button)
    qtbot.waitUntil(lambda: shows_run(dock))


def test_enter_in_the_name_starts_nothing(dock, fill, qtbot):
    fill("nuclei", epochs=3)
    qtbot.keyClick(dock.job_form.name.native, Qt.Key.Key_Return)
    qtbot.wait(100)
    assert list_runs() == []


def test_the_command_is_copied(dock, fill, click, qtbot):
    fill("nuclei", epochs=3)
    click(dock.copy_button)
    qtbot.waitUntil(lambda: dock.copy_button.text() == "Copied")
    command = QApplication.clipboard().text()
    assert command.startswith("napari-seg-trainer train --name nuclei")
    assert "--engine toy" in command
    qtbot.waitUntil(lambda: dock.copy_button.text() == "Copy as command")


def test_the_running_training_is_there_again(dock, viewer, begin, qtbot):
    run = begin(epochs=1000, seconds=0.1)
    dock.open_run(run)
    qtbot.waitUntil(lambda: shows_run(dock) and bool(dock.run_view.curves.points()))
    viewer.window.remove_dock_widget(viewer.window._wrapped_dock_widgets[f"{TRAIN} ({PLUGIN})"])
    # nobody follows the run any more, and it goes on
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)
    assert opened(viewer, TRAIN) is None
    before = epochs(run)
    qtbot.waitUntil(lambda: epochs(run) > before)
    again = open_dock(viewer, TRAIN)
    qtbot.waitUntil(lambda: shows_run(again) and again.run_view.shown == run)
    qtbot.waitUntil(lambda: len(again.run_view.curves.points().get("loss", [])) > before)


def test_an_earlier_training_is_opened_from_the_list(dock, begin, click, qtbot):
    run = begin(epochs=1)
    qtbot.waitUntil(lambda: run.state() == RunState.FINISHED)
    section = next(found for found in dock.findChildren(Section) if found.text() == "Previous trainings")
    assert dock.run_list.summaries() == ()  # nothing is read before somebody looks
    qtbot.mouseClick(section.toggleButton(), LEFT)
    qtbot.waitUntil(lambda: len(dock.run_list.summaries()) == 1)
    dock.run_list.select(run)
    click(dock.run_list.open_button)
    qtbot.waitUntil(lambda: shows_run(dock) and "Finished" in dock.run_view.outcome.text)
    click(dock.back_button)
    assert dock.form_page.isVisible()


def test_a_killed_training_leaves_napari_alone(dock, viewer, fill, click, qtbot):
    fill("nuclei", epochs=1000, seconds=0.1)
    click(dock.form_page.button)
    qtbot.waitUntil(lambda: shows_run(dock) and bool(dock.run_view.curves.points()))
    processes.kill(dock.run_view.shown.process().pid)
    qtbot.waitUntil(lambda: dock.run_view.outcome.text.startswith("Interrupted"))
    click(dock.run_view.outcome.change)
    qtbot.waitUntil(dock.form_page.isVisible)
    assert dock.job_form.value().hyperparameters["epochs"] == 1000
    assert viewer.layers == []


def test_what_others_ask_for_comes_to_the_form(dock, toy_model, annotation_folder, begin, qtbot):
    toy_model("parent")
    dock.open_run(begin(epochs=1))
    qtbot.waitUntil(lambda: shows_run(dock))
    folder = annotation_folder("annotations_cells")
    dock.add_data(folder)
    assert dock.form_page.isVisible()
    assert folder in dock.job_form.data.folders()
    dock.start_from("parent")
    assert dock.job_form.pretrained.value() == "parent"
    dock.start_from("nowhere")
    assert "There is no model 'nowhere'" in dock.form_page.reason
