"""Work beside the viewer, in a thread, whose failures are reported in one line."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from napari.qt.threading import FunctionWorker, GeneratorWorker
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QThreadPool
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.errors import SegTrainerError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Problem:
    message: str


def _ignore(_value: Any) -> None:
    pass


def in_background(
    owner: QWidget,
    function: Callable[[], _T],
    done: Callable[[_T], None] = _ignore,
    failed: Callable[[str], None] = _ignore,
) -> FunctionWorker[Any]:
    """Call `function` in a thread, then `done` with its result, or `failed` with one line for the user, in this thread.

    Nothing is called any more once `owner` is gone. A traceback goes to the log.
    """

    def guarded() -> Any:
        try:
            return function()
        except Exception as error:  # noqa: BLE001 - whatever it is, the user gets a line and the log gets the rest
            return _explained(error)

    worker = _Function(guarded)
    _connect(worker, owner, done, failed)
    return worker


def step_by_step(
    owner: QWidget,
    function: Callable[[], Generator[Any, None, _T]],
    step: Callable[[Any], None],
    done: Callable[[_T], None] = _ignore,
    failed: Callable[[str], None] = _ignore,
) -> GeneratorWorker[Any, Any, Any]:
    """As `in_background`, for a generator: `step` is called with each value that it yields.

    Its worker's ``quit()`` takes effect at the next yield, so a generator that waits must yield now and then.
    """

    def guarded() -> Generator[Any, None, Any]:
        try:
            return (yield from function())
        except Exception as error:  # noqa: BLE001 - as above
            return _explained(error)

    worker = _Generator(guarded)
    worker.yielded.connect(step)
    _connect(worker, owner, done, failed)
    return worker


class _Leaving:
    """Ends in silence where the program has ended meanwhile, and with it the widgets."""

    signals: QObject

    def run(self) -> None:
        try:
            super().run()  # type: ignore[misc]  # the worker's, into which this is mixed
        except RuntimeError:
            if isalive(self.signals):  # type: ignore[no-untyped-call]
                raise


class _Function(_Leaving, FunctionWorker[Any]):  # type: ignore[misc]  # napari's types are not looked at
    pass


class _Generator(_Leaving, GeneratorWorker[Any, Any, Any]):  # type: ignore[misc]
    pass


@contextmanager
def lent_thread() -> Iterator[None]:
    """Let Qt's thread pool start other work as if this thread of its were free.

    The pool, which napari and all plugins share, has a thread for each core. What waits for hours in one of them would
    else keep others' work from being done.
    """
    pool = QThreadPool.globalInstance()
    assert pool is not None, "there is an application"
    pool.releaseThread()
    try:
        yield
    finally:
        pool.reserveThread()


def _connect(worker: Any, owner: QWidget, done: Callable[[Any], None], failed: Callable[[str], None]) -> None:
    # napari's workers are used without its `create_worker`, which would have napari ask at its end about each of them
    def returned(result: Any) -> None:
        if isinstance(result, _Problem):
            failed(result.message)
        else:
            done(result)

    def leave(_gone: object = None) -> None:
        worker.quit()
        for signal in ("returned", "yielded"):
            _disconnect(worker, signal)

    worker.returned.connect(returned)
    owner.destroyed.connect(leave)
    worker.start()


def _disconnect(worker: Any, signal: str) -> None:
    try:
        getattr(worker, signal).disconnect()
    except (AttributeError, TypeError, RuntimeError):  # there is none, nothing was connected, or Qt has removed it
        return


def _explained(error: Exception) -> _Problem:
    if isinstance(error, SegTrainerError):
        return _Problem(str(error))
    _log.error("A bug in napari-seg-trainer", exc_info=error)
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return _Problem(f"{reason}. This is a bug in napari-seg-trainer: please report it with napari's log.")
