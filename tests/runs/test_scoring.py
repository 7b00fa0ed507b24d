"""Scores in the middle of a training: when, of how many images, and which epoch is then the best."""

from contextlib import contextmanager

import numpy as np
import pytest

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.runs import model_scores, scoring
from napari_seg_trainer.runs.checkpoint import read_state
from napari_seg_trainer.runs.context import RunContext
from napari_seg_trainer.runs.scoring import Scoring
from napari_seg_trainer.schema.events import EpochEnded, Evaluated
from napari_seg_trainer.schema.job import Hyperparameters
from testkit.clock import Clock


def prepared(count, side=32):
    """Images with four objects each."""
    labels = np.kron(np.array([[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]), np.ones((8, 8), int))
    labels = np.kron(labels, np.ones((side // 32, side // 32), int)).astype(np.int32)
    return [PreparedImage(f"cell_{i}", (labels[None] > 0).astype(np.float32), labels) for i in range(count)]


def finding(right, seconds=0.0, clock=None):
    """A context in which the first `right` of the four objects are found, which takes so long by the clock."""
    truth = prepared(1)[0].labels

    class Predictor:
        def predict(self, image):
            if clock is not None:
                clock.sleep(seconds)
            return np.where(truth <= right, truth, 0)

    @contextmanager
    def predicting():
        yield Predictor()

    return predicting


def rounds(planned, epochs):
    return [epoch for epoch in range(1, epochs + 1) if planned.is_due(epoch)]


@pytest.mark.parametrize(
    ("images", "epochs", "pixels", "expected"),
    [
        (1, 10, 10**9, list(range(1, 11))),  # all epochs, where there is plenty of time
        (1, 100, 10**9, list(range(5, 101, 5))),  # twenty rounds at most
        (1, 100, 32**2 * 4, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
        (1, 10, 1, [4, 8, 10]),  # three at least, if the time allows
        (0, 10, 10**9, []),
    ],
)
def test_rounds_follow_from_the_pixels(images, epochs, pixels, expected):
    planned = Scoring(prepared(images))
    planned.plan(epochs, pixels)
    assert rounds(planned, epochs) == expected


def test_of_many_images_some_are_scored():
    planned = Scoring(prepared(200))
    planned.plan(10, 10**9)
    assert len(planned.score(finding(4), 1e6, 1).images) == model_scores.MOST_IMAGES
    fewer = Scoring(prepared(40))
    fewer.plan(10, 32**2 * 10 * 4 * 3)
    assert [image.image for image in fewer.score(finding(4), 1e6, 1).images][::9] == ["cell_0", "cell_39"]


@pytest.mark.parametrize(("seconds", "expected"), [(100.0, 20), (0.5, 5), (0.05, 0)])
def test_where_it_takes_too_long_fewer_rounds_are_made_or_none(monkeypatch, seconds, expected):
    clock = Clock()
    monkeypatch.setattr(scoring, "time", clock)
    planned = Scoring(prepared(2))
    planned.plan(100, 10**9)
    scores = planned.score(finding(4, 0.45, clock), seconds, 1)  # 0.9 s for both images
    assert (scores is None) == (expected == 0)
    assert planned.is_on == (expected > 0)
    assert len(rounds(planned, 100)) == expected


def begin(run, images=1, **parameters):
    context = RunContext(run, 4, images, Scoring(prepared(images)))
    context.start(
        Hyperparameters(**({"epochs": 3, "learning_rate": 3e-4} | parameters)), steps_per_epoch=100, device="CPU"
    )
    return context


def end(context, epoch, loss, right):
    metrics = {"loss": loss, "val_loss": loss}
    return context.end_epoch(epoch, metrics, lambda folder: (folder / "weights").write_text(str(epoch)), finding(right))


@pytest.fixture
def plenty(monkeypatch):
    monkeypatch.setattr(scoring, "SHARE", 1e9)


@pytest.mark.usefixtures("plenty")
@pytest.mark.parametrize(
    ("losses", "found", "best"),
    [
        ([3, 2, 1], [3, 4, 2], 2),
        ([3, 2, 1], [0, 0, 0], 3),  # of equal scores the loss decides
        ([1, 2, 3], [1, 1, 2], 3),
    ],
)
def test_the_best_epoch_is_the_one_with_the_best_score(make_run, losses, found, best):
    run = make_run()
    context = begin(run)
    for epoch, (loss, right) in enumerate(zip(losses, found, strict=True), 1):
        end(context, epoch, loss, right)
    assert context.best_epoch == best
    scored = [event for event in run.events() if isinstance(event, Evaluated)]
    finite = [(epoch, right) for epoch, (loss, right) in enumerate(zip(losses, found, strict=True), 1) if loss == loss]
    assert [(event.epoch, event.scores["recall50"]) for event in scored] == [(e, right / 4) for e, right in finite]
    assert scored[0].scores["missed"] == 4 - finite[0][1]
    kinds = [type(event) for event in run.events() if isinstance(event, Evaluated | EpochEnded)]
    assert kinds.count(EpochEnded) == len(losses)
    assert kinds[-2:] == [Evaluated, EpochEnded]


@pytest.mark.usefixtures("plenty")
def test_epochs_between_two_rounds_are_not_the_best_but_stop_the_training_early(make_run):
    context = begin(make_run(), epochs=60, early_stopping=4)
    answers = [end(context, epoch, loss, 4 - (epoch > 3)) for epoch, loss in enumerate([5, 4, 3, 1, 2, 2, 2, 2], 1)]
    assert context.best_epoch == 3  # scored after every third epoch
    assert answers.index(False) + 1 == 8


@pytest.mark.usefixtures("plenty")
@pytest.mark.parametrize(
    ("images", "epochs", "pixels", "decides"),
    [
        (1, 3, 10**9, True),
        (4, 100, 10**9, True),
        (4, 100, 1e-8, False),
        (1, 100, 32**2 * 4e-10, True),
        (1, 100, 32**2 * 2e-10, False),
    ],
)
def test_few_rounds_or_some_of_the_images_decide_nothing(images, epochs, pixels, decides):
    planned = Scoring(prepared(images))
    planned.plan(epochs, pixels)
    assert planned.decides == decides


def test_without_time_for_scores_the_loss_decides(make_run, monkeypatch):
    monkeypatch.setattr(scoring, "SHARE", 1e-9)
    run = make_run()
    context = begin(run)
    for epoch, (loss, right) in enumerate([(3, 4), (1, 2), (2, 3)], 1):
        end(context, epoch, loss, right)
    assert context.best_epoch == 2
    assert not any(isinstance(event, Evaluated) for event in run.events())


@pytest.mark.usefixtures("plenty")
def test_a_resumed_training_knows_the_best_score(make_run, monkeypatch):
    run = make_run()
    end(begin(run), 1, 3.0, 3)
    again = begin(run)
    end(again, 2, 1.0, 2)
    assert again.best_epoch == 1
    assert read_state(run).best_score == pytest.approx(0.75)
    monkeypatch.setattr(scoring, "SHARE", 1e-9)  # now the time does not suffice any more
    slower = begin(run)
    end(slower, 3, 2.0, 4)
    assert slower.best_epoch == 3
