"""Take pictures of each dock in each state, on small and large screens, in both themes, to be looked through.

python scripts/with_display.py --size 1920x1080 python scripts/dock_states.py FOLDER
"""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import napari
import numpy as np
from napari.settings import get_settings
from PIL import Image
from qtpy.QtWidgets import QMessageBox

# it sets the environment, and so comes before napari
from screenshots import DATASET, empty, until, wait

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.api import make_job
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.napari_plugin.parts import docks
from napari_seg_trainer.napari_plugin.parts.widgets import Section
from napari_seg_trainer.napari_plugin.segment.frames import FOLDER
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import Failed, Started
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

SIZES = ((1366, 768), (1920, 1080))
THEMES = ("dark", "light")


class Pictures:
    """Takes pictures of a viewer's window, in each size and theme."""

    def __init__(self, viewer: napari.Viewer, folder: Path) -> None:
        self._viewer, self._folder = viewer, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.taken = 0

    def take(self, name: str) -> None:
        """Take the pictures of a state; what goes on, goes on meanwhile."""
        window = self._viewer.window._qt_window
        for width, height in SIZES:
            window.resize(width, height)
            for theme in THEMES:
                get_settings().appearance.theme = theme
                wait(0.4)
                path = self._folder / f"{name}-{width}-{theme}.png"
                window.grab().save(str(path))
                self.taken += 1
        get_settings().appearance.theme = "dark"
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dock-states")
    viewer = napari.Viewer(show_welcome_screen=False)
    wait(1)
    pictures = Pictures(viewer, folder)
    with tempfile.TemporaryDirectory() as work:
        for part in (export, train_form, training, segment, library):
            part(viewer, pictures, Path(work))
    viewer.close()
    sheets(folder)
    sys.stdout.write(f"{pictures.taken} pictures in {folder}\n")


def export(viewer: napari.Viewer, pictures: Pictures, work: Path) -> None:
    dock = docks.open_dock(viewer, docks.EXPORT)
    wait(0.5)
    pictures.take("export-empty")
    rng = np.random.default_rng(0)
    viewer.add_image(rng.integers(0, 999, (3, 256, 256)).astype(np.uint16), name="experiment 12 DAPI")
    wait(0.5)
    pictures.take("export-no-labels")
    dock.no_labels.add_button.click()
    wait(0.5)
    pictures.take("export-before-anything-is-done")
    dock.form.folder.line_edit.native.setFocus()
    dock.form.folder.line_edit.value = "relative"
    wait(0.5)
    pictures.take("export-errors")
    empty(viewer)
    viewer.open_sample(docks.PLUGIN, "nuclei")
    image, labels = viewer.layers
    for layer in (image, labels):
        layer.units, layer.scale = ("pixel", "um", "um"), (1, 0.325, 0.325)
    biggest = np.bincount(labels.data[0].ravel())[1:].argmax() + 1
    rows = (labels.data[0] == biggest).any(axis=1).nonzero()[0]
    middle = int(rows.mean())
    labels.data[0, middle - 1 : middle + 1][labels.data[0, middle - 1 : middle + 1] == biggest] = 0
    labels.refresh()
    dock.form.folder.line_edit.value = str(work)
    dock.form.population.value = "nuclei"
    until(dock.button.isEnabled)
    viewer.dims.set_current_step(0, 0)
    viewer.reset_view()
    pictures.take("export-ready")
    dock.button.click()
    until(lambda: dock.result.isVisible() and dock.button.isVisible())
    pictures.take("export-done")
    finding = next((one for one in dock.result.findings.findings if one.label is not None), None)
    if finding is not None:
        dock.result.findings.chosen.emit(finding)
        wait(0.3)
        pictures.take("export-show")
    dock.button.click()
    until(lambda: dock.findChild(QMessageBox) is not None)
    box = dock.findChild(QMessageBox)
    next(button for button in box.buttons() if button.text().startswith("Replace")).click()
    until(dock.result.undo.isVisible)
    pictures.take("export-replaced")
    empty(viewer)


def train_form(viewer: napari.Viewer, pictures: Pictures, work: Path) -> None:
    dock = docks.open_dock(viewer, docks.TRAIN)
    form = dock.job_form
    wait(1)
    pictures.take("train-empty")
    form.engine.which_button.click()
    pictures.take("train-which")
    form.engine.which_button.click()
    form.data.sample_button.click()
    until(lambda: "(auto)" in form.pretrained.box.currentText() and dock.form_page.button.isEnabled())
    pictures.take("train-sample")
    form.data.look_button.setChecked(True)
    pictures.take("train-findings")
    form.data.look_button.setChecked(False)
    for section in dock.form_page.findChildren(Section):
        section.expand(animate=False)
    for engine in ("stardist", "cellpose", "cellpose-sam"):
        form.engine.buttons[engine].click()
        wait(1)
        pictures.take(f"train-unfolded-{engine}")
    form.engine.buttons["stardist"].click()
    form.name.native.setFocus()
    form.name.value = "a/b"
    form.training.basic.form.field("batch_size").native.setText("x")
    pictures.take("train-errors")
    for section in dock.form_page.findChildren(Section):
        section.collapse(animate=False)


def training(viewer: napari.Viewer, pictures: Pictures, work: Path) -> None:
    dock = docks.open_dock(viewer, docks.TRAIN)
    job = make_job(name="my nuclei", engine="stardist", builtin=(DATASET,), hyperparameters={"epochs": 30})
    dock.job_form.set_value(job)
    until(dock.form_page.button.isEnabled)
    dock.form_page.button.click()
    until(lambda: dock.run_view is not None and dock.run_view.isVisible())
    view = dock.run_view
    pictures.take("run-starting")
    until(lambda: len(view.curves.points().get("ap50", ())) > 2)
    view.preview.box.setChecked(True)
    until(lambda: "prediction" in viewer.layers)
    viewer.reset_view()
    pictures.take("run-training")
    docks.open_dock(viewer, docks.SEGMENT)
    wait(2)
    pictures.take("segment-while-training")
    docks.open_dock(viewer, docks.TRAIN)
    until(lambda: bool(view.outcome.text))
    wait(1)
    pictures.take("run-finished")
    view._area.verticalScrollBar().setValue(view._area.verticalScrollBar().maximum())
    pictures.take("run-finished-below")
    view.preview.box.setChecked(False)
    empty(viewer)
    broken = Run.create(job.replace(name="failed"))
    broken.claim()
    broken.append(Started(epochs=3, steps_per_epoch=4, training_images=3, validation_images=1, device="CPU"))
    broken.append(Failed(message="Out of memory. Use a smaller batch size or patch size, or close other programs."))
    dock.open_run(broken)
    until(lambda: bool(view.outcome.text) and view.shown == broken)
    pictures.take("run-failed")
    dock.show_form()


def segment(viewer: napari.Viewer, pictures: Pictures, work: Path) -> None:
    dock = docks.open_dock(viewer, docks.SEGMENT)
    until(dock.try_button.isVisible)
    pictures.take("segment-empty")
    dock.try_button.click()
    wait(1)
    pictures.take("segment-running")
    until(lambda: not dock.stop_button.isVisible() and len(viewer.layers) > 2)
    pictures.take("segment-done")
    for section in dock.findChildren(Section):
        section.expand(animate=False)
    dock.form.frames.choose(FOLDER)
    pictures.take("segment-which-folder")
    dock.form.folders.images.line_edit.value = str(builtin_folder(DATASET))
    until(dock.suggest_button.isEnabled)
    pictures.take("segment-folder")
    dock.progress.show_problem("'cell_01.tif' could not be read. Choose another folder.")
    pictures.take("segment-problem")
    empty(viewer)


def library(viewer: napari.Viewer, pictures: Pictures, work: Path) -> None:
    dock = docks.open_dock(viewer, docks.LIBRARY)
    until(lambda: dock.table.rowCount() == 1)
    pictures.take("library-one")
    made = work / "made"
    made.mkdir()
    (made / "weights.txt").write_text("")
    channels = (ModelChannel(name="actin"), ModelChannel(name="dapi"))
    card = ModelCard(name="from another lab", engine="unknown", created=datetime.now(UTC), channels=channels)
    card = card.replace(scores={"ap50": 0.91})
    ModelLibrary().register(made, card)
    until(lambda: dock.table.rowCount() == 2)
    dock.table.selectAll()
    dock.compare_button.click()
    until(dock.comparison.isVisible)
    pictures.take("library-compared")
    card_file = ModelLibrary().folder / "from another lab" / "model_card.json"
    card_file.unlink()  # a change within a file is not noticed
    card_file.write_text("{")
    until(lambda: any(dock.table.item(row, 1).text() == "broken" for row in range(dock.table.rowCount())))
    dock.table.selectRow(next(row for row in range(2) if dock.table.item(row, 1).text() == "broken"))
    pictures.take("library-broken")
    for name in ModelLibrary().names():
        ModelLibrary().delete(name)
    ModelLibrary().delete("from another lab")
    until(dock.no_model.isVisible)
    pictures.take("library-empty")


def sheets(folder: Path) -> None:
    """Put the docks of all states side by side, for a quick look."""
    for width, height in SIZES:
        for theme in THEMES:
            paths = sorted(folder.glob(f"*-{width}-{theme}.png"))
            tiles: list[Image.Image] = []
            for path in paths:
                with Image.open(path) as image:
                    tiles.append(image.convert("RGB").crop((image.width - 420, 0, image.width, image.height)))
            for number, start in enumerate(range(0, len(tiles), 5), 1):
                row = tiles[start : start + 5]
                sheet = Image.new("RGB", (420 * len(row), height))
                for place, tile in enumerate(row):
                    sheet.paste(tile, (420 * place, 0))
                sheet.save(folder / f"sheet-{width}-{theme}-{number}.png")


if __name__ == "__main__":
    main()
