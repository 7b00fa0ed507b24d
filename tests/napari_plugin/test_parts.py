"""Pieces of widgets."""

import itertools
import logging
import time

import pytest
from magicgui.widgets import LineEdit
from napari.qt.threading import FunctionWorker
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.parts import background
from napari_seg_trainer.napari_plugin.parts.background import in_background, step_by_step
from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.panel import Panel
from napari_seg_trainer.napari_plugin.parts.theme import colours
from napari_seg_trainer.napari_plugin.parts.widgets import Section, in_column


def test_a_reason_stands_under_its_field_until_it_is_mended(docked, qtbot):
    form = Form(LineEdit(name="a", label="First"), LineEdit(name="b", label="Second"))
    docked(form)
    form.show_reasons({"b": "3 <is> wrong"})
    assert form.reasons == {"b": "3 <is> wrong"}
    line = form["_reason_b"]
    qtbot.waitUntil(line.native.isVisible)
    assert "3 &lt;is&gt; wrong" in line.value
    form.show_reasons({})
    qtbot.waitUntil(line.native.isHidden)


def test_a_refused_button_says_why(docked):
    panel = docked(Panel("Train", "Start."))
    panel.refuse("No data.")
    assert not panel.button.isEnabled()
    assert panel.reason == "No data."
    panel.allow()
    assert panel.button.isEnabled()


def test_a_section_is_folded_and_tells_its_summary(docked, qtbot):
    content = QLabel("inside")
    section = docked(Section("Training", content))
    section.summarize("100 epochs")
    assert section.text() == "Training (100 epochs)"
    assert not section.isExpanded()
    section.expand(animate=False)
    qtbot.waitUntil(content.isVisible)


def test_work_in_the_background_returns_and_fails_in_one_line(docked, qtbot, caplog):
    owner, results, problems = docked(QWidget()), [], []
    in_background(owner, lambda: 42, results.append, problems.append)
    qtbot.waitUntil(lambda: results == [42])

    def wrong():
        raise DataError("There is no 'x'. Choose another.")

    in_background(owner, wrong, results.append, problems.append)
    qtbot.waitUntil(lambda: problems == ["There is no 'x'. Choose another."])
    caplog.set_level(logging.ERROR)
    in_background(owner, lambda: 1 / 0, results.append, problems.append)
    qtbot.waitUntil(lambda: len(problems) == 2)
    assert problems[1].startswith("ZeroDivisionError: division by zero. This is a bug")
    assert "Traceback" in caplog.text


def test_a_worker_that_outlives_the_program_says_nothing(qtbot):
    """Qt deletes what workers tell their news with, when napari ends; a worker may begin or end after that."""
    sip = pytest.importorskip("qtpy.sip", exc_type=ImportError)

    def steps():
        yield 1

    for worker in (background._Function(lambda: 1), background._Generator(steps)):
        sip.delete(worker.signals)
        worker.run()
    working = background._Function(lambda: 1)
    working.started.connect(lambda: 1)
    working.work = lambda: sip.delete(working.signals)
    working.run()


def test_a_defect_of_a_worker_is_not_hidden(qtbot, monkeypatch):
    def broken(_worker):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(FunctionWorker, "run", broken)
    with pytest.raises(RuntimeError, match="no such thing"):
        background._Function(lambda: 1).run()


def test_steps_are_told_until_the_worker_is_to_quit(docked, qtbot):
    owner, steps = docked(QWidget()), []

    def count():
        for i in itertools.count():
            time.sleep(0.01)
            yield i

    worker = step_by_step(owner, count, steps.append)
    qtbot.waitUntil(lambda: len(steps) > 3)
    assert steps[:3] == [0, 1, 2]
    with qtbot.waitSignal(worker.finished):
        worker.quit()


def test_what_is_left_to_do_is_red_once_the_user_has_begun(docked, qtbot):
    panel = Panel("Train", "Start.")
    form = Form(LineEdit(name="a", label="First"), LineEdit(name="b", label="Second"))
    panel.add(form.native)
    docked(panel)
    form.show_reasons({"b": "Enter it."})
    panel.refuse("Enter it.")
    red = colours().error
    assert red not in panel._reason_line.text() + form["_reason_b"].value
    panel.window().activateWindow()
    for name in "ab":
        form[name].native.setFocus()
        qtbot.waitUntil(form[name].native.hasFocus)
    assert red in panel._reason_line.text()
    assert red in form["_reason_b"].value


def test_what_has_failed_is_red_at_once(docked):
    panel = docked(Panel("Train", "Start."))
    panel.refuse("The disk is full.", urgent=True)
    assert colours().error in panel._reason_line.text()


def test_the_tab_key_passes_over_what_is_folded(docked, qtbot):
    inside, after = QLineEdit(), QLineEdit()
    section, column = Section("Training", inside), QWidget()
    in_column(column, section, after)
    docked(column)
    column.window().activateWindow()
    section.toggleButton().setFocus()
    qtbot.waitUntil(section.toggleButton().hasFocus)
    assert section.toggleButton().text() == "▸ Training"
    qtbot.keyClick(section.toggleButton(), Qt.Key.Key_Tab)
    assert after.hasFocus()
    section.expand(animate=False)
    assert section.toggleButton().text() == "▾ Training"
    section.toggleButton().setFocus()
    qtbot.waitUntil(inside.isVisible)
    qtbot.keyClick(section.toggleButton(), Qt.Key.Key_Tab)
    assert inside.hasFocus()
