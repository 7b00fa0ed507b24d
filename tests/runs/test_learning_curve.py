"""A training that also learns from parts of its images, from the job to the report."""

import json

import numpy as np
import pytest

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.annotations.patches import samples_per_epoch
from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.api import make_job, train, wait_for
from napari_seg_trainer.engines.protocol import TrainingData, TrainingTask
from napari_seg_trainer.runs.context import RunContext
from napari_seg_trainer.runs.control import resume
from napari_seg_trainer.runs.curve_training import learn_curve
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Finished, Log, Progress, Stopped, Verdict
from testkit.patience import wait_until

HELPS = "More images would help: with half of them, AP was 0.50, with all, 1.00 (difference +0.50 to +0.50)."


@pytest.fixture
def begin(home, toy, annotation_folder):
    """Begin a training in a process of its own, on 8 images; 5 validate."""

    def work(images=8, curve=True, **hyperparameters):
        validation = annotation_folder("validation", 5, seed=9, prefix="other")
        fields = {"validation_data": (validation,), "learning_curve": curve} | {"epochs": 3} | hyperparameters
        return train(annotation_folder(images=images), name="nuclei", engine=toy, wait=False, **fields)

    return work


@pytest.fixture
def train_here(home, toy, undrawn, annotation_folder):
    """The same in this process, from its beginning to its end."""

    def work(images=8, curve=True, **hyperparameters):
        validation = annotation_folder("validation", 5, seed=9, prefix="other")
        given = {"hyperparameters": {"epochs": 3} | hyperparameters, "validation_data": (validation,)}
        data = annotation_folder(images=images)
        run = Run.create(make_job(name="nuclei", engine=toy, data=(data,), learning_curve=curve, **given))
        assert isinstance(train_run(run), Finished)
        return run

    return work


def stages(run):
    return [event.stage for event in run.events() if isinstance(event, Progress) and "learning curve" in event.stage]


def verdict(run):
    return next(event.sentences for event in reversed(run.events()) if isinstance(event, Verdict))


def test_a_training_tells_whether_more_images_would_help(train_here):
    run = train_here(needs=8)
    assert HELPS in verdict(run)
    assert list(dict.fromkeys(stages(run))) == [
        f"learning curve: {stage} with a {part} of the images"
        for part in ("half", "quarter")
        for stage in ("epochs", "scoring")
    ]
    kept = json.loads((run.folder / "learning_curve.json").read_text())
    assert [(point["images"], point["scores"]["pooled"]["ap50"]) for point in kept["points"]] == [(4, 0.5), (2, 0.5)]
    assert not (run.folder / "learning_curve").exists()
    model = ModelLibrary().get("nuclei")
    assert model.card.verdict == verdict(run)
    assert model.card.scores["ap50"] == 1.0
    page = (model.folder / "report.html").read_text(encoding="utf-8")
    assert "Learning curve" in page
    for images, recall in ((2, 0.5), (4, 0.5), (8, 1.0)):
        assert f"<tr><td>{images}</td><td>1.000</td><td>{recall:.3f}</td>" in page


def test_it_is_off_unless_it_is_asked_for(train_here):
    run = train_here(curve=False, needs=8)
    assert not stages(run)
    assert "ore images" not in " ".join(verdict(run))
    assert not (run.folder / "learning_curve.json").exists()
    assert "Learning curve" not in (ModelLibrary().get("nuclei").folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("images", "parts", "told"), [(3, 0, "3 training images cannot be halved"), (7, 1, "hardly")])
def test_parts_of_too_few_images_are_left_out(train_here, images, parts, told):
    run = train_here(images)
    assert len({stage for stage in stages(run) if "epochs" in stage}) == parts
    assert sum(told in sentence for sentence in verdict(run)) == 1


def test_a_stop_ends_the_curve_and_keeps_the_model(begin):
    run = begin(seconds=0.3, epochs=4)
    wait_until(lambda: stages(run))
    run.request_stop()
    wait_for(run)
    assert isinstance(run.outcome(), Stopped)
    assert ModelLibrary().get("nuclei").card.best_epoch == 4
    assert "ore images" not in " ".join(verdict(run))
    assert not (run.folder / "learning_curve").exists()


def test_a_part_that_is_done_is_not_done_again(begin):
    run = begin(seconds=0.3, epochs=3, needs=8)
    wait_until((run.folder / "learning_curve.json").exists)
    run.request_stop(keep=False)
    wait_for(run)
    assert "nuclei" not in ModelLibrary()
    before = len(stages(run))
    resume(run)
    wait_for(run)
    assert isinstance(run.outcome(), Finished)
    assert HELPS in verdict(run)
    assert {stage.split()[-4] for stage in stages(run)[before:]} == {"quarter"}


# what an engine is given


@pytest.fixture
def trained(home, toy, undrawn, annotation_folder):
    """What is known at the end of a training on so many images: its context, run, task and data."""
    from toy_engine import ToyParameters

    def work(images, augmentation=2.0, seed=0):
        labels = np.kron([[1, 0], [0, 2]], np.ones((16, 16), int)).astype(np.int32)
        made = [PreparedImage(f"cell_{i}", (labels[None] > 0).astype(np.float32), labels) for i in range(images)]
        job = make_job(name="nuclei", engine=toy, data=(annotation_folder(),), hyperparameters={"epochs": 2})
        run = Run.create(job)
        train_run(run)
        data = TrainingData(made, made[:1], np.array([16.0]), np.array([16.0]))
        context = RunContext(run, images, 1)
        context.hyperparameters = context.hyperparameters | {"augmentation": augmentation}
        return context, run, TrainingTask(1, ToyParameters(), seed), data

    return work


@pytest.mark.parametrize(
    ("images", "augmentation", "expected"),
    [(8, 2.0, [4, 2]), (11, 1.1, [5, 2]), (40, 3.0, [20, 10]), (5, 1.0, [2])],
)
def test_each_part_has_as_many_samples_as_all_images(trained, images, augmentation, expected):
    from toy_engine import ToyEngine

    seen = []

    class Noting(ToyEngine):
        def train(self, task, data, context):
            seen.append(([prepared.name for prepared in data.training], task))
            super().train(task, data, context)

    context, run, task, data = trained(images, augmentation, seed=3)
    curve = learn_curve(context, run, Noting, task, data)
    assert [len(names) for names, _ in seen] == [point.images for point in curve.points] == expected
    for names, own in seen:
        assert samples_per_epoch(len(names), own.parameters.augmentation) == samples_per_epoch(images, augmentation)
        assert (own.seed, own.parameters.epochs) == (3, 2)
        places = [int(name.removeprefix("cell_")) for name in names]
        gaps = np.diff([*places, places[0] + images])
        assert gaps.min() >= images // len(names)
        assert gaps.max() <= -(-images // len(names))


def test_an_engine_that_fails_on_a_part_costs_the_curve_only(trained):
    from toy_engine import ToyEngine

    class Failing(ToyEngine):
        def train(self, task, data, context):
            raise ValueError("too little\nto learn from")

    context, run, task, data = trained(8)
    assert learn_curve(context, run, Failing, task, data) is None
    told = run.events()[-1]
    assert isinstance(told, Log)
    assert told.message == ("The learning curve failed (ValueError: too little). The model is created without it.")
    assert not (run.folder / "learning_curve").exists()
