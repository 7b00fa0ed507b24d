"""The docks of this plugin in a viewer, and how a widget lives in one."""

from collections.abc import Callable
from typing import Any

from napari import Viewer
from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget

from napari_seg_trainer.napari_plugin.parts.warming import warm_up
from napari_seg_trainer.napari_plugin.parts.widgets import required

PLUGIN = "napari-seg-trainer"
EXPORT = "Export annotations"
TRAIN = "Train a segmentation model"
SEGMENT = "Segment with a trained model"
LIBRARY = "Model library"


def open_dock(viewer: Viewer, title: str) -> Any:
    """Open one of this plugin's docks, or bring it to the front, and return its widget."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, title)
    dock.show()
    widget.join()
    return widget


def opened(viewer: Viewer, title: str) -> Any | None:
    """Return the widget of one of this plugin's docks if it is open."""
    for name, widget in viewer.window.dock_widgets.items():
        if name == f"{title} ({PLUGIN})":
            return widget
    return None


def is_alive(widget: QWidget) -> bool:
    """Whether Qt has not deleted a widget."""
    try:
        widget.objectName()
    except RuntimeError:
        return False
    return True


class Docked(QWidget):
    """A widget that Qt deletes once the user closes its dock; napari only takes it out of the window.

    Attributes
    ----------
    tab_title : str
        On the tab of its dock; a widget that has none is not a dock by itself.
    touched : Signal
        The user has begun to use it.
    """

    tab_title = ""
    touched = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.is_touched = False
        self._is_in_front = True
        application = required(QApplication.instance())
        assert isinstance(application, QApplication)
        application.focusChanged.connect(self._focus_moved)
        warm_up(self)

    def event(self, event: QEvent | None) -> bool:
        """Handle an event, as Qt asks for it."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parentWidget() is None:
                self.deleteLater()
            elif self.tab_title and isinstance(self.parentWidget(), QDockWidget):
                self._enter(self.parentWidget())
        return super().event(event)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Bring the dock to the front where napari's menu shows it, or hides it behind another tab."""
        if event is not None and isinstance(watched, QDockWidget) and watched is self.parentWidget():
            # that of a dock in front is hidden by its own button; a whole window hides its docks without a word to them
            behind = event.type() == QEvent.Type.Hide and watched.isHidden() and not self._is_in_front
            if behind or event.type() == QEvent.Type.ShowToParent:
                QTimer.singleShot(0, self._bring_back)
        return super().eventFilter(watched, event)

    def join(self) -> None:
        """Share the tabs of this plugin's other docks in the same area of the window, in front of them."""
        dock, window = self.parentWidget(), window_of(self)
        if not isinstance(dock, QDockWidget) or window is None:
            return
        dock.setWindowTitle(self.tab_title)
        area = window.dockWidgetArea(dock)
        others = [other for other in _docks_in(window) if other is not dock and window.dockWidgetArea(other) == area]
        if others and not dock.isFloating() and others[-1] not in window.tabifiedDockWidgets(dock):
            window.tabifyDockWidget(others[-1], dock)
        dock.raise_()

    def _enter(self, dock: QWidget | None) -> None:
        assert isinstance(dock, QDockWidget)
        dock.installEventFilter(self)
        dock.visibilityChanged.connect(self._turn)
        # napari's menu puts one dock below the other, once this has returned
        QTimer.singleShot(0, self._join_if_alive)

    def _join_if_alive(self) -> None:
        if is_alive(self):
            self.join()

    def _bring_back(self) -> None:
        dock = self.parentWidget() if is_alive(self) else None
        if isinstance(dock, QDockWidget) and window_of(dock) is not None:
            dock.show()
            dock.raise_()

    def _turn(self, is_in_front: bool) -> None:
        self._is_in_front = is_in_front

    def _focus_moved(self, before: QWidget | None, now: QWidget | None) -> None:
        # with no focus before, it is the window that comes to the front
        if before is not None and now is not None and not self.is_touched and self.isAncestorOf(now):
            self.is_touched = True
            self.touched.emit()


def _docks_in(window: QMainWindow) -> list[QDockWidget]:
    """Return the docks of this plugin that share a window with others."""
    return [
        dock
        for dock in window.findChildren(QDockWidget)
        if isinstance(inside := dock.widget(), Docked)
        and inside.tab_title
        and not dock.isFloating()
        and not dock.isHidden()
    ]


def docked_of(widget: QWidget) -> Docked | None:
    """Return the dock, or the page of one, that a widget is in."""
    parent: QWidget | None = widget
    while parent is not None and not isinstance(parent, Docked):
        parent = parent.parentWidget()
    return parent


def window_of(widget: QWidget) -> QMainWindow | None:
    """Return the viewer's window that a widget is docked in."""
    # not QWidget.window(): a dock that floats is a window, too
    parent: QWidget | None = widget
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parentWidget()
    return parent


def at_the_end(widget: QWidget, callback: Callable[[], None]) -> None:
    """Call `callback` when Qt deletes the widget, and when the last window is closed.

    Where the application quits then, it may not come to the deletion before napari waits for all its threads.
    """
    application = required(QApplication.instance())
    assert isinstance(application, QApplication)

    def end(_gone: object = None) -> None:
        callback()

    def leave(_gone: object = None) -> None:
        application.lastWindowClosed.disconnect(end)
        callback()

    application.lastWindowClosed.connect(end)
    widget.destroyed.connect(leave)
