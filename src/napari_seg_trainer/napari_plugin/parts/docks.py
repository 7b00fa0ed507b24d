"""The docks of this plugin in a viewer."""

from typing import Any

from napari import Viewer
from qtpy.QtWidgets import QWidget

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
