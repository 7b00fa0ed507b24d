"""The weights of another late epoch, by which a model is asked how sure it is."""

import shutil

import pytest

from napari_seg_trainer.api import make_job
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.runs.checkpoint import second_checkpoint
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run


@pytest.fixture
def trained(home, toy, undrawn, annotation_folder):
    """Return the run and the card of a model that was trained with these losses."""

    def make(*losses):
        hyperparameters = {"epochs": len(losses), "losses": list(losses)}
        job = make_job(name="nuclei", engine=toy, data=(annotation_folder(),), hyperparameters=hyperparameters)
        run = Run.create(job)
        train_run(run)
        return run, ModelLibrary().get("nuclei").card

    return make


@pytest.mark.parametrize(
    ("losses", "best", "other"),
    [
        ((3, 1, 2), 2, 3),  # the last
        ((3, 2, 1), 3, 2),  # the one that was the best before
        ((3, 4, 2, 5, 1), 5, 3),
        ((1, 2, 3), 1, 3),
    ],
)
def test_the_best_epoch_and_another_late_one_are_kept(trained, losses, best, other):
    run, card = trained(*losses)
    assert card.best_epoch == best
    assert sorted(path.name for path in run.checkpoint_folder.glob("epoch_*")) == sorted(
        f"epoch_{epoch:05d}" for epoch in (best, other)
    )
    assert second_checkpoint(card) == run.checkpoint_folder / f"epoch_{other:05d}"


def test_there_may_be_none(trained):
    run, card = trained(1)
    assert second_checkpoint(card) is None
    assert second_checkpoint(card.replace(run=None)) is None
    shutil.rmtree(run.folder)
    assert second_checkpoint(card) is None


def test_a_run_that_made_another_model_does_not_count(trained):
    run, card = trained(3, 1, 2)
    assert second_checkpoint(card.replace(name="renamed")) is not None
    for other in ({"run": "../nuclei"}, {"engine": "stardist"}, {"best_epoch": 1}, {"hyperparameters": {}}):
        assert second_checkpoint(card.replace(**other)) is None
    (run.checkpoint_folder / "state.json").write_text("{")
    assert second_checkpoint(card) is None
