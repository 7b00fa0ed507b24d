"""Runs that are to stop when napari closes."""

import logging

from qtpy.QtCore import QCoreApplication, QObject
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_seg_trainer.errors import RunError
from napari_seg_trainer.napari_plugin.parts.docks import window_of
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run

_log = logging.getLogger(__name__)


class _AtClosing(QObject):
    """Lives as long as a viewer's window, longer than a dock in it."""

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        runs: set[Run] = set()
        self.runs = runs
        application = QCoreApplication.instance()
        assert application is not None, "there is a window"

        def quit_() -> None:
            _stop(runs)

        def close(_gone: object = None) -> None:
            application.aboutToQuit.disconnect(quit_)
            _stop(runs)

        # napari's window is deleted once it is closed; where the whole application quits, it may not come to that
        window.destroyed.connect(close)
        application.aboutToQuit.connect(quit_)


def stop_at_closing(widget: QWidget, run: Run, yes: bool) -> None:
    """Choose whether a run is to stop, and keep its best epoch, when the viewer that `widget` is in closes."""
    window = window_of(widget)
    if window is not None:
        kept = _kept(window) or _AtClosing(window)
        if yes:
            kept.runs.add(run)
        else:
            kept.runs.discard(run)


def stops_at_closing(widget: QWidget, run: Run) -> bool:
    """Return what was chosen for a run with `stop_at_closing`; False by default."""
    window = window_of(widget)
    kept = None if window is None else _kept(window)
    return kept is not None and run in kept.runs


def _kept(window: QMainWindow) -> _AtClosing | None:
    return next(iter(window.findChildren(_AtClosing)), None)


def _stop(runs: set[Run]) -> None:
    while runs:
        run = runs.pop()
        try:
            if run.state() in ACTIVE_STATES:
                run.request_stop()
        except (RunError, OSError) as error:
            _log.warning("Run '%s' could not be stopped: %s", run.id, error)
