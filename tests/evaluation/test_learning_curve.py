"""Whether more images would help: the rule at both sides of its limits."""

import pytest

from napari_seg_trainer.evaluation.comparison import CurvePoint, LearningCurve, tell_learning_curve
from napari_seg_trainer.evaluation.matching import Matching
from napari_seg_trainer.evaluation.scores import ImageScore, Scores
from napari_seg_trainer.evaluation.verdict import give_verdict
from napari_seg_trainer.schema.events import EpochEnded

JITTER = (0, 1, -1, 1, 0, -1, 1, -1)


def scores(found, count=8, jitter=1, seed=0):
    """Images of 20 objects each, of which about so many are found."""
    each = [found + jitter * JITTER[(i + seed) % 8] for i in range(count)]
    images = [
        ImageScore(image=f"cell_{i}", matchings=(Matching(0.5, each[i], 0, 20 - each[i], 0.8 * each[i]),))
        for i in range(count)
    ]
    return Scores.of(images)


def curve(half, quarter=None, images=12):
    points = [CurvePoint(part="half", images=images // 2, scores=half)]
    points += [CurvePoint(part="quarter", images=images // 4, scores=quarter)] if quarter else []
    return LearningCurve(images=images, points=tuple(points))


@pytest.mark.parametrize(
    ("curve", "whole", "told"),
    [
        (curve(scores(12)), scores(16, seed=1), "More images would help: with half of them, AP was 0.60"),
        (curve(scores(15, jitter=3)), scores(16, jitter=3, seed=3), "More images of the same kind would hardly help"),
        (curve(scores(16)), scores(16), "More images of the same kind would hardly help"),
        (curve(scores(16)), scores(12, seed=1), "More images of the same kind would hardly help"),
        (
            curve(scores(16), scores(2)),
            scores(16),
            "More images of the same kind would hardly help",
        ),  # the half decides
        (curve(scores(12, 5)), scores(16, 5, seed=1), "More images would help"),
        (curve(scores(12, 4)), scores(16, 4), "Whether more images would help is unknown: 4 valid"),
        (LearningCurve(images=3), scores(16), "Whether more images would help is unknown: 3 train"),
    ],
)
def test_the_rise_from_half_to_all_decides(curve, whole, told):
    sentence = tell_learning_curve(curve, whole)
    assert sentence.startswith(told)
    assert sentence.endswith(".")


def test_the_difference_is_told_with_its_interval():
    sentence = tell_learning_curve(curve(scores(12, jitter=0)), scores(16, jitter=0))
    assert sentence == (
        "More images would help: with half of them, AP was 0.60, with all, 0.80 (difference +0.20 to +0.20)."
    )


def test_no_other_sentence_of_the_verdict_speaks_of_more_images():
    losses = [1 - i / 20 if i < 10 else 0.5 + (i - 10) / 20 for i in range(20)]
    course = [
        EpochEnded(epoch=i, metrics={"loss": 1 / i, "val_loss": loss}, learning_rate=1, is_best=False, seconds=1)
        for i, loss in enumerate(losses, 1)
    ]
    given = {"baseline": "Otsu", "other": scores(19, seed=1)}
    without = give_verdict(scores(16), course, **given)
    assert without[1].endswith("Use that instead, or train with more images.")
    assert without[2].endswith("More images would help, more epochs would not.")
    asked = give_verdict(scores(16), course, **given, curve=curve(scores(16)))
    assert any("rose by" in sentence and sentence.endswith("More epochs would not help.") for sentence in asked)
    assert any(sentence.startswith("Worse than Otsu") and sentence.endswith("Use that instead.") for sentence in asked)
    assert sum(sentence.startswith("More images of the same kind would hardly help") for sentence in asked) == 1
    assert not any("ore images would help" in sentence for sentence in asked)
