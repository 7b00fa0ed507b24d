"""What a training has to beat, from the job to the report."""

import json

import numpy as np
import pytest
import tifffile

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.api import make_job
from napari_seg_trainer.engines.classical import NAME
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.evaluation.matching import match
from napari_seg_trainer.runs import baseline, model_scores, scoring
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Baseline, EpochEnded, Evaluated, Finished, Started, Verdict
from napari_seg_trainer.segmentation.segment import Segmenter


@pytest.fixture
def train(home, toy, undrawn, annotation_folder):
    usual = annotation_folder(images=6)

    def work(name="nuclei", data=usual, **fields):
        given = {"hyperparameters": {"epochs": 3}, "data": (data,)} | fields
        run = Run.create(make_job(name=name, engine=toy, **given))
        assert isinstance(train_run(run), Finished)
        return run

    return work


def told(run, kind):
    return [event for event in run.events() if isinstance(event, kind)]


def test_from_scratch_it_is_a_classical_method(train):
    run = train()
    (first,) = told(run, Baseline)
    assert (first.name, first.images, first.scores["ap50"]) == (NAME, 1, 1.0)
    kinds = [type(event) for event in run.events()]
    assert kinds.index(Baseline) < kinds.index(Started)
    assert kinds[-3:] == [Evaluated, Verdict, Finished]


def test_the_channel_that_shows_the_objects_is_taken(train, annotation_folder):
    folder = annotation_folder("other", 4, channels=("noise", "dapi"))
    for path in folder.glob("cell_??.tif"):
        tifffile.imwrite(path, tifffile.imread(path)[::-1].copy())
    run = train(data=folder, channels=[{"name": "noise"}, {"name": "dapi"}])
    assert told(run, Baseline)[0].scores["ap50"] == 1.0


def test_a_pretrained_model_is_scored_on_the_same_images(train):
    train("old")
    run = train("new", pretrained="old")
    first, second = told(run, Baseline)
    assert (first.name, second.name) == ("the model 'old'", NAME)
    assert first.scores == told(run, Evaluated)[-1].scores
    (verdict,) = told(run, Verdict)
    assert verdict.sentences[0] == "Finds 100 of 100 objects; 0 of 100 detections are false."
    assert "of the model 'old', but 1 image is too few to tell which is better" in verdict.sentences[1]
    assert f"of {NAME}, but 1 image is too few to tell which is better" in verdict.sentences[2]
    model = ModelLibrary().get("new")
    assert model.card.verdict == verdict.sentences
    assert {"ap50", "missed", "extra", "merged", "split"} <= model.card.scores.keys()
    page = (model.folder / "report.html").read_text(encoding="utf-8")
    assert "In plain words" in page
    assert "Finds 100 of 100 objects" in page


def test_it_is_scored_once(train, annotation_folder, monkeypatch):
    run = train()
    (run.folder / "model").mkdir(exist_ok=True)
    ModelLibrary().delete("nuclei")
    monkeypatch.setattr(baseline, "_classical", None)  # would fail
    train_run(run)
    assert len(told(run, Baseline)) == 1
    assert len(told(run, Verdict)) == 2
    kept = json.loads((run.folder / "baseline.json").read_text())
    assert kept["name"] == NAME


def test_of_many_pixels_some_are_looked_at(train, annotation_folder, monkeypatch):
    monkeypatch.setattr(baseline, "MOST_PIXELS", 2 * 96 * 96)
    run = train(data=annotation_folder("many", 20), validation_split=0.5)
    assert told(run, Baseline)[0].images == 2
    (verdict,) = told(run, Verdict)
    assert "2 images are too few" in verdict.sentences[1]


def test_of_many_images_the_model_is_scored_on_those_that_were(train, annotation_folder, monkeypatch):
    monkeypatch.setattr(scoring, "SHARE", 1e9)
    many = annotation_folder("many", 55, shape=(48, 48), seed=3, prefix="other")
    run = train(validation_data=(many,))
    assert told(run, Baseline)[0].images == model_scores.MOST_IMAGES
    assert [event.images for event in told(run, Evaluated)] == [model_scores.MOST_IMAGES] * 4
    assert "on 50 images" in told(run, Verdict)[0].sentences[1]


def test_whole_images_are_scored_while_it_trains(train, monkeypatch):
    monkeypatch.setattr(scoring, "SHARE", 1e9)
    run = train()
    assert [event.epoch for event in told(run, Evaluated)] == [1, 2, 3, None]
    assert [event.scores["ap50"] for event in told(run, Evaluated)] == [1.0] * 4
    assert [event.is_best for event in told(run, EpochEnded)] == [True] * 3
    assert np.isclose(told(run, Evaluated)[0].scores["f1_50"], 1)


def test_the_simple_method_becomes_a_model_as_it_was_compared(train, annotation_folder, cli):
    folder = annotation_folder("dark", 6, channels=("noise", "dapi"))
    for path in folder.glob("cell_??.tif"):
        tifffile.imwrite(path, 1000 - tifffile.imread(path)[::-1])
    run = train(data=folder, channels=[{"name": "noise"}, {"name": "dapi"}])
    done = cli("keep", run.id, "--simple-method")
    assert (done.status, done.out.strip()) == (0, "Model 'nuclei-simple' is in the library.")
    model, trained = ModelLibrary().get("nuclei-simple"), ModelLibrary().get("nuclei")
    simple = baseline.read_baseline(run).simple
    assert (model.card.engine, model.card.scores) == ("simple-method", simple.scores.told)
    assert model.card.channels == trained.card.channels[1:]
    assert (simple.channel, simple.classical.objects) == (1, "dark")
    image = tifffile.imread(folder / "cell_00.tif")
    found = Segmenter(model).segment(image[1:])
    truth = tifffile.imread(folder / "cell_00_labelled.tif")
    assert match(truth, found, (0.5,))[0].ap > 0.9
    assert baseline.keep_simple_method(run) == model
    ModelLibrary().delete("nuclei-simple")
    ModelLibrary().delete("nuclei")
    with pytest.raises(RunError, match="is not in the library any more"):
        baseline.keep_simple_method(run)
    (run.folder / "baseline.json").unlink()
    with pytest.raises(RunError, match="was not compared with the simple method"):
        baseline.keep_simple_method(run)


def test_in_the_middle_the_baseline_is_of_the_same_images(train, monkeypatch):
    monkeypatch.setattr(scoring, "SHARE", 1e9)
    monkeypatch.setattr(scoring.Scoring, "plan", lambda self, *_: setattr(self, "_images", self._images[:1]))
    run = train(hyperparameters={"epochs": 3}, validation_split=0.5)
    first, *_ = [event for event in told(run, Evaluated) if event.epoch is not None]
    (whole,) = told(run, Baseline)
    assert (first.images, whole.images) == (1, 3)
    scores = baseline.read_baseline(run).scores.images
    assert first.baseline in {image.half.ap for image in scores}
