"""The wilful engine: each prediction does what its settings say."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel


@pytest.fixture(scope="session")
def _wilful_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("wilful_engine")
    shutil.copy(Path(__file__).with_name("wilful_engine.py"), site)
    info = site / "wilful_engine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wilful-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[napari_seg_trainer.engines]\nwilful = wilful_engine:SPEC\nlacking = wilful_engine:LACKING\n"
    )
    return site


@pytest.fixture
def wilful_model(
    home: Path, _wilful_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., LibraryModel]:
    """Install the engine, in this process and those that it starts, and return a maker of models in the library."""
    monkeypatch.syspath_prepend(_wilful_package)
    paths = [str(_wilful_package), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    def make(name: str = "wilful", channels=("dapi",), engine: str = "wilful", **fields) -> LibraryModel:
        finished = tmp_path / f"finished-{name}"
        finished.mkdir()
        (finished / "weights.txt").write_text(name)
        inputs = tuple(ModelChannel(name=channel) for channel in channels)
        card = ModelCard(name=name, engine=engine, created=datetime.now(UTC), channels=inputs, **fields)
        return ModelLibrary().register(finished, card)

    return make
