"""The whole loop with people's own images: export, train, segment, correct, export, train again."""

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, SEGMENT, TRAIN, open_dock, opened
from napari_seg_trainer.schema.job import AUTOMATIC

LEFT = Qt.MouseButton.LeftButton
SIZE = 96


def cells(seed):
    """Bright discs on noise, and their labels."""
    rng = np.random.default_rng(seed)
    labels, (rows, columns) = np.zeros((SIZE, SIZE), np.int32), np.indices((SIZE, SIZE))
    for number in range(9):
        y, x = 16 + 30 * (number // 3), 16 + 30 * (number % 3)
        labels[(rows - y) ** 2 + (columns - x) ** 2 < rng.integers(30, 90)] = number + 1
    return (rng.integers(20, 60, labels.shape) + 150 * (labels > 0)).astype(np.uint8), labels


class Loop:
    """What a user clicks."""

    def __init__(self, viewer, qtbot, folder):
        self.viewer, self.qtbot, self.folder = viewer, qtbot, folder

    def open_png(self, name, seed):
        """A grey picture, which is saved and opened with three colours."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.dstack([cells(seed)[0]] * 3)).save(path)
        (layer,) = self.viewer.open(str(path), plugin="napari")
        return layer

    def export(self):
        dock = open_dock(self.viewer, EXPORT)
        dock.form.pixel_size["unknown"].value = True
        dock.form.folder.value = self.folder
        dock.result.hide()
        assert dock.button.isEnabled(), dock.reason
        self.qtbot.mouseClick(dock.button, LEFT)
        self.qtbot.waitUntil(lambda: dock.result.isVisible() and dock.button.isVisible())
        assert "Wrote" in dock.result.line.text()
        return dock.result

    def train(self, button, name):
        """The training that a button of the export leads to."""
        self.qtbot.mouseClick(button, LEFT)
        dock = opened(self.viewer, TRAIN)
        form = dock.job_form
        self.qtbot.waitUntil(lambda: form.data.survey is not None)
        if form.pretrained.value() == AUTOMATIC:
            self.qtbot.mouseClick(form.engine.buttons["toy"], LEFT)
        form.name.value = name
        self.qtbot.waitUntil(lambda: form.reasons() == {} and dock.form_page.button.isEnabled())
        self.qtbot.mouseClick(dock.form_page.button, LEFT)
        self.qtbot.waitUntil(lambda: name in ModelLibrary())
        self.qtbot.waitUntil(lambda: dock.run_view is not None and "in the library" in dock.run_view.outcome.text)

    def segment(self, model):
        dock = open_dock(self.viewer, SEGMENT)
        self.qtbot.waitUntil(lambda: dock.model_name == model)
        count = len(self.viewer.layers)
        self.qtbot.waitUntil(dock.button.isEnabled)
        self.qtbot.mouseClick(dock.button, LEFT)
        self.qtbot.waitUntil(lambda: len(self.viewer.layers) == count + 1 and dock.button.isVisible())
        labels = self.viewer.layers[-1]
        assert labels.data.max() > 0
        self.viewer.layers.selection.active = labels
        return labels

    def written(self):
        return {pair.stem: pair.read() for pair in AnnotationFolder.open(self.folder / "annotations_cells")}


@pytest.fixture
def loop(viewer, qtbot, tmp_path, toy):
    return Loop(viewer, qtbot, tmp_path / "experiment")


@pytest.mark.slow
def test_grey_pictures_two_of_which_are_open_at_once(viewer, loop):
    layers = [loop.open_png(f"{name}.png", seed) for seed, name in enumerate("ab")]
    for seed, layer in enumerate(layers):
        viewer.add_labels(cells(seed)[1], name=f"{layer.name} - Labels")
        result = loop.export()
    loop.train(result.train, "first")
    assert [channel.name for channel in ModelLibrary().get("first").card.channels] == ["grey"]
    third = loop.open_png("c.png", 2)
    viewer.layers.selection.active = third
    labels = loop.segment("first")
    labels.data[labels.data == labels.data.max()] = 0
    result = loop.export()
    images = loop.written()
    assert list(images) == ["a", "b", "c"]
    assert {image.channels for image in images.values()} == {("grey",)}
    np.testing.assert_array_equal(images["c"].labels, labels.data)
    for seed, name in enumerate("abc"):
        np.testing.assert_array_equal(images[name].image, [cells(seed)[0]])
    loop.train(result.train_again, "second")
    assert ModelLibrary().get("second").card.parent == "first"


@pytest.mark.slow
def test_two_positions_of_one_name(viewer, loop):
    for seed, position in enumerate(("pos 1", "pos 2")):
        viewer.layers.clear()
        loop.open_png(f"{position}/field.png", seed)
        viewer.add_labels(cells(seed)[1])
        result = loop.export()
    assert list(loop.written()) == ["field", "pos_2_field"]
    loop.train(result.train, "first")
    viewer.layers.clear()
    loop.open_png("pos 3/field.png", 2)
    loop.segment("first")
    result = loop.export()
    assert list(loop.written()) == ["field", "pos_2_field", "pos_3_field"]
    loop.train(result.train_again, "second")


@pytest.mark.slow
def test_a_movie_with_crops(viewer, loop):
    frames = np.stack([cells(seed)[0] for seed in range(9)])
    viewer.add_image(frames, name="movie")
    viewer.add_labels(np.stack([cells(seed)[1] for seed in range(9)]), name="movie - Labels")
    square = np.array([[4, 4], [4, 90], [60, 90], [60, 4]], float)
    fields = viewer.add_shapes([np.column_stack([np.full(4, float(at)), square]) for at in (1, 5)], name="fields")
    dock = open_dock(viewer, EXPORT)
    dock.form.population.value = "cells"
    dock.form.parts.shapes.value = fields
    for at in (1, 5):
        viewer.dims.set_point(0, at)
        result = loop.export()
    assert list(loop.written()) == [f"movie_t00{at}_roi_4_90_4_60" for at in (1, 5)]
    dock.form.parts.shapes.value = None
    loop.open_png("other.png", 20)
    viewer.add_labels(cells(20)[1], name="other - Labels")
    result = loop.export()  # of another field of view, to validate on
    loop.train(result.train, "first")
    viewer.layers.selection.active = viewer.layers["movie"]
    viewer.dims.set_point(0, 7)
    labels = loop.segment("first")
    result = loop.export()
    images = loop.written()
    assert "movie_t007" in images
    np.testing.assert_array_equal(images["movie_t007"].labels, labels.data[7])
    loop.train(result.train_again, "second")
    assert len(loop.written()) == 4
