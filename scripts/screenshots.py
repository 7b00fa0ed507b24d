"""Make the pictures of the docks in docs/images, from the real widgets and a real training of a few minutes.

On a machine without a screen::

    python scripts/with_display.py python scripts/screenshots.py
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = tempfile.TemporaryDirectory()
os.environ |= {"NAPARI_SEG_TRAINER_HOME": HOME.name, "NAPARI_CONFIG": ""}

import napari
import numpy as np
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.api import make_job
from napari_seg_trainer.napari_plugin.parts import docks
from napari_seg_trainer.napari_plugin.parts.canvas import canvas_of
from napari_seg_trainer.napari_plugin.segment.frames import FOLDER

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDTH = 320
SHOWN_EPOCHS = 50
DATASET = "nuclei_dsb2018"


def main() -> None:
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(1400, 900)
    with tempfile.TemporaryDirectory() as folder:
        export(viewer, Path(folder) / "experiment 12")
        correct(viewer, Path(folder))
        train(viewer)
        segment(viewer)
    take(docks.open_dock(viewer, docks.LIBRARY), "library", 460)
    viewer.close()


def export(viewer: napari.Viewer, folder: Path) -> None:
    """An export of one frame in which an object was split by a slip of the brush."""
    viewer.open_sample(docks.PLUGIN, "nuclei")
    image, labels = viewer.layers
    for layer in (image, labels):
        layer.units = ("pixel", "um", "um")
        layer.scale = (1, 0.325, 0.325)
    viewer.dims.set_current_step(0, 3)
    frame = labels.data[3]
    biggest = max(range(1, int(frame.max()) + 1), key=lambda label: (frame == label).sum())
    rows = (frame == biggest).any(axis=1).nonzero()[0]
    middle = int(rows.mean())
    frame[middle - 1 : middle + 1][frame[middle - 1 : middle + 1] == biggest] = 0
    labels.refresh()
    viewer.reset_view()
    dock = docks.open_dock(viewer, docks.EXPORT)
    dock.form.folder.line_edit.value = str(folder)
    dock.form.population.value = "nuclei"
    wait(1)
    dock.button.click()
    until(lambda: dock.button.isVisible() and dock.result.isVisible())
    take(dock, "export", 620)


def correct(viewer: napari.Viewer, folder: Path) -> None:
    """A few objects that were looked at, in the whole window."""
    empty(viewer)
    viewer.open_sample(docks.PLUGIN, "one_image_of_nuclei")
    labels = viewer.layers[-1]
    for layer in viewer.layers:
        layer.units, layer.scale = ("um", "um"), (0.325, 0.325)
    viewer.reset_view()
    dock = docks.open_dock(viewer, docks.EXPORT)
    dock.form.folder.line_edit.value = str(folder / "experiment 13")
    section = dock.form.correct
    section.expand(animate=False)
    numbers = np.unique(labels.data)[1:6]
    for centre in ndimage.center_of_mass(labels.data > 0, labels.data, numbers):
        viewer.cursor.position = tuple(labels.data_to_world(centre))
        press = next(do for key, do in labels.keymap.items() if str(key) == "A")
        press(labels)
    dock.form.annotated.expand(animate=False)
    wait(1)
    viewer.screenshot(str(IMAGES / "correct.png"), canvas_only=False, flash=False)
    section.collapse(animate=False)
    empty(viewer)


def train(viewer: napari.Viewer) -> None:
    """The form, then a training half-way and the whole window around it."""
    dock = docks.open_dock(viewer, docks.TRAIN)
    form = dock.job_form
    form.set_value(make_job(name="cells", engine="cellpose", builtin=(DATASET,)))
    form.engine.which_button.click()
    form.training_section.expand(animate=False)
    until(lambda: form.data.survey is not None and dock.form_page.button.isEnabled())
    take(dock, "train-cellpose", 900)
    form.engine.which_button.click()
    form.training_section.collapse(animate=False)
    job = make_job(name="nuclei", engine="stardist", builtin=(DATASET,))
    dock.job_form.set_value(job)
    until(lambda: "(auto)" in form.pretrained.box.currentText() and dock.form_page.button.isEnabled())
    take(dock, "train", 500)
    take(dock, "train-light", 500, light=True)
    dock.form_page.button.click()
    until(lambda: dock.run_view is not None and len(dock.run_view.curves.points().get("loss", ())) >= SHOWN_EPOCHS)
    docks.open_dock(viewer, docks.TRAIN)
    empty(viewer)
    until(dock.run_view.preview.box.isEnabled)
    dock.run_view.preview.box.setChecked(True)
    until(lambda: "prediction" in viewer.layers)
    viewer.reset_view()
    wait(1)
    viewer.screenshot(str(IMAGES / "training.png"), canvas_only=False, flash=False)
    take(dock, "run", 820)
    take(dock, "run-light", 820, light=True)
    until(lambda: bool(dock.run_view.outcome.text))


def segment(viewer: napari.Viewer) -> None:
    """The new model on an image that it has not seen."""
    empty(viewer)
    viewer.open_sample(docks.PLUGIN, "one_image_of_nuclei")
    dock = docks.open_dock(viewer, docks.SEGMENT)
    until(lambda: dock.model_name == "nuclei" and dock.button.isEnabled())
    dock.button.click()
    until(lambda: len(viewer.layers) == 3 and not dock.stop_button.isVisible())
    take(dock, "segment", 420)
    suggest(dock)


def suggest(dock: Any) -> None:
    """Which of some images to annotate next."""
    with tempfile.TemporaryDirectory() as folder:
        for image in sorted(builtin_folder(DATASET).glob("*.tif"))[::3]:
            if not image.stem.endswith("_labelled"):
                shutil.copy(image, folder)
        dock.form.frames.choose(FOLDER)
        dock.form.folders.images.line_edit.value = folder
        until(lambda: dock.suggest_button.isEnabled())
        dock.suggest_button.click()
        until(dock.suggestions.isVisible)
        take(dock, "suggest", 620)


def empty(viewer: napari.Viewer) -> None:
    """Remove all layers, with a drawing in between: napari may crash where several are gone at once."""
    make_current = canvas_of(viewer.window.main_menu)
    while viewer.layers:
        make_current()
        viewer.layers.pop()
        wait(0.2)


def take(widget: Any, name: str, height: int, *, light: bool = False) -> None:
    """Save a picture of a dock as narrow as it is meant to be usable."""
    get_settings().appearance.theme = "light" if light else "dark"
    parent = widget.parentWidget()
    while parent is not None and not hasattr(parent, "setFloating"):
        parent = parent.parentWidget()
    parent.setFloating(True)
    parent.resize(WIDTH, height)
    wait(1.5)
    widget.grab().save(str(IMAGES / f"{name}.png"))
    parent.setFloating(False)
    get_settings().appearance.theme = "dark"
    wait(0.5)
    sys.stdout.write(f"{name}.png\n")
    sys.stdout.flush()


def wait(seconds: float) -> None:
    until(lambda: False, seconds, forgiving=True)


def until(done: Callable[[], bool], seconds: float = 900, *, forgiving: bool = False) -> None:
    """Let the viewer work until something is done."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            if forgiving:
                return
            raise TimeoutError
        QApplication.processEvents()
        time.sleep(0.002)


if __name__ == "__main__":
    main()
