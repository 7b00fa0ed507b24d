"""The dock with all models, driven as a user does."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html import unescape

import numpy as np
import pytest
from qtpy.QtCore import QObject, Qt, QUrl, Slot
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QLineEdit, QMessageBox

from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.listed import day
from napari_seg_trainer.library.model_folder import write_card
from napari_seg_trainer.napari_plugin.library.table import AP50, NAME
from napari_seg_trainer.napari_plugin.library.widget import LibraryWidget
from napari_seg_trainer.napari_plugin.library.zoo import ZooDialog
from napari_seg_trainer.napari_plugin.parts.docks import LIBRARY, SEGMENT, TRAIN, open_dock, opened

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def library(request, docked, viewer_model, qtbot):
    """Open the dock and wait until it shows these models, from top to bottom."""

    def open_it(*names):
        widget = (
            open_dock(viewer_model, LIBRARY)
            if "viewer" in request.fixturenames
            else docked(LibraryWidget(viewer_model))
        )
        qtbot.waitUntil(lambda: shown(widget) == list(names))
        return widget

    return open_it


@pytest.fixture
def scored_model(toy_model):
    """A model that was scored on the images of these names."""

    def make(name, images=("a", "b"), **fields):
        model = toy_model(name, data={image: image * 64 for image in (*images, "c")}, **fields)
        split = Split(seed=0, training=("c",), validation=images)
        (model.folder / "split.json").write_text(split.model_dump_json())
        return model

    return make


@pytest.fixture
def opened_urls():
    """What would be opened by the browser or the file manager."""

    class Browser(QObject):
        @Slot(QUrl)
        def open(self, url):
            urls.append(url.toLocalFile())

    urls, browser = [], Browser()
    QDesktopServices.setUrlHandler("file", browser, "open")
    yield urls
    QDesktopServices.unsetUrlHandler("file")


def shown(widget):
    return [widget.table.item(row, NAME).text() for row in range(widget.table.rowCount())]


def choose(widget, *names):
    widget.table.clearSelection()
    for name in names:
        row = shown(widget).index(name)
        flags = widget.table.selectionModel().SelectionFlag
        widget.table.selectionModel().select(widget.table.model().index(row, 0), flags.Select | flags.Rows)


def answer(widget, verb, qtbot):
    box = widget.findChild(QMessageBox)
    (button,) = [button for button in box.buttons() if button.text() == verb]
    qtbot.mouseClick(button, LEFT)


def choose_file(widget, action, path):
    action.trigger()
    accept_file(widget, path)


def accept_file(widget, path):
    (dialog,) = widget.share.findChildren(QFileDialog)
    dialog.setDirectory(str(path.parent))
    dialog.selectFile(str(path))
    dialog.accept()


def test_models_are_listed_the_newest_first_and_broken_ones_with_what_is_wrong(library, toy_model, home):
    toy_model("young", scores={"ap50": 0.9, "ap70": 0.5}, pixel_size=0.325, epochs=9, best_epoch=7)
    toy_model("younger", ("a", "b"))
    (home / "models" / "damaged").mkdir()
    widget = library("younger", "young", "damaged")
    assert widget.table.chosen() == ["younger"]
    choose(widget, "young")
    for text in ("Toy", "0.325 µm", "7 of 9", "0.90 0.50 –", "dapi"):
        assert text in widget.details.card.text()
    choose(widget, "damaged")
    assert "model_card.json" in widget.details.problem.text()
    assert not widget.button.isEnabled()
    assert widget.delete_button.isEnabled()


def test_a_click_on_a_heading_sorts(library, toy_model, qtbot):
    for name, score in (("good", 0.9), ("bad", 0.1), ("better", 0.95)):
        toy_model(name, scores={"ap50": score})
    toy_model("unknown")
    widget = library("unknown", "better", "bad", "good")
    header = widget.table.horizontalHeader()
    place = header.sectionViewportPosition(AP50) + header.sectionSize(AP50) // 2
    qtbot.mouseClick(header.viewport(), LEFT, pos=header.rect().topLeft().__class__(place, 5))
    assert shown(widget) == ["unknown", "bad", "good", "better"]


@pytest.mark.parametrize(
    ("days", "text"), [(0, "today"), (1, "yesterday"), (4, "Sun"), (30, "20 Feb"), (365, "Mar 2025"), (-3, "25 Mar")]
)
def test_a_day_is_told_in_short(days, text):
    now = datetime(2026, 3, 22, 12, tzinfo=UTC) if days != 4 else datetime(2026, 3, 26, 12, tzinfo=UTC)
    assert day(now - timedelta(days=days), now) == text


def test_an_empty_library_leads_to_the_training(library, viewer, qtbot):
    widget = library()
    qtbot.waitUntil(widget.no_model.isVisible)
    assert not widget.button.isEnabled()
    qtbot.mouseClick(widget.no_model.button, LEFT)
    assert opened(viewer, TRAIN) is not None


def test_what_another_process_does_shows_and_the_choice_stays(library, toy_model, qtbot):
    toy_model("first")
    toy_model("second")
    widget = library("second", "first")
    choose(widget, "first")
    code = "from napari_seg_trainer.library.library import ModelLibrary as L; L().rename('second', 'third')"
    subprocess.run([sys.executable, "-c", code], check=True)
    qtbot.waitUntil(lambda: shown(widget) == ["third", "first"])
    assert widget.table.chosen() == ["first"]


def test_a_name_is_checked_while_it_is_typed(library, toy_model, qtbot):
    toy_model("taken")
    toy_model("mine")
    widget = library("mine", "taken")
    qtbot.mouseClick(widget.rename_button, LEFT)
    editor = widget.table.findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, "Taken")
    assert "already in the library as 'taken'" in unescape(widget.status.text())
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    toy_model("meanwhile")  # what is being typed survives it
    qtbot.wait(500)
    assert editor.text() == "Taken"
    qtbot.keyClicks(editor, "-2")
    assert not widget.status.text()
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: shown(widget) == ["meanwhile", "Taken-2", "taken"])
    assert widget.table.chosen() == ["Taken-2"]
    assert ModelLibrary().names() == ["Taken-2", "meanwhile", "taken"]


def test_models_are_deleted_only_after_a_question(library, toy_model, qtbot):
    for name in ("a", "b", "c"):
        toy_model(name)
    widget = library("c", "b", "a")
    choose(widget, "a", "c")
    qtbot.mouseClick(widget.delete_button, LEFT)
    answer(widget, "Go back", qtbot)
    qtbot.waitUntil(lambda: widget.findChild(QMessageBox) is None)
    qtbot.mouseClick(widget.delete_button, LEFT)
    assert "2 models (c, a)" in widget.findChild(QMessageBox).text()
    answer(widget, "Delete", qtbot)
    qtbot.waitUntil(lambda: shown(widget) == ["b"])
    assert ModelLibrary().names() == ["b"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"images": ("a", "b")}, "All were scored on the same 2 validation images: the scores can be compared."),
        ({"images": ("b", "d", "e")}, "'one' on 2, 'two' on 3, 1 of them in common"),
        ({"images": ("d",)}, "none of them in common"),
        ({"scores": {}}, "It is unknown on which images 'two' was scored"),
    ],
)
def test_models_are_compared_side_by_side(library, scored_model, qtbot, other, said):
    scored_model("one", scores={"ap50": 0.5}, hyperparameters={"epochs": 5, "batch_size": 2})
    scored_model("two", **{"scores": {"ap50": 0.25}, "hyperparameters": {"epochs": 5, "batch_size": 4}} | other)
    widget = library("two", "one")
    assert not widget.compare_button.isEnabled()
    choose(widget, "one", "two")
    qtbot.mouseClick(widget.compare_button, LEFT)
    assert said in widget.comparison.note.text().replace("'two' on 3, 'one' on 2", "'one' on 2, 'two' on 3")
    table = widget.comparison.table
    rows = {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount())}
    assert rows["Epochs"] == "5"
    assert rows["≠ Batch size"] == "4"
    assert ("≠ AP" in rows) == ("AP" not in rows)
    choose(widget, "one")
    assert not widget.comparison.isVisible()


def test_a_model_leaves_as_a_zip_file_and_comes_back(library, toy_model, tmp_path, qtbot):
    toy_model("bright")
    widget = library("bright")
    choose_file(widget, widget.share.export_action, tmp_path / "bright.segmodel")
    qtbot.waitUntil(lambda: str(tmp_path / "bright.segmodel") in widget.status.text())
    ModelLibrary().delete("bright")
    qtbot.waitUntil(lambda: shown(widget) == [])
    toy_model("other")
    choose_file(widget, widget.share.import_file_action, tmp_path / "bright.segmodel")
    qtbot.waitUntil(lambda: sorted(shown(widget)) == ["bright", "other"])
    qtbot.waitUntil(lambda: widget.table.chosen() == ["bright"])


def test_the_model_zoo_wants_to_know_who_made_it(library, toy_model, tmp_path, qtbot):
    toy_model("bright")
    widget = library("bright")
    widget.share.zoo_action.trigger()
    (dialog,) = widget.share.findChildren(ZooDialog)
    dialog.authors.value = " "
    assert not dialog.export_button.isEnabled()
    dialog.authors.value = "Ada Lovelace; Grace Hopper"
    dialog.license.value = "MIT"
    qtbot.mouseClick(dialog.export_button, LEFT)
    accept_file(widget, tmp_path / "zoo.zip")
    assert widget.status.text() == "Exporting 'bright'…"
    qtbot.waitUntil(lambda: "Toy" in widget.status.text())  # it cannot leave Python
    assert not (tmp_path / "zoo.zip").exists()


def test_a_folder_that_is_no_model_is_refused_in_one_line(library, tmp_path, qtbot):
    widget = library()
    (tmp_path / "nothing").mkdir()
    choose_file(widget, widget.share.import_folder_action, tmp_path / "nothing")
    qtbot.waitUntil(lambda: "nothing" in widget.status.text() and "color" in widget.status.text())
    assert ModelLibrary().names() == []


def test_report_and_files_are_opened(library, toy_model, opened_urls, qtbot):
    model = toy_model("bright")
    (model.folder / "report.html").write_text("<h1>bright</h1>")
    write_card(model.folder, model.card.replace(files={**model.card.files, "report.html": "0" * 64}))
    toy_model("without")
    widget = library("without", "bright")
    assert not widget.report_button.isEnabled()
    choose(widget, "bright")
    qtbot.mouseClick(widget.report_button, LEFT)
    qtbot.waitUntil(lambda: bool(opened_urls))
    widget.share.show_action.trigger()
    assert opened_urls == [str(model.folder / "report.html"), str(model.folder)]


def test_a_model_is_handed_on_to_the_other_docks(library, toy_model, viewer, qtbot):
    toy_model("bright")
    toy_model("newer")
    widget = library("newer", "bright")
    choose(widget, "bright")
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(lambda: opened(viewer, SEGMENT).model_name == "bright")
    qtbot.mouseClick(widget.train_button, LEFT)
    assert opened(viewer, TRAIN) is not None


def test_a_dock_that_was_closed_hears_of_nothing(library, viewer, toy_model, qtbot):
    widget = library()
    with qtbot.waitSignal(widget.destroyed):
        viewer.window.remove_dock_widget(widget.parentWidget())
    toy_model("bright")
    viewer.add_image(np.zeros((4, 4)))
    qtbot.wait(300)
    assert isinstance(open_dock(viewer, LIBRARY), LibraryWidget)


def test_the_verdict_has_the_width_of_the_dock(library, toy_model):
    toy_model("first", verdict=("Finds 93 of 100 objects.", "Better than <this>."))
    widget = library("first")
    choose(widget, "first")
    assert widget.details.verdict.text() == "Finds 93 of 100 objects.<br>Better than &lt;this&gt;."
    assert widget.details.verdict.isVisible()
    assert "Finds 93" not in widget.details.card.text()


def test_models_are_scored_side_by_side_on_a_folder(library, toy_model, annotation_folder, qtbot):
    for name in ("first", "second"):
        toy_model(name)
    widget = library("second", "first")
    choose(widget, "second", "first")
    qtbot.mouseClick(widget.compare_button, LEFT)
    scores = widget.comparison.folder_scores
    scores.score_on(annotation_folder("annotations_more", images=3))
    assert scores.stop_button.isVisible()
    qtbot.waitUntil(scores.button.isVisible)
    told = unescape(scores.line.text())
    assert "annotations_more, 3 images" in told
    assert told.count(">1.00<") == 8
    assert "first: AP 1.00 vs. 1.00 of 'second', but 3 images are too few" in told
    broken = annotation_folder("annotations_broken", images=3)
    (broken / "cell_01.tif").write_bytes(b"II*\0")
    scores.score_on(broken)
    qtbot.waitUntil(scores.button.isVisible)
    told = unescape(scores.line.text())
    assert "annotations_broken, 2 images" in told
    assert told.count("Skipped: ") == told.count("cell_01.tif") == 1
    scores.score_on(annotation_folder("annotations_none").parent)
    qtbot.waitUntil(scores.button.isVisible)
    assert "no image" in unescape(scores.line.text()).lower() or "holds" in scores.line.text()
    scores.score_on(annotation_folder("annotations_yet_more", images=2))
    choose(widget, "first")
    assert widget.comparison.isHidden()
    assert not scores.line.text()
