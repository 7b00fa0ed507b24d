"""Bad inputs in napari's reader and writer: layers, or one line that says why not; and nothing is lost."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_PACKAGE = Path(__file__).parents[1] / "bad_inputs" / "__init__.py"


def _module(name: str) -> Any:
    """A module of the package of another folder of tests, which are not on the path."""
    if "bad_inputs" not in sys.modules:
        spec = importlib.util.spec_from_file_location("bad_inputs", _PACKAGE)
        assert spec
        assert spec.loader
        sys.modules["bad_inputs"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["bad_inputs"])
    return importlib.import_module(f"bad_inputs.{name}")


ASKING, CASE, CASES = _module("asking"), _module("case"), _module("table").CASES


@pytest.fixture(scope="module")
def _worker() -> Iterator[Any]:
    with ASKING.Worker("bad_inputs.viewer_surfaces") as worker:
        yield worker


@pytest.fixture
def ask(_worker: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    return lambda surface, case: _worker.ask(surface, case, tmp_path)


def _usual(number: int, case: Any) -> bool:
    """Whether a case is always tried. What reads files is the same for the data check, which tries each of them."""
    return case.part == "folder" or bool(case.layers) or number % 3 == 0


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=() if _usual(number, case) else pytest.mark.slow)
        for number, case in enumerate(CASES)
    ],
)
def test_reader_and_writer_tell_in_one_line(ask, case):
    told = ask("read_and_write", case)
    for opened in told["read"]:
        assert opened["layers"] or opened["lines"]
        for line in opened["lines"]:
            ASKING.check_line(line)
            assert CASE.FOLDER in line
    if not told["layers"].get("size"):
        ASKING.check_line(told["layers"].get("line", "."))
        assert not told["layers"].get("left")
    for written in (told["beside"], told["alone"]):
        assert written["changed"] == []
        if written["line"]:
            ASKING.check_line(written["line"])
        else:
            assert written["found"]
