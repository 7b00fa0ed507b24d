"""Tests of the widgets, in a real viewer."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("napari")

from napari import Viewer

from napari_seg_trainer import train
from napari_seg_trainer.runs.run import Run


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Viewer], home: Path) -> Iterator[Viewer]:
    """A viewer that is shown, with an empty home of models and runs; what a widget leaves behind fails the test."""
    yield make_napari_viewer(show=True, strict_qt="raise")
    assert "tensorflow" not in sys.modules
    assert "torch" not in sys.modules


@pytest.fixture
def begin(home: Path, toy: str, annotation_folder: Callable[..., Path]) -> Callable[..., Run]:
    """Begin a real training of the toy engine in a process of its own, and return its run.

    ``begin("nuclei", epochs=1000, seconds=0.1)``; other names are those of the engine's parameters.
    """
    data = annotation_folder()

    def start(name: str = "nuclei", **hyperparameters: object) -> Run:
        return train(data, name=name, engine=toy, wait=False, **hyperparameters)

    return start
