"""The docks of this plugin in a viewer, and how a widget lives in one."""

from collections.abc import Callable
from typing import Any

from napari import Viewer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_seg_trainer.napari_plugin.parts.widgets import required

PLUGIN = "napari-seg-trainer"
EXPORT = "Export annotations"
TRAIN = "Train a segmentation model"
SEGMENT = "Segment with a trained model"
LIBRARY = "Model library"


def open_dock(viewer: Viewer, title: str) -> Any:
    """Open one of this plugin's docks, or bring it to the front, and return its widget."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, title, tabify=True)
    dock.show()
    dock.raise_()
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
    """A widget that Qt deletes once the user closes its dock; napari only takes it out of the window."""

    def event(self, event: QEvent | None) -> bool:
        """Handle an event, as Qt asks for it."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parentWidget() is None:
            self.deleteLater()
        return super().event(event)


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
