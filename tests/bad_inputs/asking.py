"""Asks a worker what a surface tells of a bad input, and checks what holds for all of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bad_inputs.case import Case
from bad_inputs.cases_seg import MARKER
from testkit.processes import Copied

MOST_BYTES = 2**30
"""By so much the memory may grow."""

MOST_TIMES = 100.0
"""As much work as a good input is."""

MOST_CHARACTERS = 700
"""Of a line, its names of files apart."""


class Worker(Copied):
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
        # what napari compiles would wait for other threads
        super().__init__(
            ["bad_inputs.worker", module, *missing.split()],
            [*packages, Path(__file__).parents[1]],
            encoding="utf-8",
            NUMBA_DISABLE_JIT="1",
            QT_QPA_PLATFORM="offscreen",
        )

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
    assert told.get("times", 0) < MOST_TIMES
    assert not (root / MARKER).exists(), "a pickle was run"


def check_line(line: str, words: str = "") -> None:
    """Check that this is one line for a user, with the parts of `words` between its dots in it."""
    assert re.search(".*".join(map(re.escape, words.split(" … "))), line), line
    assert len(line.splitlines()) == 1, line
    assert line.isprintable(), line
    assert line.endswith((".", "?", "!")), line
    assert not re.search("Traceback|MemoryError|allocate|broke off|defect of the program", line), line
    assert len(re.sub(r"'[^']*'", "", line)) < MOST_CHARACTERS, line
