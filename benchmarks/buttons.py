"""How long each button of the docks blocks the viewer: the longest gap of a 5 ms timer after a click.

Every button that is shown and enabled in each state of the docks is pressed, with the sample images and a StarDist
training of two epochs; those that open a dialog of the system are left out, and listed. What napari takes by itself to
add the layers of a sample, without a dock, is measured in the same way. `viewer.py` asks this.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import napari
from qtpy.QtCore import QEventLoop, QObject, Qt, QTimer, QUrl, Slot
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QAbstractButton, QApplication, QMenu, QMessageBox, QWidget

from napari_seg_trainer.api import make_job
from napari_seg_trainer.napari_plugin.layers.samples import sample_layers
from napari_seg_trainer.napari_plugin.parts import docks
from napari_seg_trainer.napari_plugin.parts.widgets import Section

TICK = 5
"""Milliseconds of the timer."""
WATCHED = 1.5
"""Seconds after a click in which the gaps are looked at."""
SYSTEM = {"…", "Choose files…"}
"""Buttons that open a dialog of the system, which has an event loop of its own."""
DATASET = "nuclei_dsb2018"


@dataclass
class Presses:
    """What was pressed, and how long that blocked."""

    gaps: dict[str, float] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)

    def press(self, state: str, button: QAbstractButton, seconds: float = WATCHED) -> None:
        """Click, and look at the gaps for a while."""
        self.watch(f"{state}: {name_of(button)}", button.click, seconds)

    def watch(self, name: str, action: Callable[[], object], seconds: float = WATCHED) -> None:
        """Do something, and look at the gaps for a while."""
        ticks: list[float] = []
        timer = QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
        timer.start(TICK)
        wait(max(0.1, seconds / 3))  # what the click before has begun is over
        ticks.clear()
        began = time.perf_counter()
        action()
        clicked = time.perf_counter() - began
        wait(seconds)
        timer.stop()
        gaps = [after - before for before, after in zip([began, *ticks], ticks, strict=False)]
        self.gaps[name] = max(self.gaps.get(name, 0.0), 1000 * max([clicked, *gaps]))

    def press_all(self, state: str, widget: QWidget, skip: set[str] | None = None) -> None:
        """Press every button that is shown and enabled, in turn; what a question asks is answered with "Go back"."""
        for button in list(buttons(widget)):
            name = name_of(button)
            if name in SYSTEM or button.text() in SYSTEM:
                self.left_out.add(name)
            elif name not in (skip or set()) and docks.is_alive(button) and button.isVisible() and button.isEnabled():
                self.press(state, button, 0.5)
                dismiss()


def name_of(button: QAbstractButton) -> str:
    return button.accessibleName() or button.text()


def buttons(widget: QWidget) -> Iterator[QAbstractButton]:
    for button in widget.findChildren(QAbstractButton):
        if button.isVisible() and button.isEnabled() and name_of(button) and not button.objectName().startswith("qt_"):
            yield button


def dismiss() -> None:
    """Close menus and questions."""
    for top in QApplication.topLevelWidgets():
        if isinstance(top, QMenu) and top.isVisible():
            top.close()
        elif isinstance(top, QMessageBox) and top.isVisible():
            next(button for button in top.buttons() if button.text() == "Go back").click()
    wait(0.1)


def wait(seconds: float) -> None:
    """Run the event loop itself, as napari does."""
    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def until(done: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError
        wait(0.1)


def measure() -> Presses:
    """Go through the docks as a user does."""
    presses, browser = Presses(), Browser()
    QDesktopServices.setUrlHandler("file", browser, "open")
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(1366, 768)
    wait(1)
    export(presses, viewer)
    train(presses, viewer)
    segment(presses, viewer)
    library(presses, viewer)
    viewer.close()
    return presses


def measure_napari() -> Presses:
    """Add the layers of a sample to a viewer without docks, twice, one by one."""
    presses = Presses()
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(1366, 768)
    wait(1)
    for turn in ("first", "second"):
        for layer in sample_layers():
            presses.watch(f"{type(layer).__name__.lower()} layer, {turn}", partial(viewer.add_layer, layer))
    viewer.close()
    return presses


class Browser(QObject):
    """Opens nothing."""

    @Slot(QUrl)
    def open(self, _url: QUrl) -> None:
        """Do nothing."""


def export(presses: Presses, viewer: napari.Viewer) -> None:
    dock = docks.open_dock(viewer, docks.EXPORT)
    wait(0.5)
    presses.press("Export, empty", dock.no_labels.sample_button)
    for layer in viewer.layers:
        layer.scale, layer.units = (0.5, 0.5), ("um", "um")
    folder = TemporaryDirectory()
    dock.form.folder.line_edit.value = folder.name
    dock.form.population.value = "nuclei"
    until(dock.button.isEnabled)
    presses.press("Export", dock.button, 3)
    until(lambda: dock.result.isVisible() and dock.button.isVisible())
    presses.press_all("Export, done", dock, skip={"Train on this", "Export"})
    presses.press("Export, done", dock.result.train)


def train(presses: Presses, viewer: napari.Viewer) -> None:
    dock = docks.open_dock(viewer, docks.TRAIN)
    form = dock.job_form
    until(lambda: form.data.survey is not None)
    form.data.set_value((), ())
    wait(0.5)
    presses.press("Train, empty", form.data.sample_button, 3)
    until(dock.form_page.button.isEnabled)
    presses.press_all("Train, form", dock, skip={"Train", "Remove", "Add a folder"})
    job = make_job(
        name="pressed", engine="stardist", builtin=(DATASET,), hyperparameters={"epochs": 2, "augmentation": 1.0}
    )
    form.set_value(job)
    until(dock.form_page.button.isEnabled)
    presses.press("Train, form", dock.form_page.button, 5)
    until(lambda: dock.run_view is not None and dock.run_view.progress.ended > 0)
    presses.press_all("Train, running", dock, skip={"Cancel", "New training", "Stop and keep the best"})
    until(lambda: bool(dock.run_view.outcome.text))
    wait(1)
    view = dock.run_view
    presses.press_all("Train, finished", dock, skip={"New training", *map(name_of, leading_away(view))})
    for button in leading_away(view):
        if button.isVisible():
            docks.open_dock(viewer, docks.TRAIN)
            wait(0.5)
            presses.press("Train, finished", button, 5)
            dismiss()
            if dock.run_view.isHidden() or not view.isVisible():
                dock.open_run(view.shown)
                wait(1)


def leading_away(view: Any) -> list[QAbstractButton]:
    outcome = view.outcome
    return [*view.worst_images.buttons[:1], outcome.correct, outcome.segment, outcome.train_again]


def segment(presses: Presses, viewer: napari.Viewer) -> None:
    dock = docks.open_dock(viewer, docks.SEGMENT)
    while viewer.layers:
        viewer.layers.pop()
        wait(0.2)
    until(dock.try_button.isVisible)
    presses.press("Segment, empty", dock.try_button, 8)
    until(lambda: not dock.stop_button.isVisible() and len(viewer.layers) > 2)
    presses.press("Segment", dock.button, 4)
    until(lambda: not dock.stop_button.isVisible())
    presses.press_all("Segment", dock, skip={"Segment"})


def library(presses: Presses, viewer: napari.Viewer) -> None:
    dock = docks.open_dock(viewer, docks.LIBRARY)
    until(lambda: dock.table.rowCount() == 1)
    for section in dock.findChildren(Section):
        presses.press("Library", section.toggleButton())
    presses.press_all("Library", dock, skip={"Segment", "Train from this", "Share"})
    presses.press("Library", dock.train_button)
    docks.open_dock(viewer, docks.LIBRARY)
    presses.press("Library", dock.button)
