"""The list of runs, of real folders and real trainings."""

import shutil

import pytest
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtWidgets import QMessageBox

from napari_seg_trainer.napari_plugin.run.run_list import RunList
from napari_seg_trainer.runs import summaries
from napari_seg_trainer.runs.run import Run, RunState
from napari_seg_trainer.schema.events import Failed, Finished, Log
from napari_seg_trainer.schema.job import TrainingJob

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def ended(home):
    """A run that has ended: ``ended("nuclei", Finished(...))``; without an event it was interrupted."""

    def make(name, event=None, engine="stardist"):
        run = Run.create(TrainingJob(name=name, engine=engine, data=("annotations",), hyperparameters={"epochs": 7}))
        run.claim()
        if event is not None:
            run.append(event)
        else:
            info = run.process().replace(created=0.0, ticks=0)
            (run.folder / "process.json").write_text(info.model_dump_json())
        return run

    return make


@pytest.fixture
def runs(docked, qtbot, monkeypatch):
    monkeypatch.setattr(summaries, "REFRESH_SECONDS", 0.2)
    widget = docked(RunList())
    yield widget
    widget.hide()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)


@pytest.fixture
def choose(runs, qtbot):
    def click(run):
        qtbot.waitUntil(lambda: run in [summary.run for summary in runs.summaries()])
        row = [summary.run for summary in runs.summaries()].index(run)
        place = runs.list.visualItemRect(runs.list.item(row)).topLeft() + QPoint(5, 5)
        qtbot.mouseClick(runs.list.viewport(), LEFT, pos=place)

    return click


def texts(runs):
    return [runs.list.item(row).text() for row in range(runs.list.count())]


def test_without_runs_it_says_so(runs, qtbot):
    qtbot.waitUntil(lambda: "no trainings yet" in runs.line.text())
    assert not runs.open_button.isEnabled()


def test_runs_are_told_with_what_became_of_them(runs, ended, qtbot):
    ended("first", Finished(model="first", best_epoch=1))
    ended("second", Failed(message="It failed."), engine="not-installed")
    ended("third")
    states = {"first": RunState.FINISHED, "second": RunState.FAILED, "third": RunState.INTERRUPTED}
    qtbot.waitUntil(lambda: {summary.model: summary.state for summary in runs.summaries()} == states)
    assert len(texts(runs)) == 3
    (line,) = (text for text in texts(runs) if text.startswith("first · today "))
    assert line.endswith("StarDist · finished · 0 of 7 epochs")
    assert any("not-installed · failed" in text for text in texts(runs))


def test_it_follows_what_happens(runs, ended, qtbot):
    run = ended("first")
    qtbot.waitUntil(lambda: len(texts(runs)) == 1)
    run.claim()
    run.append(Log(message="hello"))
    qtbot.waitUntil(lambda: "running" in texts(runs)[0])
    run.append(Finished(model="first", best_epoch=1))
    qtbot.waitUntil(lambda: "finished" in texts(runs)[0])
    shutil.rmtree(run.folder)
    qtbot.waitUntil(lambda: not texts(runs))


def test_a_hidden_list_leaves_the_disk_alone(runs, ended, qtbot):
    qtbot.waitUntil(lambda: "no trainings yet" in runs.line.text())
    runs.hide()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)
    ended("first")
    runs.show()
    qtbot.waitUntil(lambda: len(texts(runs)) == 1)


def test_the_choice_stays_when_the_list_changes(runs, ended, choose, qtbot):
    first = ended("first", Finished(model="first", best_epoch=1))
    choose(first)
    ended("second", Finished(model="second", best_epoch=1))
    qtbot.waitUntil(lambda: len(texts(runs)) == 2)
    assert runs.list.currentItem().text().startswith("first")
    assert runs.open_button.isEnabled()


def test_a_run_is_opened(runs, ended, choose, qtbot):
    run, chosen = ended("first", Finished(model="first", best_epoch=1)), []
    runs.chosen.connect(chosen.append)
    choose(run)
    qtbot.mouseClick(runs.open_button, LEFT)
    assert chosen == [run]
    assert not runs.resume_button.isEnabled()  # it is finished


def test_deleting_asks_first(runs, ended, choose, qtbot):
    run = ended("first", Failed(message="It failed."))
    choose(run)

    def answer(verb):
        qtbot.mouseClick(runs.delete_button, LEFT)
        (box,) = runs.findChildren(QMessageBox)
        qtbot.mouseClick(next(button for button in box.buttons() if button.text() == verb), LEFT)
        qtbot.waitUntil(lambda: not runs.findChildren(QMessageBox))

    answer("Go back")
    assert run.folder.is_dir()
    answer("Delete the training")
    qtbot.waitUntil(lambda: not run.folder.exists())
    qtbot.waitUntil(lambda: not texts(runs))


def test_a_broken_run_is_listed_and_can_be_deleted(runs, ended, choose, qtbot):
    run = ended("first", Failed(message="It failed."))
    (run.folder / "job.json").write_text("{")
    choose(run)
    qtbot.waitUntil(lambda: "cannot be read" in texts(runs)[0])
    assert runs.delete_button.isEnabled()


def test_an_active_run_is_neither_resumed_nor_deleted(runs, begin, choose, qtbot):
    run = begin(epochs=1000, seconds=0.1)
    choose(run)
    assert runs.open_button.isEnabled()
    assert not runs.resume_button.isEnabled()
    assert not runs.keep_button.isEnabled()
    assert not runs.delete_button.isEnabled()
    run.request_stop()
    qtbot.waitUntil(lambda: "stopped" in texts(runs)[0])


def test_an_interrupted_run_is_resumed_and_opened(runs, begin, choose, qtbot):
    run, chosen = begin(epochs=3, failure="disk"), []
    runs.chosen.connect(chosen.append)
    qtbot.waitUntil(lambda: run.state() == RunState.FAILED)
    choose(run)
    qtbot.waitUntil(lambda: runs.resume_button.isEnabled())
    before = run.process().pid
    qtbot.mouseClick(runs.resume_button, LEFT)
    qtbot.waitUntil(lambda: chosen == [run])
    assert run.process().pid != before


def test_the_best_of_a_failed_run_is_kept(runs, begin, choose, qtbot):
    run, chosen = begin(epochs=3, failure="export"), []
    runs.chosen.connect(chosen.append)
    qtbot.waitUntil(lambda: run.state() == RunState.FAILED)
    choose(run)
    qtbot.waitUntil(lambda: runs.keep_button.isEnabled())
    qtbot.mouseClick(runs.keep_button, LEFT)
    qtbot.waitUntil(lambda: chosen == [run])
    qtbot.waitUntil(lambda: run.state() == RunState.FAILED)  # of that engine no model can be made
