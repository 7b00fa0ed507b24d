"""The viewer's canvas, as Qt knows it."""

from collections.abc import Callable
from contextlib import suppress

from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.napari_plugin.parts.docks import window_of


def canvas_of(widget: QWidget) -> Callable[[], None]:
    """Return what is to be called before layers are removed from the viewer that a widget is docked in.

    napari 0.9 deletes a removed layer's programs in whatever OpenGL context is the current one. Where that is not the
    canvas's own, Mesa's software renderer forgets what it draws other layers with, and the process dies at the next
    drawing. A click makes Qt's own context the current one.
    """
    window = window_of(widget)
    canvases = [] if window is None else window.findChildren(QOpenGLWidget)

    def make_current() -> None:
        for canvas in canvases:
            with suppress(RuntimeError):  # Qt has deleted it
                canvas.makeCurrent()

    return make_current
