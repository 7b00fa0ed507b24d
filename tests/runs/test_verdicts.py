"""What a training says of its model, in the end and in the middle."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.api import make_job
from napari_seg_trainer.engines.classical import NAME
from napari_seg_trainer.runs import scoring
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import EpochEnded, Finished, Verdict


@pytest.fixture
def train(home, toy, undrawn, annotation_folder):
    usual = annotation_folder(images=6)

    def work(name="nuclei", data=usual, **fields):
        given = {"hyperparameters": {"epochs": 3}, "data": (data,)} | fields
        run = Run.create(make_job(name=name, engine=toy, **given))
        assert isinstance(train_run(run), Finished)
        return run

    return work


def verdicts(run):
    return [event for event in run.events() if isinstance(event, Verdict)]


def test_the_end_names_the_worst_image_its_reason_and_what_to_annotate(train, annotation_folder):
    validation = annotation_folder("validation", 3, seed=9, prefix="other")
    path = validation / "other_01.tif"
    blurred = ndimage.gaussian_filter(tifffile.imread(path).astype(np.float32), (0, 7, 7))
    tifffile.imwrite(path, blurred.astype(np.uint16))
    run = train(validation_data=(validation,))
    *_, worst, following = verdicts(run)[-1].sentences
    assert worst.startswith("Worst: validation/other_01 (")
    assert "; out of focus: " in worst
    assert following == "Next: remove blurred images like validation/other_01, or annotate 3 or more of them."
    assert ModelLibrary().get("nuclei").card.verdict[-2:] == (worst, following)


@pytest.fixture
def scored(train, annotation_folder, monkeypatch):
    """Train with scores after every epoch, on enough validation images to tell a difference."""
    monkeypatch.setattr(scoring, "SHARE", 1e9)
    validation = annotation_folder("validation", 5, seed=9, prefix="other")
    return lambda **hyperparameters: train(hyperparameters=hyperparameters, validation_data=(validation,))


def test_in_the_middle_it_speaks_where_there_is_something_new(scored):
    run = scored(epochs=40, losses=[1 / min(epoch, 13) for epoch in range(1, 41)])
    *interim, final = verdicts(run)
    assert final.epoch is None
    assert [(verdict.epoch, verdict.sentences[0].split(":")[0]) for verdict in interim] == [
        (10, "It is still learning"),
        (16, "The validation loss has plateaued"),
    ]
    difference = f"So far no clear difference from {NAME}: AP 1.00 vs. 1.00 (difference"
    assert all(verdict.sentences[1].startswith(difference) for verdict in interim)
    events = run.events()
    assert all(isinstance(events[events.index(verdict) - 1], EpochEnded) for verdict in interim)
    assert ModelLibrary().get("nuclei").card.verdict == final.sentences
    report = (ModelLibrary().get("nuclei").folder / "report.html").read_text(encoding="utf-8")
    assert "still learning" not in report


def test_a_terminal_shows_it_beside_the_epoch(scored, cli):
    run = scored(epochs=11)
    lines = cli("follow", run.id).out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("epoch  10 of 11"))
    assert lines[place + 1].startswith("           It is still learning: ")
    assert lines[place + 2].startswith("           So far no clear difference")
    assert lines[place + 4].startswith("epoch  11 of 11")
    assert "Finds 100 of 100 objects; 0 of 100 detections are false." in lines[place + 5 :]
    told = [line for line in cli("follow", run.id, "--json").out.splitlines() if '"verdict"' in line]
    assert ['"epoch":10' in line for line in told] == [True, False]


@pytest.mark.parametrize("epochs", [9, 10])
def test_a_short_training_says_nothing_in_the_middle(scored, epochs):
    assert [verdict.epoch for verdict in verdicts(scored(epochs=epochs))] == [None]
