"""Asks a worker what a surface tells of a bad input, and checks what holds for all of them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from bad_inputs.case import Case
from bad_inputs.cases_seg import MARKER

MOST_BYTES = 2**30
"""By so much the memory may grow."""

MOST_SECONDS = 20.0
MOST_CHARACTERS = 700
"""Of a line, its names of files apart."""


class Worker:
    """A process of `bad_inputs.worker`, which can do what the functions of a module do.

    Parameters
    ----------
    module : str
    *packages : Path
        Folders from which it may import as well.
    missing : str, optional
        A package that counts as not installed.
    """

    def __init__(self, module: str, *packages: Path, missing: str = "") -> None:
        places = [*map(str, packages), str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        # a fork has one thread alone, and what napari compiles would wait for others
        single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_DISABLE_JIT"), "1")
        environment = os.environ | single | {"PYTHONPATH": os.pathsep.join(places), "QT_QPA_PLATFORM": "offscreen"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bad_inputs.worker", module, *missing.split()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def ask(self, surface: str, case: Case, root: Path) -> dict[str, Any]:
        if case.why_not:
            pytest.skip(case.why_not)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"surface": surface, "case": case.name, "root": str(root)}) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        _check_all(told, root)
        return told


def _check_all(told: dict[str, Any], root: Path) -> None:
    assert "crash" not in told, told["crash"]
    said = [*told["warned"], *filter(None, [told.get("noise")])]
    assert said == [], said
    assert told.get("grown", 0) < MOST_BYTES, told["grown"]
    assert told.get("seconds", 0) < MOST_SECONDS
    assert not (root / MARKER).exists(), "a pickle was run"


def check_line(line: str, words: str = "") -> None:
    """Check that this is one line for a user, with the parts of `words` between its dots in it."""
    assert re.search(".*".join(map(re.escape, words.split(" … "))), line), line
    assert len(line.splitlines()) == 1, line
    assert line.isprintable(), line
    assert line.endswith((".", "?", "!")), line
    assert not re.search("Traceback|MemoryError|allocate|broke off|defect of the program", line), line
    assert len(re.sub(r"'[^']*'", "", line)) < MOST_CHARACTERS, line
