from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bad_inputs.asking import Worker
from bad_inputs.table import CASES


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=[case.name for case in CASES])


@pytest.fixture(scope="session")
def _worker(_toy_package: Path) -> Iterator[Worker]:
    # as where only what the package itself needs is installed: then zlib and Pillow unpack what is in a TIFF
    with Worker("bad_inputs.core_surfaces", _toy_package, missing="imagecodecs") as worker:
        yield worker


@pytest.fixture
def ask(_worker: Worker, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """``ask("check", case)``: what a surface tells of a bad input."""
    return lambda surface, case: _worker.ask(surface, case, tmp_path)
