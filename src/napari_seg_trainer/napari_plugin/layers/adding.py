"""Layers that are added one after the other, so that the window draws itself in between."""

from collections import deque
from collections.abc import Callable, Iterable

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.compat import isalive
from qtpy.QtCore import QTimer

_PAUSE = 20
"""Milliseconds between two layers; the window draws the first one as soon as there is nothing else to do."""


def add_in_turns(
    viewer: ViewerModel, layers: Iterable[Layer], then: Callable[[], None] = lambda: None, *, select: bool = True
) -> Callable[[], None]:
    """Add the first layer at once and the others one by one, then call `then`.

    Parameters
    ----------
    viewer : ViewerModel
        Without a window, all are added at once.
    layers : iterable of Layer
    then : callable, optional
    select : bool
        Whether each new layer is selected, as napari does.

    Returns
    -------
    callable
        Drops what is not added yet; `then` is not called.
    """
    rest = deque(layers)
    window = getattr(viewer, "window", None)
    timer = None if window is None else QTimer(window.main_menu.window())  # it dies with the window

    def add_next() -> None:
        if rest:
            _add(viewer, rest.popleft(), select)
        if not rest:
            end()
            then()

    def end() -> None:
        rest.clear()
        if timer is not None and isalive(timer):  # type: ignore[no-untyped-call]
            timer.stop()
            timer.deleteLater()

    if timer is None:
        while rest:
            _add(viewer, rest.popleft(), select)
        then()
        return end
    timer.setInterval(_PAUSE)
    timer.timeout.connect(add_next)
    timer.start()
    add_next()
    return end


def _add(viewer: ViewerModel, layer: Layer, select: bool) -> None:
    active, selected = viewer.layers.selection.active, set(viewer.layers.selection)
    viewer.add_layer(layer)
    if not select and active is not None:
        viewer.layers.selection = selected
        viewer.layers.selection.active = active
