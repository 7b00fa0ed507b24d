"""Exporting annotations from the dock, as a user does it."""

import threading
import time
from html import unescape
from pathlib import Path

import dask.array
import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtWidgets import QMessageBox, QScrollArea

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.napari_plugin.export.frames_and_crops import RANGE
from napari_seg_trainer.napari_plugin.layers.opening import add_layers, read_folder
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, TRAIN, is_alive, open_dock, opened

LEFT = Qt.MouseButton.LeftButton
SHAPE = (64, 96)
IN_MICROMETRES = {"scale": (0.325, 0.325), "units": ("um", "um")}


def squares(shape=SHAPE, seed=0):
    """Six squares on a noisy background, and the image of them."""
    labels = np.zeros(shape, np.int32)
    for number in range(6):
        y, x = 8 + 28 * (number // 3), 8 + 28 * (number % 3)
        labels[y : y + 12, x : x + 12] = number + 1
    noise = np.random.default_rng(seed).normal(100, 5, shape)
    return labels, (noise + 400 * (labels > 0)).astype(np.uint16)


@pytest.fixture
def widget(viewer):
    return open_dock(viewer, EXPORT)


@pytest.fixture
def dapi(viewer, widget, tmp_path):
    """An image of squares with its labels, and the folder of the experiment chosen."""
    labels, image = squares()
    viewer.add_image(image, name="DAPI", **IN_MICROMETRES)
    layer = viewer.add_labels(labels.copy(), name="nuclei", **IN_MICROMETRES)
    widget.form.folder.value = tmp_path / "exp"
    return layer


@pytest.fixture
def time_lapse(viewer, widget, tmp_path):
    """Four frames, of which each has other squares."""
    pairs = [squares(seed=frame) for frame in range(4)]
    labels = np.stack([np.roll(labels, frame, axis=1) for frame, (labels, _) in enumerate(pairs)])
    scaled = {"scale": (1, 0.5, 0.5), "units": ("pixel", "um", "um")}
    viewer.add_image(np.stack([image for _, image in pairs]), name="movie", **scaled)
    layer = viewer.add_labels(labels, name="nuclei", **scaled)
    widget.form.folder.value = tmp_path
    return layer


@pytest.fixture
def export(widget, qtbot):
    """Click on Export, and wait until all is written and looked at."""

    def click():
        assert widget.button.isEnabled(), widget.reason
        qtbot.mouseClick(widget.button, LEFT)
        qtbot.waitUntil(lambda: widget.button.isVisible() and widget.result.isVisible())

    return click


def written(folder: Path):
    return {pair.stem: pair.read() for pair in AnnotationFolder.open(folder)}


def boxes(widget):
    return [row.box for row in widget.form.channels._rows]


def names(widget):
    return [row.name for row in widget.form.channels._rows]


@pytest.fixture
def tick(widget, qtbot):
    """Click on the box of a channel."""

    def click(place):
        box = boxes(widget)[place]
        qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))

    return click


def answer(widget, qtbot, verb):
    """Click on a button of the question that is asked."""
    qtbot.waitUntil(lambda: widget.findChild(QMessageBox) is not None)
    box = widget.findChild(QMessageBox)
    button = next(button for button in box.buttons() if button.text() == verb)
    qtbot.mouseClick(button, LEFT)


def test_without_labels_it_tells_what_to_do(viewer, widget):
    assert widget.no_labels.isVisible()
    assert "Open an image" in widget.no_labels.text.text()
    assert widget.no_labels.sample_button.isVisible()
    assert not widget.no_labels.add_button.isVisible()
    assert not widget.form.isVisible()
    assert not widget.button.isEnabled()
    viewer.add_labels(np.zeros(SHAPE, int))
    assert widget.form.isVisible()
    assert not widget.no_labels.isVisible()
    assert "Open the image" in widget.form.form.reasons["channels"]
    viewer.layers.clear()
    assert widget.no_labels.isVisible()


@pytest.mark.parametrize(("shape", "rgb"), [((20, 30), False), ((3, 20, 30), False), ((20, 30, 3), True)])
def test_labels_are_added_that_fit_the_image(viewer, widget, qtbot, shape, rgb):
    image = viewer.add_image(np.zeros(shape, np.uint8), rgb=rgb, name="dapi", scale=(0.5, 0.5), translate=(3, 4))
    viewer.add_points([[0, 0]])
    qtbot.mouseClick(widget.no_labels.add_button, Qt.MouseButton.LeftButton)
    labels = viewer.layers.selection.active
    assert isinstance(labels, Labels)
    assert (labels.name, labels.mode) == ("dapi labels", "paint")
    assert labels.data.shape == (shape[:2] if rgb else shape)
    np.testing.assert_allclose(labels.extent.world, image.extent.world)
    assert widget.form.isVisible()
    assert "channels" not in widget.form.form.reasons


def test_a_sample_leads_on_from_an_empty_viewer(viewer, widget, qtbot):
    qtbot.mouseClick(widget.no_labels.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(widget.form.isVisible)
    assert widget.button.isEnabled() or widget.form.form.reasons.keys() == {"pixel_size"}


def test_a_result_goes_with_its_labels(viewer, widget, dapi, tmp_path, export):
    labels = viewer.add_labels(squares()[0], name="nuclei", **IN_MICROMETRES)
    export()
    assert widget.result.isVisible()
    other = viewer.add_labels(squares()[0])
    viewer.layers.remove(other)
    assert widget.result.isVisible()
    viewer.layers.remove(labels)
    assert not widget.result.isVisible()


def test_what_belongs_to_the_labels_is_proposed_and_exported(viewer, widget, dapi, tmp_path, export, tick):
    viewer.add_image(squares()[1], name="actin", **IN_MICROMETRES)
    viewer.add_image(np.zeros((32, 32)), name="overview")
    viewer.add_image(np.eye(*SHAPE)[..., np.newaxis] * [0.1, 0.2, 0.3], rgb=True, name="photo", **IN_MICROMETRES)
    assert [box.isChecked() for box in boxes(widget)] == [True] + 5 * [False]
    assert [box.isEnabled() for box in boxes(widget)] == [True, True, False, True, True, True]
    assert "32 × 32" in boxes(widget)[2].toolTip()
    tick(1)
    assert [name.text() for name in names(widget)][:2] == ["DAPI", "actin"]
    assert widget.form.population.value == "nuclei"
    folder = tmp_path / "exp" / "annotations_nuclei"
    assert "DAPI.tif" in widget.preview.text().replace("\u200b", "")
    assert "(0 → 1 image)" in widget.preview.text()
    export()
    image = written(folder)["DAPI"]
    np.testing.assert_array_equal(image.labels, dapi.data)
    np.testing.assert_array_equal(image.image, [viewer.layers["DAPI"].data, viewer.layers["actin"].data])
    assert (image.channels, image.pixel_size) == (("DAPI", "actin"), 0.325)
    assert "Wrote 1 annotated image to" in widget.result.line.text()
    assert "(1 → 1 image). It already exists" in widget.preview.text()


def test_choices_follow_layers_that_are_renamed_and_removed(viewer, widget, dapi):
    viewer.add_labels(np.zeros(SHAPE, int), name="other")
    viewer.layers.selection.active = dapi
    assert widget.form.labels.value is dapi
    dapi.name = "my cells, 2nd"
    viewer.layers["DAPI"].name = "Hoechst"
    assert widget.form.labels.value is dapi
    assert widget.form.labels.current_choice == "my cells, 2nd"
    assert widget.form.population.value == "my_cells_2nd"
    assert names(widget)[0].text() == "Hoechst"
    widget.form.population.value = "cells"
    dapi.name = "third"
    assert widget.form.population.value == "cells"
    viewer.layers.remove(dapi)
    assert widget.form.labels.value is viewer.layers["other"]
    viewer.layers.remove("Hoechst")
    assert boxes(widget) == []


def test_colours_are_three_channels(viewer, widget, tmp_path, qtbot, export, tick):
    labels, image = squares()
    viewer.add_image(np.dstack([image, image + 1, image + 2]).astype(np.uint8), name="stain", rgb=True)
    viewer.add_labels(labels, name="nuclei")
    widget.form.folder.value = tmp_path
    assert [box.isChecked() for box in boxes(widget)] == [True, True, True]
    tick(1)
    qtbot.mouseClick(widget.form.pixel_size["unknown"].native, LEFT)
    export()
    image = written(tmp_path / "annotations_nuclei")["stain"]
    assert image.channels == ("stain red", "stain blue")
    np.testing.assert_array_equal(image.image[1], viewer.layers["stain"].data[..., 2])


def test_a_channel_needs_a_name_of_its_own(viewer, widget, dapi, qtbot, tick):
    viewer.add_image(squares()[1], name="actin", **IN_MICROMETRES)
    tick(1)
    second = names(widget)[1]
    second.selectAll()
    qtbot.keyClicks(second, "DAPI")
    assert "Two channels are called 'DAPI'" in widget.form.form.reasons["channels"]
    assert not widget.button.isEnabled()
    second.selectAll()
    qtbot.keyClick(second, Qt.Key.Key_Delete)
    assert "Give the channel of 'actin' a name" in widget.form.form.reasons["channels"]
    qtbot.keyClicks(second, "F-actin")
    viewer.layers["actin"].name = "phalloidin"
    assert second.text() == "F-actin"
    assert widget.button.isEnabled()


def test_channels_are_named_as_in_the_folders_other_images(widget, dapi, annotation_folder):
    folder = annotation_folder("exp/annotations_nuclei", channels=("Hoechst 33342",))
    widget.form.follow()
    assert names(widget)[0].text() == "Hoechst 33342"
    assert "(4 → 5 images)" in widget.preview.text()
    assert widget.form.plan().folder == folder


def test_the_frame_shown_or_a_range_of_frames_is_exported(viewer, widget, time_lapse, tmp_path, export):
    viewer.dims.set_point(0, 2)
    assert "movie_t002.tif" in widget.preview.text().replace("\u200b", "")
    assert widget.form.parts.text() == "Frames and crops (frame 2)"
    export()
    folder = tmp_path / "annotations_nuclei"
    assert list(written(folder)) == ["movie_t002"]
    parts = widget.form.parts.form
    parts["which"].value = RANGE
    parts["range"]["first"].value = 3
    parts["range"]["last"].value = 1
    assert "Frame 3 comes after frame 1" in parts.reasons["range"]
    assert not widget.button.isEnabled()
    parts["range"]["first"].value, parts["range"]["last"].value = 0, 1
    assert "Writes 2 images" in widget.preview.text()
    export()
    images = written(folder)
    assert [image.frame for image in images.values()] == [0, 1, 2]
    for frame, image in enumerate(images.values()):
        np.testing.assert_array_equal(image.labels, time_lapse.data[frame])
    assert len({image.group for image in images.values()}) == 1


def test_crops_are_those_of_a_shapes_layer(viewer, widget, time_lapse, tmp_path, export, qtbot):
    viewer.dims.set_point(0, 0)
    shapes = viewer.add_shapes(name="fields", scale=(0.5, 0.5), units=("um", "um"))
    widget.form.parts.shapes.value = shapes
    assert "no rectangle" in widget.form.parts.form.reasons["shapes"]
    assert not widget.button.isEnabled()
    shapes.add_rectangles([[4, 10], [4, 40], [30, 40], [30, 10]])
    shapes.add_polygons([[40, 50], [60, 60], [50, 200]])
    qtbot.waitUntil(lambda: widget.form.parts.text() == "Frames and crops (frame 0, 2 crops)")
    export()
    images = written(tmp_path / "annotations_nuclei")
    assert list(images) == ["movie_t000_roi_10_40_4_30", "movie_t000_roi_50_96_40_60"]
    np.testing.assert_array_equal(images["movie_t000_roi_10_40_4_30"].labels, time_lapse.data[0, 4:30, 10:40])
    assert len({image.group for image in images.values()}) == 1


@pytest.mark.parametrize(
    ("verb", "replaced", "added"),
    [("Replace them", True, True), ("Write only new ones", False, True), ("Go back", False, False)],
)
def test_nothing_is_overwritten_without_asking(widget, time_lapse, tmp_path, export, qtbot, verb, replaced, added):
    parts = widget.form.parts.form
    parts["which"].value = RANGE
    parts["range"]["last"].value = 1
    export()
    time_lapse.data = time_lapse.data + 10 * (time_lapse.data > 0)
    parts["range"]["last"].value = 3
    assert "(2 → 4 images). 2 of them already exist" in widget.preview.text()
    widget.result.hide()
    qtbot.mouseClick(widget.button, LEFT)
    answer(widget, qtbot, verb)
    if verb != "Go back":
        qtbot.waitUntil(widget.result.isVisible)
    images = written(tmp_path / "annotations_nuclei")
    assert len(images) == (4 if added else 2)
    assert (images["movie_t000"].labels.max() > 10) == replaced


def test_an_unknown_pixel_size_is_asked_for(viewer, widget, tmp_path, qtbot, export):
    labels, image = squares()
    viewer.add_image(image, name="DAPI")
    viewer.add_labels(labels, name="nuclei")
    widget.form.folder.value = tmp_path
    number, unknown = widget.form.pixel_size["number"], widget.form.pixel_size["unknown"]
    assert "have no pixel size" in widget.form.form.reasons["pixel_size"]
    assert not widget.button.isEnabled()
    for text, size in (("none", None), ("-1", None), ("0,5", 0.5), ("0.25", 0.25)):
        number.value = text
        assert widget.form.pixel_size.value() == size
        assert ("pixel_size" in widget.form.form.reasons) == (size is None)
        assert not unknown.native.isVisible()
    number.value = ""
    qtbot.mouseClick(unknown.native, LEFT)
    export()
    assert written(tmp_path / "annotations_nuclei")["DAPI"].pixel_size is None
    for layer in viewer.layers:
        layer.units, layer.scale = ("nm", "nm"), (100, 100)
    assert number.value == "0.1"
    assert widget.form.pixel_size["unit"].value == "µm from layer"
    number.value = "0.2"
    for layer in viewer.layers:
        layer.scale = (50, 50)
    assert number.value == "0.2"


class SlowImage:
    """Frames that take a while to read, and where they were read."""

    def __init__(self, frames):
        labels, image = squares()
        self.labels = np.stack([labels] * frames)
        self.threads = set()
        self.slow = False
        self.data = dask.array.map_blocks(
            self._read, dtype=image.dtype, chunks=((1,) * frames, *((size,) for size in SHAPE)), image=image
        )

    def _read(self, image, block_info=None):
        if self.slow:
            self.threads.add(threading.current_thread())
            time.sleep(0.05)
        return image[np.newaxis]


@pytest.fixture
def slow(viewer, widget, tmp_path):
    """Thirty frames, of which each takes 50 ms to read."""
    image = SlowImage(30)
    scaled = {"scale": (1, 0.5, 0.5), "units": ("pixel", "um", "um")}
    viewer.add_image(image.data, name="movie", contrast_limits=(0, 600), **scaled)
    viewer.add_labels(dask.array.from_array(image.labels, chunks=(1, -1, -1)), name="nuclei", **scaled)
    widget.form.folder.value = tmp_path
    widget.form.parts.form["which"].value = RANGE
    image.slow = True
    return image


def test_what_is_painted_after_the_click_is_not_in_the_files(viewer, widget, slow, tmp_path, qtbot):
    layer = viewer.add_labels(slow.labels.copy(), name="painted", scale=(1, 0.5, 0.5), units=("pixel", "um", "um"))
    widget.form.labels.value = layer
    widget.form.parts.form["range"]["last"].value = 3
    qtbot.mouseClick(widget.button, LEFT)
    layer.data[:] = 99
    qtbot.waitUntil(widget.result.isVisible)
    images = written(tmp_path / "annotations_painted")
    assert len(images) == 4
    for frame, image in enumerate(images.values()):
        np.testing.assert_array_equal(image.labels, slow.labels[frame])


def test_stop_keeps_what_is_written(widget, slow, tmp_path, qtbot):
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(lambda: "left" in widget.progress.line.text())
    assert not widget.button.isVisible()
    assert widget.progress.isVisible()
    qtbot.mouseClick(widget.stop_button, LEFT)
    qtbot.waitUntil(widget.button.isVisible)
    images = written(tmp_path / "annotations_nuclei")
    assert 3 <= len(images) < 30
    assert f"Wrote {len(images)} of 30" in widget.result.line.text()
    assert not list((tmp_path / "annotations_nuclei").glob(".*"))
    assert threading.main_thread() not in slow.threads
    assert not widget.progress.isVisible()


def test_a_dock_may_be_closed_while_it_exports(viewer, widget, slow, tmp_path, qtbot):
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(lambda: "left" in widget.progress.line.text())
    viewer.window.remove_dock_widget(widget)
    assert opened(viewer, EXPORT) is None
    qtbot.waitUntil(lambda: not is_alive(widget))
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)
    assert len(written(tmp_path / "annotations_nuclei")) < 30
    viewer.dims.set_point(0, 5)
    viewer.add_labels(np.zeros((4, 4), int))
    assert open_dock(viewer, EXPORT).form.isVisible()


@pytest.mark.parametrize(("folder", "reason"), [("", "Choose the folder"), ("exp", "only a part"), ("file", "a file")])
def test_a_folder_that_cannot_be_is_refused(widget, dapi, tmp_path, folder, reason):
    (tmp_path / "file").touch()
    widget.form.folder.line_edit.value = str(tmp_path / "file") if folder == "file" else folder
    assert reason in widget.form.form.reasons["folder"]
    assert not widget.button.isEnabled()
    widget.form.folder.value = tmp_path / "annotations_nuclei"
    assert "itself an annotation folder" in widget.form.form.reasons["folder"]


def test_what_the_disk_refuses_is_told_in_one_line(viewer, widget, dapi, tmp_path, export):
    (tmp_path / "file").touch()
    widget.form.folder.value = tmp_path / "file" / "inside"
    export()
    assert "Cannot write 'DAPI' to" in unescape(widget.result.line.text())
    assert not widget.result.train.isVisible()
    widget.form.folder.value = tmp_path
    viewer.layers["DAPI"].name = "long " * 60
    assert "is too long for a file name" in widget.form.form.reasons["image_name"]
    assert not widget.button.isEnabled()
    area = widget.findChild(QScrollArea)
    assert area.widget().width() <= area.viewport().width()


def test_populations_are_names_of_folders(widget, dapi):
    for name, bad in (("a/b", "'/'"), ("", "Enter what"), ("x" * 101, "101"), ("ü-1_b", "")):
        widget.form.population.value = name
        assert bad in widget.form.form.reasons.get("population", "")
        assert widget.button.isEnabled() == (not bad)


def test_a_click_on_a_finding_moves_the_viewer_to_the_object(viewer, widget, time_lapse, export, qtbot):
    time_lapse.data[2, 60:62, 90:92] = 3
    shapes = viewer.add_shapes([[[30, 40], [30, 96], [64, 96], [64, 40]]], scale=(0.5, 0.5), units=("um", "um"))
    widget.form.parts.shapes.value = shapes
    viewer.dims.set_point(0, 2)
    export()
    finding = next(finding for finding in widget.result.findings.findings if finding.code == "tiny-object")
    assert finding.label == 3
    viewer.dims.set_point(0, 0)
    viewer.layers.selection.active = shapes
    viewer.scene.camera.zoom = 0.1
    widget.result.findings.chosen.emit(finding)
    assert viewer.dims.current_step[0] == 2
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (60.5 * 0.5, 90.5 * 0.5), atol=0.1)
    assert viewer.scene.camera.zoom >= 4
    assert viewer.layers.selection.active is time_lapse
    assert time_lapse.selected_label == 3


def test_selected_layers_are_chosen(viewer, widget, dapi):
    other = viewer.add_image(squares()[1], name="actin", **IN_MICROMETRES)
    labels = viewer.add_labels(np.zeros(SHAPE, int), name="cells", **IN_MICROMETRES)
    widget.select_layers([other, labels])
    assert widget.form.labels.value is labels
    assert [box.isChecked() for box in boxes(widget)] == [False, True]
    widget.select_layers([dapi])
    assert widget.form.labels.value is dapi
    assert [box.isChecked() for box in boxes(widget)] == [True, False]
    viewer.layers.selection.active = dapi
    viewer.layers.selection.active = labels
    assert [box.isChecked() for box in boxes(widget)] == [False, True]


def test_an_image_that_was_opened_is_corrected_in_place(viewer, widget, annotation_folder, qtbot, export):
    folder = annotation_folder("exp/annotations_nuclei")
    layers = add_layers(viewer, read_folder(folder))
    qtbot.waitUntil(lambda: len(viewer.layers) == len(layers))
    assert widget.form.plan().folder == folder
    viewer.dims.set_point(0, 1)
    labels = widget.form.labels.value
    labels.data[1][labels.data[1] == 2] = 0
    qtbot.mouseClick(widget.button, LEFT)
    answer(widget, qtbot, "Replace it")
    qtbot.waitUntil(widget.result.isVisible)
    assert len(AnnotationFolder.open(folder)) == 4
    assert 2 not in written(folder)["cell_01"].labels


def test_of_a_folder_that_is_open_twice_the_labels_own_images_count(viewer, widget, annotation_folder, qtbot):
    folder = annotation_folder("exp/annotations_nuclei", channels=("dapi", "gfp"))
    first = add_layers(viewer, read_folder(folder))
    qtbot.waitUntil(lambda: len(viewer.layers) == len(first))
    second = add_layers(viewer, read_folder(folder))
    qtbot.waitUntil(lambda: len(viewer.layers) == len(first + second))
    for layers in (first, second):
        viewer.layers.selection.active = layers[-1]
        plan = widget.form.plan()
        assert [source.layer for source, _ in plan.channels] == layers[:-1]
        assert [name for _, name in plan.channels] == ["dapi", "gfp"]


def test_the_tab_key_goes_from_top_to_bottom(viewer, widget, dapi, qtbot):
    viewer.add_image(squares()[1], name="actin", **IN_MICROMETRES)
    stops = [widget.form.labels.native, *(part for row in widget.form.channels._rows for part in (row.box, row.name))]
    stops += [widget.form.population.native, widget.form.folder.line_edit.native, widget.button]
    chain = [stops[0]]
    while (following := chain[-1].nextInFocusChain()) is not stops[0]:
        chain.append(following)
    assert [stop for stop in chain if stop in stops] == stops


def test_training_goes_on_from_here(viewer, widget, dapi, tmp_path, export, qtbot):
    export()
    qtbot.mouseClick(widget.result.train, LEFT)
    assert opened(viewer, TRAIN).job_form.data.folders() == (tmp_path / "exp" / "annotations_nuclei",)
