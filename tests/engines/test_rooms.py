"""An engine brings all of itself: no other room of the package knows any by name."""

import ast
import re
from pathlib import Path

import pytest

import napari_seg_trainer
from napari_seg_trainer.engines.registry import DEFAULT_ENGINE, engine_specs

PACKAGE = Path(napari_seg_trainer.__file__).parent
OTHERS = [path for path in PACKAGE.rglob("*.py") if "engines" not in path.relative_to(PACKAGE).parts]
LAYOUTS = PACKAGE / "annotations" / "layouts.py"
"""File layouts of other programs have their programs' names."""


def names_in(path):
    """Return all strings, and the names of all that is defined or imported."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Constant(value=str() as text):
                yield text
            case ast.ImportFrom(module=str() as module):
                yield module
                yield from (alias.name for alias in node.names)
            case ast.FunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Name():
                yield node.id


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_other_module_names_an_engine(path):
    specs = engine_specs()
    ids = set() if path == LAYOUTS else set(specs)
    rooms = re.compile(r"\bengines\.(stardist|cellpose)|^_*(stardist|cellpose)_|_(stardist|cellpose)$", re.IGNORECASE)
    assert [name for name in names_in(path) if name in ids or rooms.search(name)] == []


def test_the_default_is_there():
    assert next(iter(engine_specs())) == DEFAULT_ENGINE
