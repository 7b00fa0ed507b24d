"""A disk that fails, or a process that dies, at any one of the steps in which files are changed."""

import builtins
import errno
import io
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

FAILED = 70
_STEPS = ("mkdir", "rename", "replace", "unlink", "remove", "rmdir", "fsync", "sendfile", "copy_file_range", "truncate")
_ADDING = {"open", "write", "mkdir", "fsync", "sendfile", "copy_file_range", "rename", "replace"}


class Faults:
    """Counts the steps that change files, and strikes at one of them.

    A step is a file that is opened for writing, a piece that is written, or a call such as ``os.replace``. Of the piece
    at which it strikes, half is written.

    Parameters
    ----------
    at : int
        The step, from 1; 0 for none.
    strike : callable
        Raises an error, or ends the process.
    kinds : set of str
        Which steps count.
    """

    def __init__(self, at: int, strike: Callable[[], None], kinds: set[str]) -> None:
        self.at, self.strike, self.kinds = at, strike, kinds
        self.done: list[str] = []
        self._opened: list[Any] = []

    def step(self, kind: str, before: Callable[[], object] = lambda: None) -> None:
        """Count a step; `before` is what is half done when it strikes."""
        if kind not in self.kinds:
            return
        self.done.append(kind)
        if len(self.done) == self.at:
            before()
            self.strike()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Count from here on."""
        with pytest.MonkeyPatch.context() as patch:
            for module in (builtins, io):
                patch.setattr(module, "open", self._opening(open))
            patch.setattr(os, "fdopen", self._opening(os.fdopen))
            for name in _STEPS:
                if hasattr(os, name):
                    patch.setattr(os, name, self._counting(name, getattr(os, name)))
            try:
                yield
            finally:
                for file in self._opened:  # other libraries leave theirs open after an error
                    with suppress(OSError, ValueError):
                        file.close()

    def _opening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            if not set(mode) & set("wax+"):
                return function(file, mode, *rest, **options)
            self.step("open")
            found = function(file, mode, *rest, **options)
            self._opened.append(found)
            return Watched(found, self)

        return opened

    def _counting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            self.step(name)
            return function(*given, **options)

        return call


class Watched:
    """A file whose writing is counted."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def write(self, data: Any) -> Any:
        def half() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        self._faults.step("write", half)
        return self._file.write(data)

    def __enter__(self) -> "Watched":
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._file.__exit__(*error)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def killed_at_each_step() -> Callable[..., int]:
    """Kill a process at every step of some work, and look at what is left.

    ``killed_at_each_step(prepare, work, check)`` calls ``work(prepare())`` in a process of its own, which is killed at
    the first step, then the second and so on, and each time ``check(prepared)`` here. It returns how many steps there
    were; the last time the work is done to its end.
    """

    def run(prepare: Callable[[], Any], work: Callable[[Any], None], check: Callable[[Any], None]) -> int:
        at = 0
        while True:
            at += 1
            prepared = prepare()
            status = _in_child(lambda prepared=prepared, at=at: _struck(work, prepared, at))
            assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, f"step {at}: the work raised an error"
            check(prepared)
            if os.WIFEXITED(status):
                return at - 1

    return run


def _struck(work: Callable[[Any], None], prepared: Any, at: int) -> None:
    with Faults(at, _die, {"open", "write", *_STEPS}).active():
        work(prepared)


def _in_child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except Exception:  # noqa: BLE001 - the parent sees the status
            traceback.print_exc()
        finally:
            os._exit(FAILED)
    return os.waitpid(pid, 0)[1]


@pytest.fixture
def full_at_each_write() -> Callable[..., list[BaseException]]:
    """Let the disk be full at every step of some work that needs room, and look at what is left.

    ``full_at_each_write(prepare, work, check)`` does the work in this process, with an `OSError` (ENOSPC) at the first
    such step, then the second and so on. It returns the errors that the work raised, one for each step that it minded.
    """

    def run(
        prepare: Callable[[], Any], work: Callable[[Any], object], check: Callable[[Any], None]
    ) -> list[BaseException]:
        errors: list[BaseException] = []
        at = 0
        while True:
            at += 1
            prepared = prepare()
            faults = Faults(at, _full, _ADDING)
            try:
                with faults.active():
                    work(prepared)
            except Exception as error:  # noqa: BLE001 - the test looks at it
                errors.append(error)
            check(prepared)
            if len(faults.done) < at:
                return errors

    return run


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    """Make another empty folder."""
    count = iter(range(100_000))

    def make() -> Path:
        folder = tmp_path / f"fresh-{next(count)}"
        folder.mkdir()
        return folder

    return make
