"""One viewer for many tests, emptied after each: opening and closing one takes longer than most of what they do."""

import gc
from contextlib import suppress

from napari import Viewer
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.settings import get_settings
from napari.utils.colormap_backend import ColormapBackend
from napari.utils.notifications import notification_manager
from napari.utils.triangulation_backend import TriangulationBackend
from qtpy.QtCore import QEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget


def fresh_settings() -> None:
    """napari's settings as they come, but that numba compiles nothing: a reset forgets the environment's variables."""
    settings = get_settings()
    settings.reset()
    settings.experimental.triangulation_backend = TriangulationBackend.pure_python
    settings.experimental.colormap_backend = ColormapBackend.pure_python


class SharedViewer:
    """Opens a viewer when it is asked for one and there is none, and whenever a test has closed it.

    napari 0.9 deletes what a layer was drawn with in the OpenGL context that is current. In another than the canvas's
    own, Mesa's software renderer dies at some later drawing, in another test; so the canvas's is made the current one.
    It also looks for garbage in the whole memory whenever a layer is removed, which took a fifth of the time of such
    tests; so what is there when the viewer is open is left out.
    """

    def __init__(self) -> None:
        self._viewer: Viewer | None = None
        self._size = (0, 0)
        self._before: set[QWidget] = set()

    def get(self) -> Viewer:
        """A viewer without layers and docks; its window is the active one."""
        fresh_settings()
        if self._viewer is None:
            self._viewer = Viewer(show=True, show_welcome_screen=False)
            self.protect()
            self._size = _window(self._viewer).width(), _window(self._viewer).height()
            gc.collect()
            gc.freeze()
        self._before = set(QApplication.topLevelWidgets())
        _window(self._viewer).activateWindow()
        return self._viewer

    def protect(self) -> None:
        """Make the canvas's context the current one whenever a layer is removed."""
        assert self._viewer is not None
        self._viewer.layers.events.removed.connect(self._make_current, position="first")

    def expose(self) -> None:
        """Leave that to whoever removes a layer."""
        assert self._viewer is not None
        self._viewer.layers.events.removed.disconnect(self._make_current)

    def empty(self) -> set[QWidget]:
        """Make it as it was, and return the windows that are left behind."""
        assert self._viewer is not None
        if not hasattr(self._viewer.window, "_qt_window"):  # the test has closed it
            self._viewer = None
            gc.unfreeze()
        else:
            _empty(self._viewer)
            _window(self._viewer).resize(*self._size)
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
        left = set(QApplication.topLevelWidgets()) - self._before
        return {widget for widget in left if not self._owns(widget)}

    def _make_current(self) -> None:
        assert self._viewer is not None
        for canvas in _window(self._viewer).findChildren(QOpenGLWidget):
            canvas.makeCurrent()

    def _owns(self, widget: QWidget) -> bool:
        """Whether a window belongs to the viewer's, such as what its sliders and lists pop up."""
        if self._viewer is None:
            return False
        window, parent = _window(self._viewer), widget.parent()
        while parent is not None and parent is not window:
            parent = parent.parent()
        return parent is window

    def close(self) -> None:
        """Close it; the next test has another one."""
        gc.unfreeze()
        if self._viewer is not None and hasattr(self._viewer.window, "_qt_window"):
            self._viewer.close()
        self._viewer = None


def _window(viewer: Viewer) -> QWidget:
    return viewer.window._qt_window


def _empty(viewer: Viewer) -> None:
    window = _window(viewer)
    for dock in list(viewer.window._wrapped_dock_widgets.values()):
        _remove(viewer, dock)
    viewer.layers.clear()
    viewer.dims.ndisplay = 2
    viewer.title = "napari"
    for shown in window.findChildren(NapariQtNotification):
        shown.close()
    notification_manager.records.clear()


def _remove(viewer: Viewer, dock: QDockWidget) -> None:
    inner = dock.widget()
    viewer.window.remove_dock_widget(dock)
    with suppress(RuntimeError):  # it has deleted itself
        inner.deleteLater()
