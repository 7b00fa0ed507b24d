"""An image layer shown as the network sees it."""

import numpy as np
import pytest
from napari.layers import Image

from napari_seg_trainer.annotations.prepare import normalize
from napari_seg_trainer.napari_plugin.train.normalization_preview import NormalizationPreview
from napari_seg_trainer.schema.job import Normalization


@pytest.fixture
def how():
    """What the form says; to be changed."""
    return {"how": Normalization(mode="percentile", low=1, high=99)}


@pytest.fixture
def preview(docked, viewer_model, how):
    return docked(NormalizationPreview(viewer_model, lambda _name: how["how"]))


def test_the_limits_are_those_of_the_network_and_are_given_back(preview, viewer_model, how, qtbot):
    data = np.random.default_rng(0).gamma(2, 300, (3, 40, 50)).astype(np.uint16)
    data[2] += 5000
    layer = viewer_model.add_image(data, contrast_limits=(10, 20))
    viewer_model.dims.set_current_step(0, 0)
    preview.box.setChecked(True)
    qtbot.waitUntil(lambda: tuple(layer.contrast_limits) != (10, 20))
    low, high = layer.contrast_limits
    seen = normalize(data[:1], [how["how"]])[0]
    np.testing.assert_allclose((data[0] - low) / (high - low), seen, atol=1e-5)
    assert f"Intensity {low:.4g} becomes 0 (black), {high:.4g} becomes 1" in preview.line.text()
    viewer_model.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: layer.contrast_limits[0] > 5000)
    how["how"] = Normalization(mode="values", low=0, high=60000)
    preview.follow()
    qtbot.waitUntil(lambda: tuple(layer.contrast_limits) == (0, 60000))
    preview.box.setChecked(False)
    assert tuple(layer.contrast_limits) == (10, 20)


def test_another_layer_that_is_selected_takes_its_place(preview, viewer_model, qtbot):
    first = viewer_model.add_image(np.arange(400.0).reshape(20, 20), contrast_limits=(0, 1000))
    second = viewer_model.add_image(np.arange(400.0).reshape(20, 20) + 7, contrast_limits=(0, 2000))
    viewer_model.layers.selection.active = first
    preview.box.setChecked(True)
    qtbot.waitUntil(lambda: first.contrast_limits[1] < 500)
    viewer_model.layers.selection.active = second
    qtbot.waitUntil(lambda: second.contrast_limits[1] < 500)
    assert tuple(first.contrast_limits) == (0, 1000)
    viewer_model.layers.remove(second)
    viewer_model.layers.selection.active = first
    qtbot.waitUntil(lambda: first.contrast_limits[1] < 500)


@pytest.mark.parametrize("kind", ["rgb", "labels", "nothing", "constant", "wrong"])
def test_what_cannot_be_shown_is_said(preview, viewer_model, how, qtbot, kind):
    if kind == "rgb":
        viewer_model.add_image(np.zeros((20, 20, 3), np.uint8), rgb=True)
    elif kind == "labels":
        viewer_model.add_labels(np.zeros((20, 20), int))
    elif kind != "nothing":
        viewer_model.add_image(np.full((20, 20), 5.0), contrast_limits=(0, 9))
    how["how"] = None if kind == "wrong" else how["how"]
    preview.box.setChecked(True)
    said = "one intensity only" if kind == "constant" else "Select an image layer with one channel."
    qtbot.waitUntil(lambda: said in preview.line.text())
    assert all(
        tuple(layer.contrast_limits) == (0, 9)
        for layer in viewer_model.layers
        if isinstance(layer, Image) and not layer.rgb
    )
