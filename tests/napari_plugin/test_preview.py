"""What the network finds, in a viewer: trainings of the toy engine, and runs that this process writes."""

import subprocess
import sys

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.napari_plugin.parts.canvas import canvas_of
from napari_seg_trainer.napari_plugin.run.preview import RunPreview
from napari_seg_trainer.napari_plugin.run.preview_layers import CONTOUR, PREDICTION, TRUTH
from napari_seg_trainer.napari_plugin.run.view import RunView
from napari_seg_trainer.napari_plugin.train.widget import TrainWidget
from napari_seg_trainer.runs.previews import MODEL, Previews, PreviewWriter, previews_folder
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import Evaluated, Finished, Started
from napari_seg_trainer.schema.job import TrainingJob

SIDE = 32


class Training:
    """A run that this process claims to train: the object of an image is as wide as the round's number."""

    def __init__(self, images=2, channels=("dapi", "actin"), pixel_size=0.5):
        self.run = Run.create(TrainingJob(name="nuclei", engine="toy", data=("annotations",)))
        self.run.claim()
        self.run.append(Started(epochs=10, steps_per_epoch=4, training_images=3, validation_images=1, device="toy"))
        self.channels = len(channels)
        self.images = [self.image(place) for place in range(images)]
        self.writer = PreviewWriter(self.run, channels, pixel_size, pytest.fail)

    def image(self, place):
        truth = np.zeros((SIDE + place, SIDE), np.int32)
        truth[4:20, 4:20] = place + 1
        pixels = np.stack([np.where(truth > 0, 1.0 + channel, 0.1 * place) for channel in range(self.channels)])
        return PreparedImage(f"annotations/cell_{place}", pixels.astype(np.float32), truth)

    @staticmethod
    def found(image, done):
        labels = np.zeros_like(image.labels)
        labels[4:20, 4 : 4 + (16 if done == MODEL else done)] = 7
        return labels

    def score(self, *rounds):
        self.writer.choose(self.images)
        for done in rounds:
            for image in self.images:
                self.writer.keep(done, image.name, self.found(image, done))
            epoch = None if done == MODEL else done
            self.run.append(Evaluated(dataset="validation", images=2, scores={"f1_50": 0.5, "ap50": 0.5}, epoch=epoch))


@pytest.fixture
def training(home):
    return Training()


@pytest.fixture
def view(docked, viewer_model):
    return docked(RunView(viewer_model))


@pytest.fixture
def tick(qtbot):
    """Tick the box with the mouse once that is possible."""

    def press(preview):
        qtbot.waitUntil(lambda: preview.box.isEnabled())
        place = preview.box.rect().center()
        place.setX(8)
        qtbot.mouseClick(preview.box, Qt.MouseButton.LeftButton, pos=place)

    return press


@pytest.fixture
def shown(view, viewer_model, training, qtbot, tick):
    """The preview of the training after two rounds."""
    training.score(1, 2)
    view.show_run(training.run)
    tick(view.preview)
    qtbot.waitUntil(lambda: PREDICTION in viewer_model.layers)
    return view.preview


def width(viewer):
    """How wide the object is that is shown, in pixels."""
    return int((viewer.layers[PREDICTION].data == 7).any(axis=0).sum())


def names(viewer):
    return [layer.name for layer in viewer.layers]


OURS = ["dapi", "actin", TRUTH, PREDICTION]


# what is shown


def test_ticking_adds_image_truth_and_prediction(shown, viewer_model, training):
    assert names(viewer_model) == OURS
    first = training.images[0]
    for place, layer in enumerate(viewer_model.layers[:2]):
        assert isinstance(layer, Image)
        assert np.allclose(layer.data, first.image[place], atol=1e-3)
        assert layer.contrast_limits == pytest.approx([0, place + 1])
    assert [layer.colormap.name for layer in viewer_model.layers[:2]] == ["magenta", "green"]
    truth, prediction = viewer_model.layers[2:]
    assert np.array_equal(truth.data, first.labels)
    assert np.array_equal(prediction.data, training.found(first, 2))
    assert isinstance(prediction, Labels)
    assert truth.contour == prediction.contour == CONTOUR
    assert not truth.editable
    assert not prediction.editable
    blue, orange = (layer.get_color(1) for layer in (truth, prediction))
    assert blue[2] > 0.8 > 0.4 > blue[0]
    assert orange[0] > 0.8 > 0.1 > orange[2]
    assert tuple(truth.scale) == (0.5, 0.5)
    assert str(truth.units[0]) == "micrometer"
    assert shown.when.text() == "after epoch 2"
    assert shown.problem == ""


def test_the_view_fits_in_an_empty_viewer(shown, viewer):
    assert viewer.scene.camera.center[-2:] == pytest.approx((0.25 * SIDE, 0.25 * SIDE), abs=0.5)
    assert viewer.scene.camera.zoom > 10


def test_the_images_are_called_after_their_files(shown):
    assert [shown.images.itemText(place) for place in range(shown.images.count())] == ["cell_0", "cell_1"]


def test_pixels_without_a_size_have_none(view, viewer_model, home, qtbot, tick):
    plain = Training(channels=("channel 0",), pixel_size=None)
    plain.score(3)
    view.show_run(plain.run)
    tick(view.preview)
    qtbot.waitUntil(lambda: PREDICTION in viewer_model.layers)
    assert names(viewer_model) == ["channel 0", TRUTH, PREDICTION]
    assert viewer_model.layers[0].colormap.name == "gray"
    assert tuple(viewer_model.layers[TRUTH].scale) == (1, 1)
    assert view.preview.when.text() == "after epoch 3"


def test_an_image_of_another_size_fits_where_there_is_nothing_else(viewer, view, training, qtbot, tick):
    training.images.insert(0, training.image(200))
    training.score(1)
    view.show_run(training.run)
    tick(view.preview)
    qtbot.waitUntil(lambda: PREDICTION in viewer.layers)
    far = viewer.scene.camera.zoom
    view.preview.images.setCurrentIndex(1)
    qtbot.waitUntil(lambda: viewer.scene.camera.zoom > 3 * far)


# while it trains


def test_a_new_round_updates_the_same_layer(shown, viewer_model, training, qtbot):
    before = list(viewer_model.layers)
    assert width(viewer_model) == 2
    training.score(5)
    qtbot.waitUntil(lambda: width(viewer_model) == 5)
    assert shown.when.text() == "after epoch 5"
    assert shown.slider.value() == shown.slider.maximum() == 2
    training.score(MODEL)
    qtbot.waitUntil(lambda: width(viewer_model) == 16)
    assert shown.when.text() == "the model"
    assert list(viewer_model.layers) == before
    assert not viewer_model.layers[PREDICTION].editable


def test_an_earlier_epoch_stays_in_sight(shown, viewer_model, training, qtbot):
    shown.slider.setValue(0)
    assert shown.when.text() == "after epoch 1"
    qtbot.waitUntil(lambda: width(viewer_model) == 1)
    training.score(5)
    qtbot.waitUntil(lambda: shown.slider.maximum() == 2)
    qtbot.wait(100)
    assert width(viewer_model) == 1
    assert shown.slider.value() == 0
    shown.slider.setValue(2)
    qtbot.waitUntil(lambda: width(viewer_model) == 5)
    training.score(6)
    qtbot.waitUntil(lambda: width(viewer_model) == 6)


def test_dragging_ends_with_what_the_slider_points_at(shown, viewer_model, training, qtbot):
    training.score(*range(3, 12))
    qtbot.waitUntil(lambda: shown.slider.maximum() == 10)
    for _ in range(5):
        for place in (*range(11), *range(10, 3, -1)):
            shown.slider.setValue(place)
    qtbot.waitUntil(lambda: width(viewer_model) == 5)
    qtbot.wait(200)
    assert width(viewer_model) == 5
    assert shown.when.text() == "after epoch 5"


def test_another_image_replaces_the_data(shown, viewer_model, training, qtbot):
    before = list(viewer_model.layers)
    shown.slider.setValue(0)
    shown.images.setCurrentIndex(1)
    other = training.images[1]
    qtbot.waitUntil(lambda: viewer_model.layers[TRUTH].data.shape == other.labels.shape)
    assert list(viewer_model.layers) == before
    assert np.array_equal(viewer_model.layers[TRUTH].data, other.labels)
    assert np.allclose(viewer_model.layers["actin"].data, other.image[1], atol=1e-3)
    assert np.array_equal(viewer_model.layers[PREDICTION].data, training.found(other, 1))
    assert viewer_model.layers["dapi"].contrast_limits == pytest.approx([0.1, 1], abs=1e-3)
    training.score(5)
    qtbot.waitUntil(lambda: shown.slider.maximum() == 2)
    assert shown.images.currentText() == "cell_1"


def test_an_image_is_offered_once_something_is_found_in_it(shown, viewer_model, training, qtbot):
    training.writer.choose([*training.images, training.image(2)])
    training.score(5)
    qtbot.waitUntil(lambda: width(viewer_model) == 5)
    assert shown.images.count() == 2
    training.images.append(training.image(2))
    training.score(MODEL)
    qtbot.waitUntil(lambda: shown.images.count() == 3)
    assert shown.images.currentText() == "cell_0"
    shown.images.setCurrentIndex(2)
    qtbot.waitUntil(lambda: len(viewer_model.layers[TRUTH].data) == SIDE + 2)
    assert shown.when.text() == "the model"
    assert not shown.slider.isVisible()


# what goes


@pytest.mark.parametrize("way", ["untick", "leave", "another run"])
def test_only_our_layers_go(shown, view, viewer, home, tick, way):
    mine = viewer.add_labels(np.zeros((8, 8), np.int32), name="mine")
    if way == "untick":
        tick(shown)
    elif way == "leave":
        view.leave()
    else:
        view.show_run(Training().run)
    assert list(viewer.layers) == [mine]
    assert not shown.box.isChecked()
    assert not shown.slider.isVisible()


def test_what_is_read_too_late_is_not_shown(shown, view, viewer_model, training, qtbot, tick):
    tick(shown)
    shown.box.click()
    shown.box.click()
    view.show_run(training.run)
    shown.box.click()
    view.leave()
    qtbot.wait(300)
    assert names(viewer_model) == []


def test_a_layer_that_the_user_deletes_does_not_come_back(shown, viewer, training, qtbot, tick):
    canvas_of(shown)()  # as the click on napari's bin would have the process die
    viewer.layers.remove("dapi")
    viewer.layers.remove(TRUTH)
    training.score(5)
    qtbot.waitUntil(lambda: width(viewer) == 5)
    shown.images.setCurrentIndex(1)
    qtbot.waitUntil(lambda: len(viewer.layers[PREDICTION].data) == SIDE + 1)
    assert names(viewer) == ["actin", PREDICTION]
    canvas_of(shown)()
    viewer.layers.clear()
    assert not shown.box.isChecked()
    tick(shown)
    qtbot.waitUntil(lambda: names(viewer) == OURS)


def test_closing_the_dock_takes_them_along(shown, view, viewer, qtbot):
    mine = viewer.add_labels(np.zeros((8, 8), np.int32), name="mine")
    viewer.window.remove_dock_widget(view)
    qtbot.waitUntil(lambda: list(viewer.layers) == [mine])


CLOSING = """
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

def close_once_shown():
    if "prediction" in viewer.layers:
        timer.stop()
        {}
    elif view.preview.box.isEnabled() and not view.preview.box.isChecked():
        view.preview.box.click()

timer = QTimer()
timer.timeout.connect(close_once_shown)
timer.start(50)
napari.run()
"""


@pytest.mark.parametrize(
    "close",
    [
        pytest.param("viewer.close()", marks=pytest.mark.slow),
        pytest.param("viewer.window._qt_window.close()", marks=pytest.mark.slow),
        "viewer.window._qt_window.close(quit_app=True)",
    ],
)
def test_napari_closes_with_a_preview(training, close):
    training.score(1)
    process = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", CLOSING.format(close), str(training.run.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.usefixtures("exposed_viewer")
def test_layers_that_are_drawn_can_be_removed_with_others_left(shown, viewer, qtbot, tick):
    """Which would end the process, were the canvas's OpenGL context not made the current one."""
    mine = viewer.add_labels(np.zeros((8, 8), np.int32), name="mine")
    for _ in range(2):
        qtbot.wait(100)
        tick(shown)
        qtbot.waitUntil(lambda: list(viewer.layers) == [mine])
        qtbot.wait(100)  # it is drawn
        tick(shown)
        qtbot.waitUntil(lambda: PREDICTION in viewer.layers)


def test_back_to_the_form_takes_them_along(viewer, training, qtbot, tick):
    training.score(1)
    dock = TrainWidget(viewer)
    viewer.window.add_dock_widget(dock, name="under test")
    dock.open_run(training.run)
    qtbot.waitUntil(lambda: dock.run_view is not None and dock.run_view.preview.box.isVisible())
    tick(dock.run_view.preview)
    qtbot.waitUntil(lambda: PREDICTION in viewer.layers)
    dock.show_form()
    assert names(viewer) == []


# what the user has open


def test_what_is_open_stays_as_it_is(view, viewer, training, qtbot, tick):
    image = viewer.add_image(np.zeros((3, 200, 200)), scale=(1, 0.3, 0.3), units=("s", "um", "um"))
    mine = viewer.add_labels(np.zeros((3, 200, 200), np.int32), scale=(1, 0.3, 0.3), units=("s", "um", "um"))
    mine.mode = "paint"
    viewer.scene.camera.center, viewer.scene.camera.zoom = (10, 20), 33
    viewer.dims.set_current_step(0, 2)
    training.score(1)
    view.show_run(training.run)
    tick(view.preview)
    qtbot.waitUntil(lambda: PREDICTION in viewer.layers)
    assert viewer.scene.camera.center[-2:] == (10, 20)
    assert viewer.scene.camera.zoom == 33
    assert viewer.dims.current_step[0] == 2
    assert viewer.layers.selection.active is mine
    assert mine.mode == "paint"
    view.preview.images.setCurrentIndex(1)
    qtbot.waitUntil(lambda: viewer.layers[TRUTH].data.shape[0] == SIDE + 1)
    tick(view.preview)
    assert list(viewer.layers) == [image, mine]
    assert viewer.scene.camera.zoom == 33
    assert viewer.layers.selection.active is mine


def test_pixels_of_unknown_size_stand_beside_others(view, viewer_model, home, qtbot, tick):
    viewer_model.add_image(np.zeros((200, 200)), scale=(0.3, 0.3), units=("um", "um"))
    plain = Training(pixel_size=None)
    plain.score(1)
    view.show_run(plain.run)
    tick(view.preview)
    qtbot.waitUntil(lambda: PREDICTION in viewer_model.layers)


# where there is nothing


def test_a_run_without_previews_says_why(view, viewer, training, qtbot):
    view.show_run(training.run)
    qtbot.wait(100)
    preview = view.preview
    assert not preview.box.isEnabled()
    assert not preview.images.isEnabled()
    assert "the first preview appears after the first evaluation" in preview.box.toolTip()
    training.run.append(Finished(model="nuclei", best_epoch=1))
    qtbot.waitUntil(lambda: "no saved predictions" in preview.box.toolTip())
    assert not preview.box.isEnabled()


def test_the_first_round_offers_it(view, training, qtbot):
    view.show_run(training.run)
    qtbot.wait(100)
    training.score(1)
    qtbot.waitUntil(lambda: view.preview.box.isEnabled())
    assert "orange" in view.preview.box.toolTip()
    assert not view.preview.box.isChecked()


def test_a_broken_file_is_told_in_place(shown, viewer_model, training, qtbot):
    (previews_folder(training.run) / "00_epoch_000001.npz").write_bytes(b"half")
    shown.slider.setValue(0)
    qtbot.waitUntil(lambda: "missing or broken" in shown.problem)
    assert width(viewer_model) == 2
    shown.slider.setValue(1)
    qtbot.waitUntil(lambda: shown.problem == "")


def test_a_folder_that_is_gone_ends_it(shown, viewer_model, training, qtbot):
    (previews_folder(training.run) / "index.json").unlink()
    shown.slider.setValue(0)
    qtbot.waitUntil(lambda: not shown.box.isEnabled())
    assert names(viewer_model) == []


# a real training


def test_a_training_is_watched(view, viewer, begin, qtbot, tick):
    view.show_run(begin(epochs=40, seconds=0.1))
    preview = view.preview
    tick(preview)
    qtbot.waitUntil(lambda: PREDICTION in viewer.layers)
    assert viewer.layers[PREDICTION].data.max() == 16
    qtbot.waitUntil(lambda: preview.when.text() == "the model")
    kept = Previews(view.shown)
    name = preview.images.currentData()
    assert preview.slider.maximum() == len(kept.rounds()[name]) - 1
    assert np.array_equal(viewer.layers[TRUTH].data, kept.image(name)[1])


def test_all_that_can_be_used_has_a_tooltip(viewer, qtbot):
    preview = RunPreview(viewer)
    viewer.window.add_dock_widget(preview, name="under test")
    for widget in (preview.box, preview.images, preview.slider):
        assert widget.toolTip()
        assert isinstance(widget, QWidget)
