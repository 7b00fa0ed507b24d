"""What a training says of its model, in the end and in the middle."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.api import make_job
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Finished, Verdict


@pytest.fixture
def train(home, toy, annotation_folder):
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
    assert following == "Next: leave blurred images like validation/other_01 out, or annotate 3 or more of them."
    assert ModelLibrary().get("nuclei").card.verdict[-2:] == (worst, following)
