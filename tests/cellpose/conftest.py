"""Annotated images for Cellpose's own rooms, and what cellpose 3.1 answered."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cellpose")

import torch

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.engines.cellpose.flows import with_flows
from napari_seg_trainer.engines.torch import computing
from napari_seg_trainer.engines.torch.computing import Way
from napari_seg_trainer.testing.discs import disc_image


@pytest.fixture(scope="session", autouse=True)
def _known_way():
    """Trainings in this process do not measure for seconds how it is fastest computed; test_computing.py does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(computing, "_measured", lambda *_: (Way(channels_last=True), True))
        yield


@pytest.fixture
def annotated(tmp_path):
    """An image of discs with its flows: ``annotated((96, 96), seed=1)``, or ``annotated(labels=…)``."""

    def make(shape=(96, 96), seed=1, channels=1, labels=None, radii=(4, 9)):
        prepared = disc_image(shape, channels, seed, radii)
        if labels is not None:
            image = (labels > 0)[np.newaxis].astype(np.float32)
            prepared = PreparedImage("drawn", image, labels.astype(np.int32))
        (one,) = with_flows([prepared], lambda *_: None, tmp_path / "flows")
        return one

    return make


@pytest.fixture(scope="session")
def record():
    """The script that recorded it."""
    spec = importlib.util.spec_from_file_location("record", Path(__file__).with_name("record.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def recorded(record):
    """What cellpose 3.1 answered, by name."""
    with np.load(record.RECORDED) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def state(record):
    """The weights with which it was asked."""
    shapes = json.loads(record.NAMES.read_text())
    return {name: torch.from_numpy(value) for name, value in record.weights(shapes).items()}
