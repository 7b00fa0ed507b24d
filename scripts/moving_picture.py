"""Make docs/images/tour.webp: from an image to a model of one's own, in the real docks, with a real training.

On a machine without a screen::

    python scripts/with_display.py python scripts/moving_picture.py
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import napari
from napari.settings import get_settings
from PIL import Image
from qtpy.QtWidgets import QApplication, QMainWindow

# it sets the environment, and so comes before napari
from screenshots import DATASET, IMAGES, empty, until, wait

from napari_seg_trainer.api import make_job
from napari_seg_trainer.napari_plugin.parts import docks

TARGET = IMAGES / "tour.webp"
WINDOW, SHOWN = (1240, 760), (930, 570)
MOST_BYTES = 1_000_000
QUALITIES = (70, 60, 50, 40, 30)
PAUSE, STEP = 1800, 350
"""Milliseconds: how long a picture stays where something is to be read, and elsewhere."""
Frame = tuple[Image.Image, int]


class Recorder:
    """Takes pictures of a window."""

    def __init__(self, window: QMainWindow) -> None:
        self._window = window
        self.frames: list[Frame] = []

    def take(self, milliseconds: int = STEP) -> None:
        """Take a picture, to be shown for so long."""
        QApplication.processEvents()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frame.png"
            self._window.screen().grabWindow(self._window.winId()).save(str(path))
            with Image.open(path) as image:
                self.frames.append((image.convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS), milliseconds))

    def follow(self, done: Callable[[], bool], seconds: float, most: int) -> None:
        """Take a picture every so many seconds until something is done; of many, some are left out."""
        begin = len(self.frames)
        while not done():
            wait(seconds)
            self.take()
        taken = self.frames[begin:]
        self.frames[begin:] = (
            [taken[round(i * (len(taken) - 1) / (most - 1))] for i in range(most)] if len(taken) > most else taken
        )


def main() -> None:
    get_settings().appearance.theme = "dark"
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(*WINDOW)
    recorder = Recorder(viewer.window._qt_window)
    viewer.open_sample(docks.PLUGIN, "one_image_of_nuclei")
    viewer.layers.pop()  # as an image that nobody has annotated
    segment(viewer, recorder)
    train(viewer, recorder)
    viewer.close()
    save(recorder.frames)


def segment(viewer: napari.Viewer, recorder: Recorder) -> None:
    """A first segmentation, by a model that is included."""
    dock = docks.open_dock(viewer, docks.SEGMENT)
    until(lambda: dock.model_name == "nuclei_fluorescence" and dock.button.isEnabled())
    viewer.reset_view()
    wait(1)
    recorder.take(PAUSE)
    dock.button.click()
    until(lambda: len(viewer.layers) == 2 and not dock.stop_button.isVisible())
    wait(0.5)
    recorder.take(PAUSE)
    docks.open_dock(viewer, docks.EXPORT)
    wait(1)
    recorder.take(PAUSE)


def train(viewer: napari.Viewer, recorder: Recorder) -> None:
    """A training, its verdict, and its model in use."""
    dock = docks.open_dock(viewer, docks.TRAIN)
    dock.job_form.set_value(make_job(name="my nuclei", engine="stardist", builtin=(DATASET,)))
    until(lambda: "(auto)" in dock.job_form.pretrained.box.currentText() and dock.form_page.button.isEnabled())
    wait(1)
    recorder.take(PAUSE)
    dock.form_page.button.click()
    until(lambda: dock.run_view is not None and len(dock.run_view.curves.points().get("loss", ())) > 0)
    view = dock.run_view
    until(view.preview.box.isEnabled)
    empty(viewer)
    view.preview.box.setChecked(True)
    until(lambda: "prediction" in viewer.layers)
    viewer.reset_view()
    recorder.follow(lambda: bool(view.outcome.text), 2, most=24)
    wait(1)
    recorder.take(2 * PAUSE)
    view.preview.box.setChecked(False)
    empty(viewer)
    viewer.open_sample(docks.PLUGIN, "one_image_of_nuclei")
    viewer.layers.pop()
    viewer.reset_view()
    view.outcome.segment.click()
    found = docks.open_dock(viewer, docks.SEGMENT)
    until(lambda: found.model_name == "my nuclei" and found.button.isEnabled())
    found.button.click()
    until(lambda: len(viewer.layers) == 2 and not found.stop_button.isVisible())
    wait(0.5)
    recorder.take(2 * PAUSE)


def save(frames: list[Frame]) -> None:
    """Write the pictures, as good as the size allows."""
    images, durations = zip(*frames, strict=True)
    for quality in QUALITIES:
        first, *others = images
        first.save(
            TARGET, save_all=True, append_images=others, duration=list(durations), loop=0, quality=quality, method=6
        )
        if TARGET.stat().st_size <= MOST_BYTES:
            break
    sys.stdout.write(f"{TARGET.name}: {len(frames)} pictures, {TARGET.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
