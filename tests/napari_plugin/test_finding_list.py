"""The list of findings, and the way from a finding to its image."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels, Vectors
from napari.settings import get_settings
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLabel, QPushButton

from napari_seg_trainer.annotations.doctor import examine
from napari_seg_trainer.annotations.findings import Finding, Severity
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.napari_plugin.layers.finding_list import FIRST, MORE, FindingList, show_finding
from napari_seg_trainer.napari_plugin.layers.look_at import look_at
from napari_seg_trainer.napari_plugin.layers.names import stem_for
from napari_seg_trainer.napari_plugin.layers.opening import add_layers, read_folder

LEFT = Qt.MouseButton.LeftButton


def finding(message="Object 3 has a hole.", file=Path("cell_00.tif"), severity=Severity.WARNING, **fields):
    return Finding(severity=severity, code="hole", message=message, file=file, **fields)


@pytest.fixture
def shown(docked):
    """A list in a dock, and what was chosen in it."""
    findings = FindingList()
    findings.setMinimumWidth(300)
    findings.heard = []
    findings.chosen.connect(findings.heard.append)
    return docked(findings)


def without_outline(viewer):
    return [layer for layer in viewer.layers if not isinstance(layer, Vectors)]


def messages(findings):
    return [label for label in findings.findChildren(QLabel) if "href" in label.text() or len(label.text()) > 60]


def test_a_click_chooses_a_finding(shown, qtbot):
    first, second = finding(), finding("Object <4> is tiny.", severity=Severity.ERROR)
    shown.set_findings([first, second])
    assert shown.isVisible()
    links = messages(shown)
    assert "Object &lt;4&gt; is tiny." in links[1].text()
    qtbot.waitUntil(links[1].isVisible)
    qtbot.mouseClick(links[1], LEFT, pos=QPoint(20, links[1].height() // 2))
    assert shown.heard == [second]
    shown.set_findings([])
    assert not shown.isVisible()


def test_the_keyboard_chooses_a_finding(shown, qtbot):
    first, second = finding(), finding("Other.")
    shown.set_findings([first, second])
    _, link = messages(shown)
    link.window().activateWindow()
    link.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(lambda: "underline" in link.text())
    qtbot.keyClick(link, Qt.Key.Key_Return)
    assert shown.heard == [second]


def test_a_long_list_is_folded(shown, qtbot):
    shown.set_findings([finding(f"Object {number} is in two pieces.") for number in range(40)])
    more = next(button for button in shown.findChildren(QPushButton))
    for count, text in ((FIRST, "Show 20 of 35 more"), (FIRST + MORE, "Show 15 more"), (40, "")):
        assert len([link for link in messages(shown) if link.parent() in shown._rows]) == count
        assert more.isVisible() == bool(text)
        if text:
            assert more.text() == text
            qtbot.mouseClick(more, LEFT)
    assert len(shown.findings) == 40


def test_images_are_named_where_there_are_several(shown):
    shown.set_findings([finding(), finding(file=None, message="Only 3 images.")])
    assert ["cell_00" in row.message.words for row in shown._rows] == [False, False]
    shown.set_findings(
        [finding(), finding(file=Path("x/cell_01.tif")), finding("'cell_02.tif' is a copy.", Path("cell_02.tif"))]
    )
    assert [row.message.words.split(" ")[0] for row in shown._rows] == ["cell_00:", "cell_01:", "'cell_02.tif'"]


def test_colours_follow_the_theme(shown):
    shown.set_findings([finding()])
    before = shown._rows[0]._sign.text()
    get_settings().appearance.theme = "light"
    assert shown._rows[0]._sign.text() != before
    get_settings().appearance.theme = "dark"
    assert shown._rows[0]._sign.text() == before


def test_a_finding_opens_its_image_at_the_object(viewer, annotation_folder, qtbot):
    folder = annotation_folder(channels=("dapi", "actin"))
    pair = AnnotationFolder.open(folder).pairs[2]
    show_finding(viewer, finding(file=pair.image, label=3, position=(40.0, 60.0)), folder)
    qtbot.waitUntil(lambda: len(without_outline(viewer)) == 3)
    labels = viewer.layers.selection.active
    assert isinstance(labels, Labels)
    np.testing.assert_array_equal(labels.data, pair.read().labels)
    assert labels.selected_label == 3
    assert [layer.name for layer in viewer.layers if isinstance(layer, Image)] == ["dapi", "actin"]
    assert stem_for(viewer.layers["dapi"], 0, 1, None) == pair.stem
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (20, 30))
    show_finding(viewer, finding(file=pair.labels, label=4, position=(10.0, 20.0)))
    qtbot.waitUntil(lambda: labels.selected_label == 4)
    assert len(without_outline(viewer)) == 3
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (5, 10))


def test_an_image_in_an_open_stack_is_found_there(viewer, annotation_folder, qtbot):
    folder = annotation_folder()
    count = len(add_layers(viewer, read_folder(folder)))
    qtbot.waitUntil(lambda: len(viewer.layers) == count)
    show_finding(viewer, finding(file=folder / "cell_03.tif", label=2, position=(40.0, 60.0)), folder)
    qtbot.waitUntil(lambda: viewer.dims.current_step[0] == 3)
    assert len(without_outline(viewer)) == count
    assert viewer.layers.selection.active.selected_label == 2


def test_images_and_masks_in_folders_of_their_own_are_found(viewer, annotation_folder, tmp_path, qtbot):
    folder = annotation_folder("flat", 2)
    for kind, ending in (("images", ".tif"), ("masks", "_labelled.tif")):
        (tmp_path / "split" / kind).mkdir(parents=True)
        for number in range(2):
            shutil.copy(folder / f"cell_0{number}{ending}", tmp_path / "split" / kind / f"cell_0{number}.tif")
    show_finding(viewer, finding(file=tmp_path / "split" / "masks" / "cell_01.tif", label=2))
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    assert viewer.layers.selection.active.selected_label == 2


def test_an_image_without_a_usable_mask_is_shown_by_itself(viewer, annotation_folder, qtbot):
    folder = annotation_folder()
    tifffile.imwrite(folder / "cell_01_labelled.tif", np.zeros((9, 9), np.uint16))
    (folder / "cell_02_labelled.tif").unlink()
    found = {item.code: item for item in examine([folder])}
    for count, code in enumerate(("shape-mismatch", "unpaired-file"), start=1):
        show_finding(viewer, found[code])
        qtbot.waitUntil(lambda count=count: len(viewer.layers) == count)
        assert isinstance(viewer.layers[-1], Image)
        assert found[code].file.name in viewer.layers[-1].name


def test_what_cannot_be_shown_is_told(viewer, tmp_path, qtbot):
    (tmp_path / "broken.tif").write_bytes(b"nothing")
    told = []
    show_finding(viewer, finding(file=tmp_path / "broken.tif"), failed=told.append)
    qtbot.waitUntil(lambda: bool(told))
    assert "broken.tif" in told[0]
    show_finding(viewer, finding(file=None))
    assert len(viewer.layers) == 0


def test_the_object_is_outlined_and_fills_the_view(viewer_model):
    """Also in a frame of a stack, and as far as an object can be enlarged."""
    data = np.zeros((3, 60, 80), int)
    data[1, 10:20, 30:50] = 7
    labels = viewer_model.add_labels(data, scale=(1, 0.5, 0.5), translate=(0, 2, 3))
    look_at(viewer_model, labels, finding(label=7, position=(15.0, 40.0)), frame=1)
    (outline,) = [layer for layer in viewer_model.layers if isinstance(layer, Vectors)]
    assert viewer_model.layers.selection.active is labels
    assert len(outline.data) == 2 * (10 + 20)
    assert set(outline.data[:, 0, 0]) == {1}
    np.testing.assert_allclose(outline.data[:, 0, 1:].min(axis=0), (9.5, 29.5))
    np.testing.assert_allclose((outline.data[:, 0] + outline.data[:, 1])[:, 1:].max(axis=0), (19.5, 49.5))
    np.testing.assert_allclose(outline.scale, labels.scale)
    assert viewer_model.scene.camera.zoom == pytest.approx(200 / 20 / 0.5)
    look_at(viewer_model, labels, finding(label=8, position=(15.0, 40.0)), frame=1)  # is gone
    assert len(viewer_model.layers) == 2
    data[2, 5, 5] = 9
    look_at(viewer_model, labels, finding(label=9, position=(5.0, 5.0)), frame=2)
    assert [len(layer.data) for layer in viewer_model.layers if isinstance(layer, Vectors)] == [4]
    assert viewer_model.scene.camera.zoom == pytest.approx(20 / 0.5)


def test_the_outline_goes_by_itself(viewer, qtbot, monkeypatch):
    monkeypatch.setattr("napari_seg_trainer.napari_plugin.layers.outline.SHOWN", 200)
    labels = viewer.add_labels(np.ones((20, 20), int))
    look_at(viewer, labels, finding(label=1, position=(5.0, 5.0)))
    assert len(viewer.layers) == 2
    qtbot.waitUntil(lambda: list(viewer.layers) == [labels])
