"""A disk that fails, or a process that dies, at any one of the steps in which files are changed."""

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

STEPS = ("mkdir", "rename", "replace", "unlink", "remove", "rmdir", "fsync", "sendfile", "copy_file_range", "truncate")
ALL = {"open", "write", *STEPS}
ADDING = {"open", "write", "mkdir", "fsync", "sendfile", "copy_file_range", "rename", "replace"}


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
            for name in STEPS:
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


def full() -> None:
    """What a full disk says."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die() -> None:
    """End this process as a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)
