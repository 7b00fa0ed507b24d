"""Tests of the widgets: in a window of Qt where that shows the same, and in a real viewer where it does not."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("napari")

from napari import Viewer
from napari._qt.threads.status_checker import StatusChecker
from napari.components import ViewerModel
from napari.plugins import _initialize_plugins
from pytestqt.exceptions import TimeoutError
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, Qt, QThreadPool
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget

from napari_seg_trainer import train
from napari_seg_trainer.napari_plugin.train import start_look
from napari_seg_trainer.runs.run import Run
from testkit.patience import MILLISECONDS
from testkit.shared_viewer import SharedViewer, fresh_settings


class PatientBot(QtBot):
    """Waits as long as it may take on any machine, where a test does not say for how long."""

    def waitUntil(self, callback: Callable[[], Any], *, timeout: int = MILLISECONDS) -> None:
        try:
            super().waitUntil(callback, timeout=timeout)
        except TimeoutError as error:
            pool, threads = QThreadPool.globalInstance(), [thread.name for thread in threading.enumerate()]
            error.add_note(f"{pool.activeThreadCount()} of {pool.maxThreadCount()} threads are at work; {threads}")
            raise

    def mouseClick(self, widget: QWidget, *where: Any, **more: Any) -> None:
        """Click on what has a size: in a section that has just unfolded, a button has none for a moment."""
        if "pos" not in more:
            self.waitUntil(lambda: not widget.rect().isEmpty())
        super().mouseClick(widget, *where, **more)

    def waitSignal(self, signal: Any, *, timeout: int = MILLISECONDS, **options: Any) -> Any:
        return super().waitSignal(signal, timeout=timeout, **options)

    def waitExposed(self, widget: Any, *, timeout: int = MILLISECONDS) -> Any:
        return super().waitExposed(widget, timeout=max(timeout, MILLISECONDS))  # napari's fixture gives five seconds


@pytest.fixture
def real_look() -> None:
    """Forms ask in a process of its own what a training would start from."""


@pytest.fixture(autouse=True)
def _looks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test does not ask for it, nobody looks: that imports a framework in another process, each time."""
    if "real_look" not in request.fixturenames:
        monkeypatch.setattr(start_look, "look", lambda job, running: start_look.Proposal("Not looked at."))


@pytest.fixture
def qtbot(qapp: QApplication, request: pytest.FixtureRequest) -> QtBot:
    """The mouse and keyboard of pytest-qt."""
    return PatientBot(request)


@pytest.fixture(scope="session")
def _shared_viewer(qapp: QApplication) -> Iterator[SharedViewer]:
    shared = SharedViewer()
    # as in napari's own tests: a thread for the status bar's text would outlive what a test looks for
    with patch.object(StatusChecker, "start", lambda _thread: None):
        yield shared
        shared.close()


@pytest.fixture
def viewer(_shared_viewer: SharedViewer, qtbot: QtBot, home: Path, request: pytest.FixtureRequest) -> Iterator[Viewer]:
    """A viewer that is shown, with an empty home of models and runs; what a widget leaves behind fails the test.

    It is the same for all tests of a process, and emptied after each.
    """
    viewer, failed = _shared_viewer.get(), request.session.testsfailed
    qtbot.waitExposed(viewer.window._qt_window)
    yield viewer
    left = _shared_viewer.empty()
    if left or request.session.testsfailed > failed:
        _shared_viewer.close()
    assert not left, left
    no_framework_is_imported()


@pytest.fixture
def exposed_viewer(viewer: Viewer, _shared_viewer: SharedViewer) -> Iterator[Viewer]:
    """The same as napari makes it: Mesa may crash where layers are removed."""
    _shared_viewer.expose()
    yield viewer
    _shared_viewer.protect()


@pytest.fixture
def no_viewer(_shared_viewer: SharedViewer) -> None:
    """No viewer is open."""
    _shared_viewer.close()


@pytest.fixture
def viewer_model(request: pytest.FixtureRequest, home: Path) -> ViewerModel:
    """The test's viewer if it names one, else a viewer without a window: layers, dimensions and camera alone."""
    if "viewer" in request.fixturenames:
        return request.getfixturevalue("viewer")
    fresh_settings()
    _initialize_plugins()  # as a window does; else even napari's own readers are not known
    return ViewerModel()


@pytest.fixture
def docked(request: pytest.FixtureRequest, qtbot: QtBot, home: Path) -> Iterator[Callable[[Any], Any]]:
    """Dock a widget and return it: in the test's viewer if it names one, else in a window of its own that is shown.

    A window has neither OpenGL nor napari's layer list, and is there twenty times sooner. What a widget leaves behind
    fails the test.
    """
    if "viewer" in request.fixturenames:
        viewer = request.getfixturevalue("viewer")

        def dock_in_viewer(widget: Any) -> Any:
            viewer.window.add_dock_widget(widget, name="under test")
            qtbot.waitExposed(getattr(widget, "native", widget))
            return widget

        yield dock_in_viewer
        return
    fresh_settings()
    before = set(QApplication.topLevelWidgets())
    window = QMainWindow()
    window.resize(500, 900)

    def dock(widget: Any) -> Any:
        frame = QDockWidget("under test")
        frame.setWidget(getattr(widget, "native", widget))
        window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, frame)
        window.show()
        qtbot.waitExposed(window)
        return widget

    yield dock
    window.close()
    window.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    left = set(QApplication.topLevelWidgets()) - before
    assert not left, left
    no_framework_is_imported()


def no_framework_is_imported() -> None:
    assert not {"tensorflow", "torch"} & sys.modules.keys()


@pytest.fixture
def begin(home: Path, toy: str, annotation_folder: Callable[..., Path]) -> Callable[..., Run]:
    """Begin a real training of the toy engine in a process of its own, and return its run.

    ``begin("nuclei", epochs=1000, seconds=0.1)``; other names are those of the engine's parameters.
    """
    data = annotation_folder()

    def start(name: str = "nuclei", **hyperparameters: object) -> Run:
        return train(data, name=name, engine=toy, wait=False, **hyperparameters)

    return start
