"""From what a model is least sure of, through a correction, to the next training: driven as a user does."""

import json

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_seg_trainer.api import wait_for
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.napari_plugin.layers.planes import model_of
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, SEGMENT, TRAIN, open_dock, opened
from napari_seg_trainer.napari_plugin.run.view import RunView
from napari_seg_trainer.napari_plugin.segment.frames import FOLDER
from napari_seg_trainer.runs.run import Run, find_run
from napari_seg_trainer.schema.events import Evaluated, Finished, Verdict

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def trained(begin, tmp_path):
    """A model, whose training has left another late epoch; that asks more of an object."""
    wait_for(begin(epochs=2))
    return tmp_path / "annotations_nuclei"


@pytest.fixture
def folder(tmp_path):
    """Images of nine bright squares: in one all are bright, in another four are dim, a third is annotated."""
    place = tmp_path / "unannotated"
    place.mkdir()
    for stem, dim in (("clear", 0), ("dim", 4), ("done", 4)):
        image = np.full((1, 64, 64), 100, np.uint16)
        for number, (y, x) in enumerate((y, x) for y in (4, 24, 44) for x in (4, 24, 44)):
            image[0, y : y + 10, x : x + 10] = 700 if number < dim else 1000
        tifffile.imwrite(place / f"{stem}.tif", image, metadata={"axes": "CYX"})
        (place / f"{stem}.json").write_text(json.dumps({"channels": ["dapi"], "spatial_calibration": 0.5}))
    tifffile.imwrite(place / "done_labelled.tif", np.ones((64, 64), np.uint16))
    return place


@pytest.fixture
def suggested(viewer, qtbot, trained, folder):
    """The dock, with what was suggested."""
    widget = open_dock(viewer, SEGMENT)
    qtbot.waitUntil(lambda: widget.model_name == "nuclei")
    assert widget.suggest_button.isHidden()
    widget.form.frames.choose(FOLDER)
    widget.form.folders.images.line_edit.value = str(folder)
    qtbot.waitUntil(widget.suggest_button.isEnabled)
    qtbot.mouseClick(widget.suggest_button, LEFT)
    qtbot.waitUntil(widget.suggestions.isVisible)
    return widget


def test_the_least_sure_is_named_corrected_exported_and_trained_on(suggested, viewer, qtbot, trained):
    assert "Checked 2 of 2 images" in suggested.progress.line.text()
    assert suggested.suggest_button.isVisible()
    (finding,) = suggested.suggestions.list.findings
    assert finding.message == "dim.tif: unsure of 2; finds 9 objects."
    suggested.suggestions.list.chosen.emit(finding)
    qtbot.waitUntil(lambda: opened(viewer, EXPORT) is not None)
    found = viewer.layers["dim · nuclei"]
    assert (model_of(found), found.data.max(), list(found.scale)) == ("nuclei", 9, [0.5, 0.5])
    assert viewer.layers.selection.active is found
    assert "Correct the labels of 'dim'" in suggested.progress.line.text()

    export = opened(viewer, EXPORT)
    assert export.form.labels.value is found
    assert export.form.plan().folder == trained
    found.data[found.data == 1] = 0
    qtbot.mouseClick(export.button, LEFT)
    qtbot.waitUntil(export.result.train_again.isVisible)
    assert len(np.unique(tifffile.imread(trained / "dim_labelled.tif"))) == 9
    assert json.loads((trained / "dim.json").read_text())["channels"] == ["dapi"]

    qtbot.mouseClick(export.result.train_again, LEFT)
    qtbot.waitUntil(lambda: opened(viewer, TRAIN) is not None)
    form = opened(viewer, TRAIN).job_form
    qtbot.waitUntil(lambda: form.pretrained.value() == "nuclei")
    job = form.value()
    assert (job.pretrained, job.data, job.engine) == ("nuclei", (trained,), "toy")
    assert job.hyperparameters["epochs"] == 2
    assert job.name not in ModelLibrary()
    qtbot.waitUntil(opened(viewer, TRAIN).form_page.button.isEnabled)


def test_an_annotated_image_comes_with_its_labels_and_its_folder(viewer, qtbot, trained):
    widget = open_dock(viewer, SEGMENT)
    widget.correct("nuclei", "annotations_nuclei/gone")
    qtbot.waitUntil(lambda: "in the training folders any more" in widget.progress.problem.text())
    widget.correct("nuclei", "annotations_nuclei/cell_01")
    qtbot.waitUntil(lambda: opened(viewer, EXPORT) is not None)
    drawn, found = (layer for layer in viewer.layers if isinstance(layer, Labels))
    assert (model_of(drawn), model_of(found)) == ("", "nuclei")
    # what a person has drawn is corrected, and never replaced by what a model finds
    assert drawn.contour == 0
    assert found.contour > 0
    assert viewer.layers.selection.active is drawn
    plan = opened(viewer, EXPORT).form.plan()
    assert (plan.labels, plan.folder) == (drawn, trained)
    assert [item.stem for item in plan.items()] == ["cell_01"]
    assert [source.layer for source, _ in plan.channels] == [
        next(one for one in viewer.layers if isinstance(one, Image))
    ]


def test_an_image_without_the_models_channel_is_refused(viewer, qtbot, trained, folder):
    (folder / "dim.json").write_text(json.dumps({"channels": ["gfp"]}))
    widget = open_dock(viewer, SEGMENT)
    widget.correct("nuclei", folder / "dim.tif")
    qtbot.waitUntil(lambda: "only gfp" in widget.progress.problem.text())
    assert not viewer.layers


def test_where_all_images_are_annotated_nothing_is_looked_at(viewer, qtbot, trained):
    widget = open_dock(viewer, SEGMENT)
    qtbot.waitUntil(lambda: widget.model_name == "nuclei")
    widget.form.frames.choose(FOLDER)
    widget.form.folders.images.line_edit.value = str(trained)
    qtbot.waitUntil(widget.suggest_button.isEnabled)
    qtbot.mouseClick(widget.suggest_button, LEFT)
    qtbot.waitUntil(lambda: "are annotated" in widget.progress.problem.text())
    assert widget.button.isEnabled()


def test_the_verdict_leads_to_the_worst_image(viewer, qtbot, trained):
    run = Run.create(find_run("nuclei").job)
    run.claim()
    scores = {"f1_50": 0.5, "ap50": 0.4}
    for event in (
        Evaluated(dataset="validation", images=2, scores=scores),
        Verdict(sentences=("Finds 50 of 100.",), worst=("annotations_nuclei/cell_02", "annotations_nuclei/cell_00")),
        Finished(model="nuclei", best_epoch=1),
    ):
        run.append(event)
    view = RunView(viewer)
    viewer.window.add_dock_widget(view, name="under test")
    view.show_run(run)
    qtbot.waitUntil(view.outcome.correct.isVisible)
    assert "annotations_nuclei/cell_02" in view.outcome.correct.toolTip()
    qtbot.mouseClick(view.outcome.correct, LEFT)
    qtbot.waitUntil(lambda: opened(viewer, EXPORT) is not None)
    plan = opened(viewer, EXPORT).form.plan()
    assert ([item.stem for item in plan.items()], plan.folder) == (["cell_02"], trained)
    view.outcome.name_worst("")
    assert view.outcome.correct.isHidden()


def test_a_region_of_a_large_image_is_opened_corrected_and_exported_as_a_crop(viewer, qtbot, trained, tmp_path):
    place = tmp_path / "large"
    place.mkdir()
    image = np.full((1, 400, 400), 100, np.uint16)
    for y in range(4, 380, 20):
        for x in range(4, 380, 20):
            image[0, y : y + 10, x : x + 10] = 700 if y < 90 and x > 300 else 1000
    tifffile.imwrite(place / "slide.tif", image, metadata={"axes": "CYX"})
    (place / "slide.json").write_text(json.dumps({"channels": ["dapi"], "spatial_calibration": 0.5}))
    widget = open_dock(viewer, SEGMENT)
    qtbot.waitUntil(lambda: widget.model_name == "nuclei")
    widget.form.frames.choose(FOLDER)
    widget.form.folders.images.line_edit.value = str(place)
    qtbot.waitUntil(widget.suggest_button.isEnabled)
    qtbot.mouseClick(widget.suggest_button, LEFT)
    qtbot.waitUntil(widget.suggestions.isVisible)
    first = widget.suggestions.list.findings[0]
    assert "slide.tif, rows 0 to 100, columns 300 to 400" in first.message
    widget.suggestions.list.chosen.emit(first)
    qtbot.waitUntil(lambda: opened(viewer, EXPORT) is not None)
    frame = viewer.layers["region to annotate"]
    found = viewer.layers["slide · nuclei"]
    assert viewer.layers.selection.active is found
    assert "in the frame" in widget.progress.line.text()
    export = opened(viewer, EXPORT)
    assert export.form.parts.shapes.value is frame
    (crop,) = export.form.plan().crops
    assert (crop.y0, crop.y1, crop.x0, crop.x1) == (0, 100, 300, 400)
    assert viewer.scene.camera.center[-2:] == pytest.approx((25, 175), abs=1)
    qtbot.mouseClick(export.button, LEFT)
    qtbot.waitUntil(export.result.train_again.isVisible)
    assert tifffile.imread(trained / "slide_roi_300_400_0_100.tif").shape == (1, 100, 100)
    # the frame is of this image alone
    other = viewer.add_labels(np.zeros((64, 64), int), name="other")
    export.form.labels.value = other
    assert export.form.parts.shapes.value is None
    assert export.form.parts.crops() == ()
    # the next one is another region
    again = open_dock(viewer, SEGMENT)
    qtbot.mouseClick(again.suggest_button, LEFT)
    qtbot.waitUntil(lambda: not again.stop_button.isVisible() and again.suggestions.isVisible())
    assert "rows 0 to 100, columns 300 to 400" not in " ".join(one.message for one in again.suggestions.list.findings)
