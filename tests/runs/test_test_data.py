"""Images that are held out: scored once, in the end, and never among the others."""

import shutil

import numpy as np
import pytest
import tifffile

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.api import make_job
from napari_seg_trainer.cli.command_line import command_line
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Evaluated, Failed, Finished, Verdict


@pytest.fixture
def train(home, toy, undrawn, annotation_folder):
    data = annotation_folder("train", 6)

    def work(test, **fields):
        given = {"data": (data,), "test_data": (test,), "hyperparameters": {"epochs": 2}} | fields
        run = Run.create(make_job(name="nuclei", engine=toy, **given))
        return run, train_run(run)

    return work


def test_the_finished_model_is_scored_on_them(train, annotation_folder):
    test = annotation_folder("test", 3, seed=9, prefix="other")
    mask = test / "other_00_labelled.tif"
    labels = tifffile.imread(mask)
    tifffile.imwrite(mask, np.where(labels > 8, 0, labels))  # half of what is there counts as not real
    run, last = train(test)
    assert isinstance(last, Finished)
    validation, tested = (event for event in run.events() if isinstance(event, Evaluated))
    assert (validation.dataset, tested.dataset, tested.images) == ("validation", "test", 3)
    assert tested.scores["precision50"] == pytest.approx(40 / 48)
    (verdict,) = (event for event in run.events() if isinstance(event, Verdict))
    assert verdict.sentences[2] == (
        "On 3 test images, never used for model selection: finds 100 of 100 objects; 17 of 100 detections are false "
        "(AP 0.83)."
    )
    card = ModelLibrary().get("nuclei").card
    assert (card.test_images, card.test_scores) == (3, tested.scores)
    assert card.scores["precision50"] == 1.0
    assert not any("test" in name for name in card.data)
    assert {name.split("/")[0] for name in (*run.split.training, *run.split.validation)} == {"train"}
    assert not (run.folder / "prepared").exists()


@pytest.mark.parametrize(
    ("leak", "told"),
    [
        ("copy", "Test image 'test/renamed' is the same as"),
        ("field", "Test image 'test/other_00' shows the same field of view as"),
        ("folder", "is the same as"),
        ("validation", "Test image 'test/renamed' is the same as"),
        ("missing", "does not exist"),
        ("channels", "no channel 'dapi'"),
    ],
)
def test_what_was_seen_before_is_no_test(train, annotation_folder, tmp_path, home, leak, told):
    test, fields = tmp_path / "test", {}
    if leak == "copy":
        annotation_folder("test", 2, seed=9, prefix="other")
    elif leak == "field":
        fields["data"] = (annotation_folder("wells", 3, seed=4, field_of_view="well A1"), annotation_folder("more", 3))
        annotation_folder("test", 1, seed=9, prefix="other", field_of_view="well A1")
    elif leak == "folder":
        test = tmp_path / "train"
    elif leak == "validation":
        fields["validation_data"] = (annotation_folder("validation", 2, seed=7),)
        annotation_folder("test", 2, seed=9, prefix="other")
    elif leak == "channels":
        annotation_folder("test", 1, seed=9, channels=("gfp", "rfp"))
    if leak in ("copy", "validation"):
        source = tmp_path / ("train" if leak == "copy" else "validation")
        for ending in (".tif", "_labelled.tif", ".json"):
            shutil.copy(source / f"cell_01{ending}", test / f"renamed{ending}")
    _, last = train(test, **fields)
    assert isinstance(last, Failed)
    assert told in last.message
    assert len(last.message.splitlines()) == 1
    assert "nuclei" not in ModelLibrary()


def test_they_are_part_of_the_command(toy, tmp_path):
    job = make_job(name="nuclei", engine=toy, data=(tmp_path / "a",), test_data=(tmp_path / "b", tmp_path / "c"))
    assert f"--test-data {tmp_path / 'b'} --test-data {tmp_path / 'c'}" in command_line(job)
