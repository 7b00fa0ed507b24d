"""Processes that a test has started."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from testkit import patience

# of Python and of pytest-xvfb; they stay until the process ends
_LASTING = ("resource_tracker", "forkserver", "Xvfb ")

of_all_tests: set[int] = set()
"""The ids of processes that no test has started for itself."""

COVERAGE = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
"""Variables by which the coverage of processes is measured that one starts."""


def unmeasured() -> dict[str, str]:
    """The environment for a process whose coverage is not measured."""
    return {name: value for name, value in os.environ.items() if name not in COVERAGE}


def words(process: psutil.Process) -> str:
    """The command line of a process; nothing where it is over, a zombie or somebody else's."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def words_of(pid: int) -> str:
    """The same, by its id."""
    try:
        return words(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return ""


def is_over(process: psutil.Process) -> bool:
    """Whether a process has ended, also where nobody has asked for its exit status."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def children(of: int | None = None) -> list[psutil.Process]:
    """The processes that one has started and those that these have, as far as they run; without those that stay."""
    try:
        found = psutil.Process(of).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    own = (child for child in found if child.pid not in of_all_tests)
    return [child for child in own if (said := words(child)) and not any(name in said for name in _LASTING)]


def shared_memory() -> set[str]:
    """Names of the shared memory that there is, without what processes have that are neither this one nor its own."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return set()
    here = {os.getpid(), *(child.pid for child in children())}
    there: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        if int(maps.parent.name) not in here:
            with suppress(OSError):
                there.update(re.findall(r"/dev/shm/(\S+)", maps.read_text()))
    return {path.name for path in folder.iterdir()} - there


class Copied:
    """A process ``python -m COMMAND`` that copies itself for what it is asked, with a pipe each way.

    It has one thread, as a copy has one, may import from `places`, too, and measures no coverage: each copy would tell
    of it for longer than it runs.
    """

    def __init__(
        self, command: Sequence[str], places: Sequence[Path], encoding: str | None = None, **variables: str
    ) -> None:
        path = [*map(str, places), str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = unmeasured() | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1") | variables
        self._process: subprocess.Popen[Any] = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | {"PYTHONPATH": os.pathsep.join(path)},
            encoding=encoding,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


def wait(pid: int, seconds: float) -> None:
    """Wait until a process is over, but no longer than so."""
    with suppress(psutil.NoSuchProcess):
        psutil.wait_procs([psutil.Process(pid)], timeout=seconds)


def kill(pid: int) -> None:
    """Kill a process and wait until it is over."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.kill()
        patience.wait_until(lambda: is_over(process), f"process {pid} has ended")
