import os
import tomllib
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from threshold_engine.engine import Threshold
from threshold_engine.spec import SPEC

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.api import wait_for
from napari_seg_trainer.engines.registry import engine_specs, load_engine
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.archive import import_model
from napari_seg_trainer.library.foreign import is_model_folder
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.schema.events import EpochEnded, Finished
from napari_seg_trainer.schema.job import TrainingJob
from napari_seg_trainer.testing.discs import disc_image
from napari_seg_trainer.testing.engine_suite import EngineSuite

EXAMPLE = Path(__file__).parents[2] / "examples" / "threshold_engine"


class TestThresholdEngine(EngineSuite):
    spec = SPEC
    parameters: ClassVar = {"epochs": 10, "batch_size": 4, "sigma": 1.0}
    least_ap50 = 0.95
    seed_tolerance = resume_tolerance = 0.0


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the example for this process and its children, without pip: its code and what pip writes about it."""
    package = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (name, group), *_ = package["entry-points"].items()
    site = tmp_path / "site"
    metadata = site / f"threshold_engine-{package['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Name: {package['name']}\nVersion: {package['version']}\n", encoding="utf-8")
    lines = [f"[{name}]", *(f"{key} = {place}" for key, place in group.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(EXAMPLE / "src")]))
    monkeypatch.setenv("NAPARI_SEG_TRAINER_HOME", str(tmp_path / "home"))


def test_it_is_found_beside_the_others(installed):
    assert engine_specs()["threshold"] is SPEC
    assert "stardist" in engine_specs()


@pytest.fixture
def job(tmp_path):
    """Twelve epochs on five images of discs."""
    for seed in range(5):
        prepared = disc_image((80, 96), 1, seed)
        image = np.clip(prepared.image * 1000, 0, 65_535).astype(np.uint16)
        AnnotatedImage(image, prepared.labels, ("nuclei",), f"image_{seed}").write(tmp_path / "annotations")
    return TrainingJob(
        name="discs",
        engine="threshold",
        data=(tmp_path / "annotations",),
        hyperparameters={"epochs": 12, "batch_size": 2},
    )


def test_the_same_job_gives_the_same_split_and_losses(installed, job, monkeypatch):
    """In other processes, whose sets have other orders."""
    told = []
    for number in (1, 2):
        monkeypatch.setenv("PYTHONHASHSEED", str(number))
        run = launch(job.replace(name=f"discs-{number}", hyperparameters={"epochs": 3, "batch_size": 2}))
        wait_for(run)
        told.append((run.split, [event.metrics for event in run.events() if isinstance(event, EpochEnded)]))
    assert told[0] == told[1]
    assert len(told[0][1]) == 3


def test_a_job_becomes_a_model(installed, job):
    run = launch(job)
    wait_for(run)
    events = run.events()
    assert isinstance(events[-1], Finished), (run.folder / "log.txt").read_text(encoding="utf-8")
    assert [event.epoch for event in events if isinstance(event, EpochEnded)] == list(range(1, 13))
    model = ModelLibrary().get("discs")
    model.verify()
    assert model.card.engine == "threshold"
    assert model.card.scores["ap50"] > 0.9
    labels = load_engine(SPEC).load(model.folder).predict(disc_image((60, 90), 1, 99).image)
    assert labels.max() > 0


def test_it_brings_a_model_to_start_from_and_what_is_to_be_cited(installed, job):
    run = launch(job.replace(pretrained="half", hyperparameters={"epochs": 2, "batch_size": 2}))
    wait_for(run)
    assert isinstance(run.events()[-1], Finished), (run.folder / "log.txt").read_text(encoding="utf-8")
    model = ModelLibrary().get("discs")
    assert model.card.parent == "half"
    assert set(model.card.versions) >= {"threshold-engine", "scipy", "numpy"}
    assert "Cox DR. The regression analysis" in (model.folder / "report.html").read_text(encoding="utf-8")


def test_a_model_without_a_card_is_imported(installed, tmp_path):
    for name in ("bare", "named"):
        (tmp_path / name).mkdir()
        Threshold(sigma=1.0, softness=0.1, level=0.3).save(tmp_path / name)
    assert is_model_folder(tmp_path / "bare")
    assert import_model(tmp_path / "bare").card.engine == "threshold"
    model = import_model(tmp_path / "named" / "threshold.json")
    assert (model.name, os.listdir(model.folder)) != ("", [])
    assert Threshold.read(model.folder).level == 0.3
    (tmp_path / "bare" / "threshold.json").write_text("{}", encoding="utf-8")
    with pytest.raises(LibraryError, match="level"):
        import_model(tmp_path / "bare")


@pytest.mark.parametrize("text", [None, "", "[1]", '{"level": 1}', '{"colour": 1, "sigma": 1, "softness": 1}'])
def test_a_broken_model_is_one_line(tmp_path, text):
    if text is not None:
        (tmp_path / "threshold.json").write_text(text, encoding="utf-8")
    with pytest.raises(LibraryError, match=r"no model of the threshold engine"):
        load_engine(SPEC).load(tmp_path)


def test_ignored_pixels_do_not_count():
    prepared = disc_image((40, 40), 1, 0)
    half = prepared.labels.copy()
    half[:, 20:] = -1
    threshold = Threshold(sigma=0.0, softness=0.1, level=0.3)
    spoiled = prepared.image.copy()
    spoiled[:, :, 20:] = 100.0
    kept = threshold.loss([type(prepared)("a", prepared.image, half)])
    assert threshold.loss([type(prepared)("a", spoiled, half)]) == kept
