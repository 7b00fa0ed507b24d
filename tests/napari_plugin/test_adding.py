"""Layers that are added in turns, in a real viewer and without one."""

import re

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_seg_trainer.napari_plugin.layers.adding import add_in_turns
from napari_seg_trainer.napari_plugin.run.preview_layers import Picture, PreviewLayers
from napari_seg_trainer.runs.previews import PreviewIndex

SHAPE = (20, 30)


@pytest.fixture
def layers():
    return [Image(np.zeros(SHAPE, np.float32)), Image(np.ones(SHAPE, np.float32)), Labels(np.ones(SHAPE, int))]


def test_the_window_draws_itself_between_two_layers(viewer, layers, qtbot):
    happened = []
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(lambda _event: happened.append("drawn"), position="last")
    viewer.layers.events.inserted.connect(lambda _event: happened.append("added"))
    ends = []
    add_in_turns(viewer, layers, lambda: ends.append(len(viewer.layers)))
    assert list(viewer.layers) == layers[:1]
    qtbot.waitUntil(lambda: bool(ends))
    assert ends == [3]
    assert list(viewer.layers) == layers
    assert viewer.layers.selection.active is layers[-1]
    assert re.sub("d+", "d", "".join(one[0] for one in happened)).startswith("adada")
    qtbot.wait(100)
    assert ends == [3]


def test_what_is_not_added_yet_is_dropped(viewer, layers, qtbot):
    ends = []
    end = add_in_turns(viewer, layers, lambda: ends.append(True))
    end()
    end()
    qtbot.wait(100)
    assert list(viewer.layers) == layers[:1]
    assert not ends
    end = add_in_turns(viewer, layers[1:2], lambda: ends.append(True))
    assert ends == [True]  # of one alone, nothing is left to wait for
    end()


def test_who_paints_in_a_layer_goes_on(viewer, layers, qtbot):
    own = viewer.add_labels(np.zeros(SHAPE, int))
    ends = []
    add_in_turns(viewer, layers, lambda: ends.append(True), select=False)
    qtbot.waitUntil(lambda: bool(ends))
    assert viewer.layers.selection.active is own
    assert set(viewer.layers.selection) == {own}


def test_without_a_window_all_are_added_at_once(layers, home):
    model, ends = ViewerModel(), []
    add_in_turns(model, layers, lambda: ends.append(len(model.layers)))
    assert ends == [3]
    assert list(model.layers) == layers


def test_a_preview_that_is_closed_at_once_adds_no_more(viewer, qtbot):
    image, truth = np.zeros((1, *SHAPE), np.float32), np.ones(SHAPE, np.int32)
    preview = PreviewLayers(viewer)
    preview.show(PreviewIndex(images=("a",), channels=("dapi",), pixel_size=None), Picture.of(image, truth), truth)
    assert len(viewer.layers) == 1
    preview.remove()
    qtbot.wait(100)
    assert not viewer.layers


def test_a_prediction_that_comes_meanwhile_is_the_one_that_is_added(viewer, qtbot):
    image, truth = np.zeros((1, *SHAPE), np.float32), np.ones(SHAPE, np.int32)
    index, picture = PreviewIndex(images=("a",), channels=("dapi",), pixel_size=None), Picture.of(image, truth)
    preview = PreviewLayers(viewer)
    preview.show(index, picture, truth)
    preview.show(index, picture, 2 * truth)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    assert viewer.layers[-1].data.max() == 2
    assert not viewer.layers[-1].editable
    preview.remove()
    assert not viewer.layers
