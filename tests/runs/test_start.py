"""What a training starts from, where nobody chooses: StarDist's real starters, on real nuclei and on what is none."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.api import make_job
from napari_seg_trainer.engines.classical import NAME
from napari_seg_trainer.engines.registry import engine_spec, load_engine
from napari_seg_trainer.runs.dataset import open_dataset
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.start import choose_start
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Baseline, Finished, Log, Stopped, Verdict
from napari_seg_trainer.schema.job import AUTOMATIC, SCRATCH, TrainingJob

STARDIST = engine_spec("stardist")


def start(**fields):
    """What is started from, for a job with these fields, and what was told of the progress."""
    told = []
    job = make_job(name="new", engine="stardist", **fields)
    dataset = open_dataset(job, None, lambda *_: None)
    chosen = choose_start(job, STARDIST, dataset, load_engine(STARDIST), lambda *words: told.append(words))
    return chosen, told


def test_the_starter_that_finds_the_objects_is_chosen(home):
    chosen, told = start(builtin=("nuclei_dsb2018",))
    assert chosen.model.name == "nuclei_fluorescence"
    assert chosen.reason.startswith("Starts from nuclei_fluorescence, which finds ")
    assert chosen.reason.endswith(" objects drawn in 4 training images.")
    found, drawn = (int(word) for word in chosen.reason.split() if word.isdecimal() and word != "4")
    assert 0.7 * drawn < found <= drawn
    assert told[-1] == ("choosing the model to start from", 1, 1)


def test_where_it_finds_none_the_training_starts_from_scratch(home, annotation_folder):
    folder = annotation_folder(images=4)
    rng = np.random.default_rng(0)
    for path in folder.glob("cell_??.tif"):
        shape = tifffile.imread(path).shape
        tifffile.imwrite(path, rng.integers(0, 1000, shape).astype(np.uint16))  # as if the masks were of others
    chosen, _ = start(data=(folder,))
    assert chosen.model is None
    assert chosen.reason.startswith("Starts from scratch: nuclei_fluorescence finds only ")


def copied(folder, change):
    """Write some images of nuclei into a folder, each changed."""
    for pair in AnnotationFolder.open(builtin_folder("nuclei_dsb2018")).pairs[:6]:
        annotated = pair.read()
        replace(annotated, image=change(annotated.image)).write(folder)
    return folder


@pytest.fixture
def negatives(tmp_path):
    """A folder with the negatives of some images of nuclei."""
    return copied(tmp_path / "annotations_dark", lambda image: image.max() - image)


def test_dark_objects_are_found_where_the_contrast_is_inverted(home, negatives):
    chosen, _ = start(data=(negatives,))
    assert (chosen.model.name, chosen.inverted) == ("nuclei_fluorescence", True)
    assert chosen.reason.endswith(" objects drawn in 4 training images, after inverting the contrast.")
    assert chosen.found > 0.7
    as_they_are, _ = start(data=(negatives,), hyperparameters={"inverted": False})
    assert as_they_are.model is None
    bright, _ = start(builtin=("nuclei_dsb2018",), hyperparameters={"inverted": True})
    assert bright.model is None


@pytest.mark.slow
def test_a_training_begins_with_the_negative_of_a_model_and_keeps_most_of_it(trained, negatives):
    run = trained(data=negatives)
    card = ModelLibrary().get("new").card
    assert (card.parent, card.hyperparameters["inverted"]) == ("nuclei_fluorescence", True)
    assert card.hyperparameters["keep"] > 0.3
    assert card.scores["ap50"] > 0.6
    starter, classical = [event for event in run.events() if isinstance(event, Baseline)]
    assert starter.scores["ap50"] < 0.1
    assert classical.scores["ap50"] > 0.5  # it looks for dark objects, too


@pytest.mark.parametrize(
    ("fields", "given", "reason"),
    [
        (
            {"channels": ("dapi", "gfp")},
            {},
            "Starts from scratch: no built-in model fits images of 2 channels.",
        ),
        ({"shape": (400, 400), "radius": 90}, {}, "Starts from scratch: no built-in model fits these images."),
        ({}, {"rays": 32}, "Starts from scratch, because the network architecture is set."),
    ],
)
def test_what_no_starter_suits_starts_from_scratch(home, annotation_folder, fields, given, reason):
    radius = fields.pop("radius", None)
    folder = annotation_folder(images=4, **fields)
    if radius:
        for path in folder.glob("*_labelled.tif"):
            y, x = np.indices(tifffile.imread(path).shape)
            tifffile.imwrite(path, (np.hypot(y - 200, x - 200) < radius).astype(np.uint16))
    chosen, _ = start(data=(folder,), hyperparameters=given)
    assert (chosen.model, chosen.reason) == (None, reason)


def test_docks_ask_a_process(home, annotation_folder):
    def ask(job):
        command = [sys.executable, "-m", "napari_seg_trainer.runs.start"]
        done = subprocess.run(command, input=job.model_dump_json(), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    job = make_job(name="new", engine="stardist", builtin=("nuclei_dsb2018",))
    answer = ask(job)
    assert answer["card"]["name"] == "nuclei_fluorescence"
    assert answer["reason"].startswith("Starts from nuclei_fluorescence")
    nowhere = TrainingJob(name="new", engine="stardist", data=(annotation_folder().parent / "none",))
    assert "none" in ask(nowhere)["reason"]
    chosen = ask(job.replace(pretrained="nuclei_fluorescence"))
    assert {name: chosen[name] for name in answer} == answer
    assert chosen["found"] > 0.7
    tissue = ask(job.replace(pretrained="nuclei_tissue"))
    assert tissue.get("found") is None


@pytest.fixture
def trained(home, undrawn, tmp_path):
    """Train real StarDist in this process, for a moment."""

    def work(data=None, **fields):
        folder = copied(tmp_path / "annotations_bright", lambda image: image) if data is None else data
        hyperparameters = {"epochs": 2, "augmentation": 2, "batch_size": 4}
        job = make_job(name="new", engine="stardist", data=(folder,), hyperparameters=hyperparameters, **fields)
        run = Run.create(job)
        assert isinstance(train_run(run), Finished | Stopped)
        return run

    return work


@pytest.mark.slow
def test_a_training_begins_with_it_and_says_so(trained):
    run = trained()
    assert run.job.pretrained == ModelLibrary().get("new").card.parent == "nuclei_fluorescence"
    reasons = [event.message for event in run.events() if isinstance(event, Log)]
    assert any(reason.startswith("Starts from nuclei_fluorescence, which finds ") for reason in reasons)
    baselines = [event.name for event in run.events() if isinstance(event, Baseline)]
    assert baselines == ["the model 'nuclei_fluorescence'", NAME]
    sentences = [event for event in run.events() if isinstance(event, Verdict)][-1].sentences
    assert "nuclei_fluorescence" in sentences[1]
    assert NAME in sentences[2]


@pytest.mark.slow
def test_a_start_from_scratch_can_be_asked_for(trained):
    run = trained(pretrained=SCRATCH)
    assert run.job.pretrained is None
    assert ModelLibrary().get("new").card.parent is None
    assert [event.name for event in run.events() if isinstance(event, Baseline)] == [NAME]


@pytest.mark.parametrize(("given", "kept"), [({}, AUTOMATIC), ({"pretrained": None}, None), ({"pretrained": "a"}, "a")])
def test_a_job_of_before_stays_what_it_was(given, kept):
    job = TrainingJob.model_validate({"name": "new", "engine": "stardist", "data": ["folder"]} | given)
    assert job.pretrained == kept
    assert TrainingJob.model_validate_json(job.model_dump_json()) == job


@pytest.mark.parametrize("name", ["auto", "Scratch"])
def test_no_model_is_called_so(home, name):
    with pytest.raises(Exception, match="it is reserved"):
        ModelLibrary().check_new_name(name)
