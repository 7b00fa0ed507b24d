"""The dock that segments, driven as a user does, with real prediction processes."""

import json
import os
import re
import shutil
import threading
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QMessageBox

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.napari_plugin.layers.planes import PROVENANCE
from napari_seg_trainer.napari_plugin.parts.docks import SEGMENT, TRAIN, open_dock, opened
from napari_seg_trainer.napari_plugin.segment import widget as segment_widget
from napari_seg_trainer.napari_plugin.segment.frames import ALL, FOLDER
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel
from testkit import processes

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def segment(viewer, qtbot):
    """Open the dock and wait until this model is chosen."""

    def open_it(model):
        widget = open_dock(viewer, SEGMENT)
        qtbot.waitUntil(lambda: widget.model_name == model)
        return widget

    return open_it


@pytest.fixture
def run(qtbot):
    """Click on the button, wait for the end, and return what is said."""

    def click(widget):
        qtbot.mouseClick(widget.button, LEFT)
        qtbot.waitUntil(widget.stop_button.isVisible)
        qtbot.waitUntil(widget.stop_button.isHidden)
        return widget.progress.line.text()

    return click


@pytest.fixture
def wilful_model(home, tmp_path, monkeypatch):
    """A maker of models of an engine whose predictions do what their settings say, and of one that lacks a package."""
    site = tmp_path / "site"
    info = site / "wilful_engine-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[1] / "segmentation" / "wilful_engine.py", site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wilful-engine\nVersion: 1.0\n")
    engines = "wilful = wilful_engine:SPEC\nlacking = wilful_engine:LACKING\n"
    (info / "entry_points.txt").write_text(f"[napari_seg_trainer.engines]\n{engines}")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))

    def make(name="wilful", engine="wilful"):
        finished = tmp_path / f"finished-{name}"
        finished.mkdir()
        (finished / "weights.txt").write_text(name)
        channels = (ModelChannel(name="dapi"),)
        card = ModelCard(name=name, engine=engine, created=datetime.now(UTC), channels=channels)
        return ModelLibrary().register(finished, card)

    return make


def discs(objects, size=48):
    """Return an image with so many bright squares."""
    image = np.full((size, size), 100, np.uint16)
    for i in range(objects):
        image[8 * i + 2 : 8 * i + 7, 4:12] = 500
    return image


def choices(widget):
    return [offer.name if offer else None for offer in widget.form.inputs.chosen()]


def field(widget, place):
    return widget.form.form.field(f"input_{place}")


def write_images(folder, *counts, channels=("dapi",), pixel_size=0.5):
    rng = np.random.default_rng(0)
    for i, count in enumerate(counts):
        planes = np.stack([discs(count), *(rng.integers(0, 9, (48, 48)).astype(np.uint16) for _ in channels[1:])])
        AnnotatedImage(planes, np.zeros((48, 48), np.int32), channels, f"cell_{i}", pixel_size=pixel_size).write(folder)
    return folder


def choose_folder(widget, folder, qtbot):
    qtbot.mouseClick(widget.form.frames.buttons[FOLDER].native, LEFT)
    widget.form.folders.images.line_edit.value = str(folder)
    qtbot.waitUntil(lambda: bool(widget.form.folders.content.images))


def test_the_newest_model_is_chosen_with_its_card(segment, toy_model):
    toy_model("old")
    toy_model("new", ("dapi", "actin"), pixel_size=0.325, scores={"ap50": 0.914})
    widget = segment("new")
    assert list(widget.form.model.choices) == ["new", "old", "nuclei_fluorescence", "nuclei_tissue"]
    assert widget.form.card.value.replace("\u00a0", " ") == "Toy · 2 channels · 0.325 µm · AP50 0.91"
    assert "Open an image" in widget.reason


def test_a_finished_training_selects_its_model(segment, toy_model, qtbot):
    toy_model("first")
    widget = segment("first")
    widget.select_model("second")  # by the run's view, which may be faster than the disk
    toy_model("second")
    qtbot.waitUntil(lambda: widget.model_name == "second")
    toy_model("third")  # of another training: what the user works with stays
    qtbot.waitUntil(lambda: "third" in widget.form.model.choices)
    assert widget.model_name == "second"
    ModelLibrary().rename("second", "renamed")
    qtbot.waitUntil(lambda: widget.model_name == "renamed")
    ModelLibrary().delete("renamed")
    qtbot.waitUntil(lambda: widget.model_name == "third")


def test_without_a_model_there_is_a_way_to_the_training(viewer, home, qtbot, monkeypatch):
    monkeypatch.setattr(segment_widget, "list_starters", list)  # as where no engine is installed
    widget = open_dock(viewer, SEGMENT)
    qtbot.waitUntil(widget.no_model.isVisible)
    assert not widget.button.isEnabled()
    assert widget.form.isHidden()
    qtbot.mouseClick(widget.no_model.button, LEFT)
    assert opened(viewer, TRAIN) is not None


def test_before_anything_is_trained_a_starter_segments(viewer, home, qtbot):
    image = builtin_folder("nuclei_dsb2018", "test") / "1609b1b8480e.tif"
    viewer.open(image, plugin="napari")
    widget = open_dock(viewer, SEGMENT)
    qtbot.waitUntil(widget.button.isEnabled)
    assert widget.model_name == "nuclei_fluorescence"
    before = len(viewer.layers)
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(lambda: len(viewer.layers) > before)
    assert viewer.layers[-1].data.max() > 3


def test_an_engine_that_is_not_installed_tells_its_command(segment, wilful_model, viewer, qtbot):
    viewer.add_image(discs(2), name="dapi")
    wilful_model("lacking", engine="lacking")
    widget = segment("lacking")
    assert not widget.button.isEnabled()
    assert "Lacking is not installed here" in widget.reason
    qtbot.mouseClick(widget.install.button, LEFT)
    assert QGuiApplication.clipboard().text() == "python -m pip install wilful-framework"


def test_an_engine_that_nobody_knows_is_named(segment, wilful_model, viewer):
    viewer.add_image(discs(2), name="dapi")
    wilful_model("foreign", engine="gone")
    assert "no engine 'gone'" in segment("foreign").reason


def test_channels_are_matched_by_name_and_follow_the_viewer(segment, toy_model, viewer):
    toy_model("two", ("dapi", "actin"))
    viewer.add_image(discs(1), name="Actin ")
    widget = segment("two")
    assert choices(widget) == [None, "Actin "]
    assert "'dapi'" in widget.reason
    nuclei = viewer.add_image(discs(1), name="nuclei")
    field(widget, 0).value = next(offer for offer in field(widget, 0).choices if offer and offer.name == "nuclei")
    assert widget.button.isEnabled()
    viewer.add_image(discs(1), name="DAPI")  # what the user chose stays
    nuclei.name = "renamed"
    viewer.layers.move(0, 2)
    assert choices(widget) == ["renamed", "Actin "]
    viewer.layers.remove(nuclei)
    assert choices(widget) == ["DAPI", "Actin "]


def test_the_only_image_and_the_active_one_are_meant(segment, toy_model, viewer):
    toy_model("bright")
    first = viewer.add_image(discs(1), name="C1")
    widget = segment("bright")
    assert choices(widget) == ["C1"]
    second = viewer.add_image(discs(1), name="C2")
    assert choices(widget) == ["C1"]
    widget.select_layers([second])
    assert choices(widget) == ["C2"]
    viewer.layers.remove(second)
    assert choices(widget) == ["C1"]
    viewer.layers.remove(first)
    assert choices(widget) == [None]


def test_colours_are_channels(segment, toy_model, viewer, run):
    toy_model("stained", ("red", "blue"))
    pixels = np.zeros((48, 48, 3), np.uint8)
    pixels[4:12, 4:12, 0] = pixels[4:12, 4:12, 2] = pixels[30:40, 30:40, 1] = 250
    viewer.add_image(pixels, name="slide", rgb=True)
    widget = segment("stained")
    assert choices(widget) == ["slide red", "slide blue"]
    assert run(widget).startswith("1 object in ")
    labels = viewer.layers["slide · stained"]
    assert labels.data.shape == (48, 48)
    assert labels.metadata[PROVENANCE]["channels"] == {"red": "slide red", "blue": "slide blue"}


def test_a_grey_picture_is_each_colour(segment, toy_model, viewer, run, tmp_path):
    toy_model("stained", ("red", "green", "blue"))
    pixels = np.zeros((48, 48), np.uint8)
    pixels[4:12, 4:12] = 250
    viewer.add_image(np.dstack([pixels] * 3), name="photo", rgb=True)
    widget = segment("stained")
    assert choices(widget) == ["photo"] * 3
    assert run(widget).startswith("1 object in ")
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8), name="slide", rgb=True)
    assert choices(widget) == ["slide red", "slide green", "slide blue"]  # which has them by name


@pytest.mark.parametrize(
    ("other", "said"),
    [((40, 48), "48 × 48 and 'actin' is 40 × 48 pixels"), ((3, 48, 48), "4 frames and 'actin' has 3")],
)
def test_layers_that_do_not_fit_are_refused(segment, toy_model, viewer, other, said):
    toy_model("two", ("dapi", "actin"))
    viewer.add_image(np.zeros((4, 48, 48)), name="dapi")
    viewer.add_image(np.zeros(other), name="actin")
    widget = segment("two")
    assert said.split(" and ")[1] in widget.reason
    assert widget.form.form.reasons["input_1"] == widget.reason


@pytest.mark.parametrize(
    ("where", "said"), [({"translate": (0, 5)}, "Image 'dapi' lies 0 × -5 pixels away"), ({"scale": (2, 2)}, "scale")]
)
def test_images_at_another_place_or_scale_are_refused(segment, toy_model, viewer, where, said):
    toy_model("two", ("dapi", "actin"))
    viewer.add_image(np.zeros((48, 48)), name="dapi")
    viewer.add_image(np.zeros((48, 48)), name="actin", **where)
    widget = segment("two")
    assert said in widget.form.form.reasons["input_1"]
    assert not widget.button.isEnabled()


def test_the_frame_that_is_shown_becomes_labels_in_its_place(segment, toy_model, viewer, run, tmp_path):
    model = toy_model("bright", pixel_size=0.5)
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, np.stack([discs(i) for i in range(4)]), photometric="minisblack")
    (image,) = viewer.open(path, plugin="napari", name="DAPI", scale=(60, 0.5, 0.5), translate=(0, 10, 20), rotate=5)
    image.units, image.axis_labels = ("s", "um", "um"), ("t", "y", "x")
    viewer.dims.set_current_step(0, 3)
    widget = segment("bright")
    assert run(widget).startswith("3 objects in ")
    labels = viewer.layers["DAPI · bright"]
    assert isinstance(labels, Labels)
    assert labels.data.dtype == np.int32
    assert [int(plane.max()) for plane in labels.data] == [0, 0, 0, 3]
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(labels, name), getattr(image, name))
    assert (labels.units, labels.axis_labels) == (image.units, image.axis_labels)
    made = json.loads(json.dumps(labels.metadata[PROVENANCE]))
    assert (made["model"], made["engine"], made["files"]) == ("bright", "toy", model.card.files)
    assert (made["channels"], made["images"]) == ({"dapi": "DAPI"}, {"dapi": str(path)})
    assert (made["pixel_size"], made["frames"], made["settings"]) == (0.5, [3], {})
    assert datetime.fromisoformat(made["created"]) == model.card.created


def test_the_second_image_needs_no_loading_and_edits_stay(segment, wilful_model, viewer, run, home):
    wilful_model()
    image = viewer.add_image(discs(2), name="dapi")
    widget = segment("wilful")
    assert run(widget).endswith("including loading the model.")
    first = viewer.layers["dapi · wilful"]
    first.data[...] = 7
    image.data = discs(5)
    assert run(widget).startswith("5 objects in ")
    assert "loading" not in widget.progress.line.text()
    assert (first.data == 7).all()
    assert viewer.layers["dapi · wilful [1]"].data.max() == 5
    assert (home / "loads.txt").read_text().split() == ["wilful"]
    assert len(set((home / "predictions.txt").read_text().split())) == 1


def test_all_frames_are_segmented_from_dask(segment, toy_model, viewer, run, qtbot):
    toy_model("bright", ("dapi", "mask"))
    frames = np.stack([[discs(i + j) for j in range(3)] for i in range(2)])
    viewer.add_image(da.from_array(frames, chunks=(1, 1, 48, 48)), name="dapi")
    viewer.add_image(discs(5), name="mask")  # one plane for all frames
    widget = segment("bright")
    qtbot.mouseClick(widget.form.frames.buttons[ALL].native, LEFT)
    assert run(widget).startswith("9 objects in 6 frames in ")
    labels = viewer.layers["dapi · bright"]
    assert labels.data.shape == (2, 3, 48, 48)
    assert [[int(plane.max()) for plane in stack] for stack in labels.data] == [[0, 1, 2], [1, 2, 3]]


def test_stop_keeps_the_frames_that_are_done(segment, wilful_model, viewer, qtbot):
    wilful_model()
    viewer.add_image(np.stack([discs(3)] * 500), name="dapi")
    widget = segment("wilful")
    widget.form.thresholds.fields.form.field("seconds").value = "0.02"
    qtbot.mouseClick(widget.form.frames.buttons[ALL].native, LEFT)
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(lambda: " left" in widget.progress.line.text())
    assert not widget.button.isEnabled()
    qtbot.mouseClick(widget.stop_button, LEFT)
    qtbot.waitUntil(widget.stop_button.isHidden)
    done = sum(bool(plane.any()) for plane in viewer.layers["dapi · wilful"].data)
    assert 3 <= done < 500
    assert viewer.layers["dapi · wilful"].metadata[PROVENANCE]["frames"] == list(range(done))
    assert widget.progress.line.text().startswith(f"Stopped: {3 * done} objects in {done} of 500 frames")
    assert not widget.progress.problem.text()
    assert widget.button.isEnabled()


def test_a_large_image_shows_how_far_it_is(segment, wilful_model, viewer, qtbot):
    wilful_model()
    viewer.add_image(discs(3), name="dapi")
    widget = segment("wilful")
    for name, value in (("seconds", "600"), ("tiles", "2000")):
        widget.form.thresholds.fields.form.field(name).value = value
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(lambda: re.fullmatch(r"Segmenting: \d+%, [\d:]+ left", widget.progress.line.text()) is not None)
    before = widget.progress.bar.value()
    assert 0 < before < widget.progress.bar.maximum()
    qtbot.waitUntil(lambda: widget.progress.bar.value() > before)
    qtbot.mouseClick(widget.stop_button, LEFT)
    qtbot.waitUntil(widget.stop_button.isHidden)
    assert widget.progress.bar.isHidden()


def test_loading_can_be_stopped(segment, wilful_model, viewer, run, qtbot):
    wilful_model()
    viewer.add_image(discs(3), name="dapi")
    widget = segment("wilful")
    widget.form.thresholds.fields.form.field("seconds").value = "600"
    qtbot.mouseClick(widget.button, LEFT)
    assert widget.progress.line.text() == "Loading the model…"
    qtbot.waitUntil(lambda: bool(processes.children()))
    qtbot.mouseClick(widget.stop_button, LEFT)
    qtbot.waitUntil(widget.stop_button.isHidden)
    assert widget.progress.line.text() == "Stopped before anything was segmented."
    assert len(viewer.layers) == 1
    widget.form.thresholds.fields.form.field("seconds").value = "0"
    assert run(widget).startswith("3 objects")


def test_thresholds_are_the_models_own_unless_given(segment, wilful_model, viewer, run):
    wilful_model()
    viewer.add_image(np.kron(np.eye(4), np.full((8, 8), 100)) + np.arange(32), name="dapi")
    widget = segment("wilful")
    brightness = widget.form.thresholds.fields.form.field("brightness")
    assert brightness.native.placeholderText() == "0.5 (the model's)"
    brightness.value = "much"
    assert "Brightness must be a number" in widget.reason
    brightness.value = "5"
    assert "brightness 5" in widget.form.thresholds.text()
    assert run(widget).startswith("0 objects")
    assert viewer.layers[-1].metadata[PROVENANCE]["settings"] == {"brightness": 5}


@pytest.mark.parametrize(
    ("scale", "units", "known", "hint"),
    [
        (0.5, "um", "0.5", ""),
        (500, "nm", "0.5", ""),
        (1, "pixel", "", "trained at 0.5 µm"),
        (2.5, "um", "2.5", "enlarged 5-fold"),
        (0.1, "um", "0.1", "shrunk 5-fold"),
    ],
)
def test_the_pixel_size_is_the_images(segment, toy_model, viewer, scale, units, known, hint):
    toy_model("bright", pixel_size=0.5)
    viewer.add_image(discs(1), name="dapi", scale=(scale, scale), units=units)
    size = segment("bright").form
    assert size.pixel_size.number.value == known
    assert size.pixel_size.unit.value == ("µm from layer" if known else "µm")
    assert hint in unescape(size.hint.value)
    assert bool(hint) == bool(size.hint.value)


def test_an_unknown_pixel_size_can_be_typed(segment, toy_model, viewer, run, qtbot):
    toy_model("bright", pixel_size=0.5)
    image = viewer.add_image(discs(2), name="dapi")
    widget = segment("bright")
    number = widget.form.pixel_size.number
    number.native.clear()
    qtbot.keyClicks(number.native, "0,x")
    assert "'0,x' is not a pixel size" in widget.reason
    number.native.clear()
    qtbot.keyClicks(number.native, "0,25")
    run(widget)
    assert viewer.layers[-1].metadata[PROVENANCE]["pixel_size"] == 0.25
    image.units, image.scale = "um", (0.75, 0.75)
    assert number.value == "0,25"  # what was typed for this image
    viewer.add_image(discs(2), name="other", scale=(0.75, 0.75), units="um")
    widget.form.select_layers([viewer.layers["other"]])
    assert number.value == "0.75"
    widget.form.select_layers([image])
    assert number.value == "0,25"
    image.units = "pixel"
    assert number.value == "0,25"


def test_a_failure_is_one_line_and_what_is_done_stays(segment, wilful_model, viewer, run):
    wilful_model()
    viewer.add_image(discs(2), name="dapi")
    widget = segment("wilful")
    run(widget)
    widget.form.thresholds.fields.form.field("failure").value = "bug"
    assert run(widget) == ""
    assert "ValueError: first line" in unescape(widget.progress.problem.text())
    widget.form.thresholds.fields.form.field("failure").value = None
    widget.form.thresholds.fields.form.field("exits").value = "killed"
    run(widget)
    assert "prediction process of Wilful ended" in unescape(widget.progress.problem.text())
    widget.form.thresholds.fields.form.field("exits").value = None
    assert "loading" in run(widget)
    assert not widget.progress.problem.text()
    assert len(viewer.layers) == 3


def test_labels_that_no_memory_could_hold_are_refused(segment, toy_model, viewer, qtbot):
    toy_model("bright")
    viewer.add_image(da.zeros((10**6, 4096, 4096), chunks=(1, 4096, 4096)), name="dapi", contrast_limits=(0, 1))
    widget = segment("bright")
    assert widget.button.isEnabled()
    qtbot.mouseClick(widget.form.frames.buttons[ALL].native, LEFT)
    assert "need 62500.0 GiB of memory" in widget.reason


def test_a_folder_becomes_label_files_and_nothing_is_overwritten_unasked(segment, toy_model, run, tmp_path, qtbot):
    toy_model("bright", ("Dapi",), pixel_size=0.5)
    folder = write_images(tmp_path / "images", 1, 2, 3, channels=("actin", "dapi")[::-1])
    widget = segment("bright")
    choose_folder(widget, folder, qtbot)
    output = folder / "labels_bright"
    assert widget.form.folders.output_path() == output
    assert choices(widget) == ["dapi"]
    assert run(widget).startswith("6 objects in 3 images in ")
    assert sorted(os.listdir(output)) == [f"cell_{i}_labelled.tif" for i in range(3)]
    assert tifffile.imread(output / "cell_2_labelled.tif").max() == 3
    tifffile.imwrite(output / "cell_2_labelled.tif", np.zeros((48, 48), np.int32))
    (output / "cell_1_labelled.tif").unlink()
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(lambda: widget.findChild(QMessageBox) is not None)
    box = widget.findChild(QMessageBox)
    assert box.text().startswith("2 of 3 label files are already in ")
    (others,) = [button for button in box.buttons() if button.text() == "Skip existing"]
    qtbot.mouseClick(others, LEFT)
    qtbot.waitUntil(lambda: widget.progress.line.text().startswith("2 objects in "))
    assert tifffile.imread(output / "cell_2_labelled.tif").max() == 0


def test_a_file_that_cannot_be_segmented_stops_no_others(segment, toy_model, run, tmp_path, qtbot):
    toy_model("bright", ("dapi",))
    folder = write_images(tmp_path / "images", 1, 2)
    write_images(folder / "other", 1, channels=("phase",))
    for suffix in (".tif", ".json"):
        shutil.copy(folder / "other" / f"cell_0{suffix}", folder / f"cell_9{suffix}")
    (folder / "broken.tif").write_bytes(b"II*\0 and no more")
    (folder / "broken_labelled.tif").write_bytes(b"")
    (folder / "cell_1_labelled.tif").unlink()
    widget = segment("bright")
    qtbot.mouseClick(widget.form.frames.buttons[FOLDER].native, LEFT)
    widget.form.folders.images.line_edit.value = str(folder)
    qtbot.waitUntil(lambda: "broken.tif" in widget.reason)
    (folder / "broken.tif").rename(folder / "x_broken.tif")
    qtbot.waitUntil(widget.button.isEnabled)
    assert "3 objects in 2 of 4 images" in run(widget)
    problem = unescape(widget.progress.problem.text())
    assert "2 images could not be segmented" in problem
    assert "has no channel 'dapi'" in problem


def test_what_is_typed_counts_for_layers_and_for_all_files_of_a_folder(segment, toy_model, viewer, tmp_path, qtbot):
    toy_model("bright", pixel_size=0.5)
    viewer.add_image(discs(1), name="dapi", scale=(0.5, 0.5), units="um")
    widget = segment("bright")
    size = widget.form.pixel_size
    assert widget.form.task().request.pixel_size == 0.5
    size.number.native.clear()
    qtbot.keyClicks(size.number.native, "0.25")
    assert (widget.form.task().request.pixel_size, size.unit.value) == (0.25, "µm")
    choose_folder(widget, write_images(tmp_path / "images", 1, pixel_size=0.4), qtbot)
    # the first file's own is shown, and holds for that file alone
    assert (size.number.value, size.unit.value, widget.form.task().request.pixel_size) == ("0.4", "µm from files", None)
    size.number.native.clear()
    qtbot.keyClicks(size.number.native, "0.3")
    assert widget.form.task().request.pixel_size == 0.3
    size.number.native.clear()
    assert widget.form.task().request.pixel_size is None
    # of images that do not tell it, what was typed before is proposed, but each file's own counts
    choose_folder(widget, write_images(tmp_path / "others", 1, pixel_size=None), qtbot)
    size.number.value = "0.7"
    choose_folder(widget, write_images(tmp_path / "more", 1, pixel_size=None), qtbot)
    assert (size.number.value, size.value(), widget.form.task().request.pixel_size) == ("0.7", 0.7, None)


def test_files_whose_pixel_size_is_not_known_deserve_a_look(segment, toy_model, run, tmp_path, qtbot):
    toy_model("bright", pixel_size=0.5)
    folder = write_images(tmp_path / "images", 1, 2, 3, pixel_size=None)
    widget = segment("bright")
    choose_folder(widget, folder, qtbot)
    assert run(widget).startswith("6 objects in 3 images in ")
    problem = unescape(widget.progress.problem.text())
    assert "All images need a look. The pixel size is unknown" in problem


def test_no_process_is_left_when_the_viewer_closes(segment, wilful_model, viewer, qtbot):
    wilful_model()
    viewer.add_image(np.stack([discs(3)] * 50), name="dapi")
    widget = segment("wilful")
    widget.form.thresholds.fields.form.field("seconds").value = "0.2"
    qtbot.mouseClick(widget.form.frames.buttons[ALL].native, LEFT)
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    assert processes.children()
    with qtbot.waitSignal(widget.destroyed):
        viewer.close()
    qtbot.waitUntil(lambda: not processes.children())
    qtbot.waitUntil(lambda: not [thread for thread in threading.enumerate() if "Appose" in thread.name])


def test_no_process_is_left_when_the_dock_closes(segment, toy_model, viewer, run, qtbot):
    toy_model("bright")
    viewer.add_image(discs(3), name="dapi")
    widget = segment("bright")
    run(widget)
    assert processes.children()
    with qtbot.waitSignal(widget.destroyed):
        viewer.window.remove_dock_widget(widget.parentWidget())
    qtbot.waitUntil(lambda: not processes.children())
    viewer.add_image(discs(1))
    assert isinstance(viewer.layers[-1], Image)
