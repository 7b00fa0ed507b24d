"""Nothing is cut off in a dock that is as narrow as it can be, in any state, in both themes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QMessageBox

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, LIBRARY, SEGMENT, TRAIN, open_dock
from napari_seg_trainer.napari_plugin.parts.widgets import Section
from napari_seg_trainer.napari_plugin.segment.frames import FOLDER
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import (
    Baseline,
    EpochEnded,
    Evaluated,
    Failed,
    Finished,
    Log,
    Progress,
    Started,
    Stopped,
    Verdict,
)
from napari_seg_trainer.schema.job import TrainingJob
from testkit.widths import misfits, narrow

SCALE = "QT_SCALE_FACTOR"
LONG = "Nuclei of the first experiment with a very long name 2026-11-23"


@pytest.fixture
def look(qtbot):
    """Collect what is cut off in each state of a dock: ``look(widget, "state")``, in the light theme if wanted, too."""
    found = []

    def collect(widget, state, *, light=False):
        narrow(widget)
        qtbot.wait(30)
        found.extend(f"{state}, {text}" for text in misfits(widget, ("light", "dark") if light else ("dark",)))

    collect.found = found
    return collect


def unfold(widget):
    for section in widget.findChildren(Section):
        section.expand(animate=False)


def test_export(viewer, look, qtbot, tmp_path):
    dock = open_dock(viewer, EXPORT)
    look(dock, "empty")
    dapi = viewer.add_image(np.random.default_rng(0).integers(0, 999, (3, 64, 64)), name=LONG)
    look(dock, "no labels")
    viewer.add_image(np.zeros((3, 64, 64), np.uint16), name="actin")
    labels = viewer.add_labels(np.zeros((3, 64, 64), int), name=f"{LONG} labels")
    labels.data[:, 10:20, 10:20] = 1
    labels.data[:, 30:40, 30:40] = 1  # in two pieces
    dock.form.folder.line_edit.value = "relative"
    unfold(dock)
    look(dock, "errors")
    for layer in (dapi, labels, viewer.layers["actin"]):
        layer.units, layer.scale = ("pixel", "um", "um"), (1, 0.325, 0.325)
    dock.form.folder.line_edit.value = str(tmp_path)
    dock.form.population.value = "nuclei"
    qtbot.waitUntil(dock.button.isEnabled)
    look(dock, "ready")
    dock.button.click()
    qtbot.waitUntil(lambda: dock.result.isVisible() and dock.button.isVisible())
    look(dock, "exported", light=True)
    dock.button.click()
    qtbot.waitUntil(lambda: dock.findChild(QMessageBox) is not None)
    box = dock.findChild(QMessageBox)
    next(button for button in box.buttons() if button.text().startswith("Replace")).click()
    qtbot.waitUntil(dock.result.undo.isVisible)
    look(dock, "replaced")
    assert not look.found, "\n".join(look.found)


@pytest.mark.parametrize("engine", ["stardist", "cellpose", "cellpose-sam"])
def test_the_training_form(viewer, look, qtbot, annotation_folder, home, engine):
    dock = open_dock(viewer, TRAIN)
    form = dock.job_form
    form.engine.buttons[engine].click()
    if engine == "stardist":
        look(dock, "empty")
        form.engine.which_button.click()
        look(dock, "which")
        form.engine.which_button.click()
    form.data.sample_button.click()
    form.add_data(annotation_folder(f"annotations_{LONG}", channels=("dapi", "actin")))
    qtbot.waitUntil(lambda: form.data.survey is not None)
    form.data.look_button.setChecked(True)
    unfold(dock)
    look(dock, "unfolded", light=True)
    form.name.value = "a/b"
    for name in ("epochs", "batch_size", "learning_rate"):
        form.training.basic.form.field(name).native.setText("-x")
    look(dock, "errors")
    assert not look.found, "\n".join(look.found)


@pytest.fixture
def told(home):
    """A run that this process claims to train, and what it tells."""

    def write(*events):
        run = Run.create(TrainingJob(name=LONG, engine="stardist", data=("annotations",)))
        run.claim()
        for event in events:
            run.append(event)
        return run

    return write


def epoch(number):
    metrics = {"loss": 1 / number, "val_loss": 1.1 / number, "distance_loss": 0.2, "val_distance_loss": 0.3}
    return EpochEnded(
        epoch=number, epochs=400, metrics=metrics, learning_rate=0.1, is_best=True, seconds=9.0, seconds_left=12345.0
    )


STARTED = Started(epochs=400, is_limit=True, steps_per_epoch=4, training_images=3, validation_images=5, device="CPU")
SCORES = {"ap50": 0.8123, "f1_50": 0.8765, "recall50": 0.9, "precision50": 0.8}
SCORED = Evaluated(dataset="validation", images=2, scores=SCORES, epoch=2, baseline=0.7)
BASELINE = Baseline(name="the simple method (Otsu and watershed)", images=5, scores={"ap50": 0.73})
BAD = Verdict(
    sentences=(
        "Finds 67 of 100 objects; 12 of 100 detections are false.",
        "Worse than the simple method (Otsu and watershed): AP 0.67 vs. 0.73 (difference -0.09 to -0.02 on 5 images). "
        "Use that instead, or train longer.",
        "It was still learning: in the last 20 epochs the validation loss fell by 4 %. More epochs would help.",
        "Worst: annotations_nuclei/cell_00012_with_a_long_name (12 of 40 missed).",
    ),
    worst=("a", "b", "c"),
    is_simple_better=True,
)
REACHED = (STARTED, BASELINE, epoch(1), SCORED.replace(epoch=1), epoch(2), SCORED)
ENDS = {
    "finished": (SCORED.replace(epoch=None, images=5), BAD, Finished(model=LONG, best_epoch=2)),
    "stopped": (Stopped(reason="cancelled by the user", model=None, best_epoch=2),),
    "failed": (Failed(message="Out of memory. Use a smaller batch size or patch size, or close other programs."),),
}


def test_a_run(viewer, look, qtbot, told):
    dock = open_dock(viewer, TRAIN)
    reading = Progress(stage="comparing the worst images with the others", done=3, total=24)
    for state, events in {
        "starting": (),
        "reading": (reading,),
        "training": (
            *REACHED,
            Log(level="warning", message="A warning."),
            Progress(stage="training", epoch=3, done=3, total=4, seconds_left=9e4),
        ),
        **{name: (*REACHED, *end) for name, end in ENDS.items()},
    }.items():
        run = told(*events)
        dock.open_run(run)
        qtbot.waitUntil(lambda run=run: dock.run_view is not None and dock.run_view.shown == run)
        if STARTED in events:
            qtbot.waitUntil(lambda: len(dock.run_view.curves.points().get("loss", ())) == 2)
        if state in ENDS:
            qtbot.waitUntil(lambda: bool(dock.run_view.outcome.text))
        unfold(dock)
        look(dock, state, light=state == "finished")
    dock.show_form()
    assert not look.found, "\n".join(look.found)


def test_segment(viewer, look, qtbot, toy_model, tmp_path):
    dock = open_dock(viewer, SEGMENT)
    qtbot.waitUntil(dock.try_button.isVisible)
    look(dock, "empty")
    toy_model(LONG, pixel_size=0.325)
    qtbot.waitUntil(lambda: dock.form.model.choices and LONG in dock.form.model.choices)
    dock.select_model(LONG)
    qtbot.waitUntil(lambda: dock.model_name == LONG)
    viewer.add_image(np.random.default_rng(0).normal(0.4, 0.2, (3, 64, 64)), name=LONG)
    unfold(dock)
    look(dock, "ready")
    dock.button.click()
    look(dock, "running")
    qtbot.waitUntil(lambda: not dock.stop_button.isVisible())
    look(dock, "done")
    dock.select_model("nuclei_fluorescence")
    qtbot.waitUntil(lambda: dock.model_name == "nuclei_fluorescence")
    unfold(dock)
    look(dock, "a starter", light=True)
    dock.form.frames.choose(FOLDER)
    look(dock, "which folder")
    dock.form.folders.images.line_edit.value = str(builtin_folder("nuclei_dsb2018"))
    qtbot.waitUntil(dock.suggest_button.isEnabled)
    look(dock, "a folder")
    dock.progress.show_problem(f"'{tmp_path}' could not be read. Choose another folder.")
    look(dock, "a problem")
    assert not look.found, "\n".join(look.found)


def test_the_library(viewer, look, qtbot, toy_model, home):
    dock = open_dock(viewer, LIBRARY)
    qtbot.waitUntil(dock.no_model.isVisible)
    look(dock, "empty")
    toy_model(LONG, scores=SCORES, verdict=BAD.sentences)
    toy_model("other", scores=SCORES)
    qtbot.waitUntil(lambda: dock.table.rowCount() == 2)
    unfold(dock)
    look(dock, "a model")
    dock.table.selectAll()
    dock.compare_button.click()
    qtbot.waitUntil(dock.comparison.isVisible)
    look(dock, "a comparison", light=True)
    (home / "models" / "other" / "model_card.json").unlink()
    (home / "models" / "other" / "model_card.json").write_text("{")
    qtbot.waitUntil(lambda: "broken" in [dock.table.item(row, 1).text() for row in range(dock.table.rowCount())])
    dock.table.selectRow(next(row for row in range(2) if dock.table.item(row, 1).text() == "broken"))
    look(dock, "broken")
    assert not look.found, "\n".join(look.found)


@pytest.mark.slow
@pytest.mark.skipif(SCALE in os.environ, reason="it is this that starts it")
@pytest.mark.parametrize("scale", ["1.25", "1.5"])
def test_screens_that_are_scaled(scale):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(__file__), "-k", "not scaled"]
    done = subprocess.run(command, env={**os.environ, SCALE: scale}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
