"""From regions that were annotated in one large image to models of both engines."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_seg_trainer import ModelLibrary, load_annotations, train
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.napari_plugin.export.annotated_part import INSIDE, WHOLE
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, open_dock
from napari_seg_trainer.testing.discs import disc_image

LEFT = Qt.MouseButton.LeftButton
TINY = {
    "stardist": {"epochs": 3, "batch_size": 2, "patch_size": 64, "depth": 2, "filters": 8, "rays": 16, "grid": 2},
    "cellpose": {"epochs": 2, "batch_size": 2, "patch_size": 64, "device": "cpu"},
}
REGIONS = np.array([[[20, 20], [110, 110]], [[200, 30], [290, 150]], [[150, 200], [290, 290]]])


@pytest.fixture
def exported(viewer, qtbot, tmp_path):
    """One large image of which three regions are annotated, and a small one of which all is."""
    dock = open_dock(viewer, EXPORT)
    for name, shape in (("large", (300, 300)), ("small", (96, 96))):
        prepared = disc_image(shape, 1, len(name), (5, 9))
        labels = prepared.labels.copy()
        image = viewer.add_image((1000 * prepared.image[0]).astype(np.uint16), name=name)
        shapes = None
        if name == "large":
            kept = np.zeros(shape, bool)
            for (top, left), (bottom, right) in REGIONS:
                kept[top:bottom, left:right] = True
            inside = np.unique(labels[kept])
            labels[~np.isin(labels, inside)] = 0
            shapes = viewer.add_shapes(REGIONS, name="looked at")
        drawn = viewer.add_labels(labels, name=f"{name} labels")
        dock.select_layers([drawn, image])
        dock.form.population.value, dock.form.folder.line_edit.value = "discs", str(tmp_path)
        dock.form.pixel_size["unknown"].value = True
        dock.form.annotated.which.value = WHOLE if shapes is None else INSIDE
        qtbot.waitUntil(dock.button.isEnabled)
        qtbot.mouseClick(dock.button, LEFT)
        qtbot.waitUntil(lambda: dock.result.isVisible() and dock.button.isVisible())
        viewer.layers.clear()
    return tmp_path / "annotations_discs"


@pytest.mark.slow
@pytest.mark.parametrize("engine", TINY)
def test_both_engines_learn_from_regions_of_a_large_image(exported, engine):
    large, small = AnnotationFolder.open(exported)
    assert (large.read().labels < 0).mean() > 0.4
    assert small.read().labels.min() == 0
    channels = [{"name": large.read().channels[0], "index": 0}]
    run = train(exported, name=engine, engine=engine, pretrained="scratch", channels=channels, **TINY[engine])
    model = ModelLibrary().get(engine)
    assert run.state().value == "finished"
    assert model.card.validation_images == 1
    assert {array.min() for _, array in ((one.image, one.labels) for one in load_annotations(exported))} == {-1, 0}
