"""The prediction process, as the process that asks sees it."""

import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from appose import NDArray as SharedArray
from appose.service import Service, TaskEvent, TaskStatus

from napari_seg_trainer.files import make_temporary_folder, temporary_variables
from napari_seg_trainer.priority import VARIABLES

_MAIN = "from napari_seg_trainer.segmentation.worker import main; main()"
_log = logging.getLogger(__name__)


class ProcessEndedError(Exception):
    """The process has ended before it could answer."""


class PredictionProcess(Service):  # type: ignore[misc]  # appose's types are not looked at
    """A process that runs `worker.main` with this Python.

    Parameters
    ----------
    log : Path
        The file that takes what the process prints.

    Raises
    ------
    OSError
        If there is no place for its temporary files.
    """

    def __init__(self, log: Path) -> None:
        self._temporary = make_temporary_folder()
        # -P: no module is taken from the folder that happens to be the current one
        command = (sys.executable, "-P", "-c", _MAIN, str(log), str(os.getpid()), self._temporary)
        variables = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
        variables |= temporary_variables(self._temporary)
        variables |= {name: value for name, value in VARIABLES.items() if name not in os.environ}
        super().__init__(Path.home(), variables, *command)
        self.log = log

    def begin(self) -> None:
        """Start it.

        Raises
        ------
        OSError
            If the system refuses.
        """
        problems: list[OSError] = []

        def start() -> None:
            try:
                self.start()
            except OSError as error:
                problems.append(error)

        # appose's threads are daemons if this one is, so that a process which is never ended keeps no Python alive
        starter = threading.Thread(target=start, daemon=True)
        starter.start()
        starter.join()
        for problem in problems:
            shutil.rmtree(self._temporary, ignore_errors=True)
            raise problem

    def ask(self, inputs: dict[str, Any], on_tile: Callable[[int, int], object] | None = None) -> dict[str, Any]:
        """Return the worker's answer; it waits for it as long as the process lives.

        Meanwhile `on_tile` is called with how many parts are done, and of how many.

        Raises
        ------
        ProcessEndedError
        """
        done = threading.Event()
        task = self.task("segment", inputs)
        try:
            # the listeners are called after the outputs are there; Task.wait_for may return before
            task.listen(partial(_hear, done, on_tile))
            task.start()
            done.wait()
        except (OSError, RuntimeError) as error:  # what is no longer there takes no task
            raise ProcessEndedError from error
        if task.status is not TaskStatus.COMPLETE:
            raise ProcessEndedError
        answer: dict[str, Any] = task.outputs
        return answer

    def end(self) -> str:
        """End it, wait until nothing is left of it, and return how it ended in words."""
        self.kill()
        code = self.wait_for()
        for line in self.error_lines():  # before it found its log
            _log.error("%s", line)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):  # what it could no longer be sent
                pipe.close()
        shutil.rmtree(self._temporary, ignore_errors=True)
        return _in_words(code)


def _hear(done: threading.Event, on_tile: Callable[[int, int], object] | None, event: TaskEvent) -> None:
    if event.response_type.is_terminal():
        done.set()
    elif on_tile is not None and event.current is not None and event.maximum is not None:
        on_tile(event.current, event.maximum)


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        return f"{name}, possibly out of memory" if name == "SIGKILL" else name
    return f"signal {-code}"


@contextmanager
def shared_array(dtype: str, shape: tuple[int, ...]) -> Iterator[SharedArray]:
    """Yield an array in shared memory, which is removed in the end.

    Raises
    ------
    OSError
        If there is not enough of it.
    """
    array = SharedArray(dtype, list(shape))
    try:
        if sys.platform == "linux":  # where writing to memory that is not there kills the process
            with open(f"/dev/shm/{array.shm.name}", "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, array.shm.size)
        yield array
    finally:
        array.shm.close()
        array.shm.unlink()
