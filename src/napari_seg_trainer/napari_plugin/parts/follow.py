"""Hearing of changes in the viewer for as long as a widget lives."""

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QWidget


def follow(owner: QWidget, emitter: Any, callback: Callable[[Any], None]) -> None:
    """Call `callback` with each event of one of napari's emitters, or group of them, while `owner` lives."""

    def tell(event: Any = None) -> None:
        callback(event)

    def leave(_gone: object = None) -> None:
        emitter.disconnect(tell)

    emitter.connect(tell)
    owner.destroyed.connect(leave)
