"""What is said of a model: each rule at both sides of its limit."""

import numpy as np
import pytest

from napari_seg_trainer.evaluation.matching import Matching
from napari_seg_trainer.evaluation.mistakes import Mistakes
from napari_seg_trainer.evaluation.scores import ImageScore, Scores
from napari_seg_trainer.evaluation.verdict import compare, give_verdict
from napari_seg_trainer.schema.events import EpochEnded

STEPS = (0, 1, -1, 1, 0, -1, 1, -1)


def image(name, found, real, unreal, **mistakes):
    """An image with so many objects found, of so many real ones, and so many that are not."""
    matchings = tuple(Matching(iou, found, unreal, real - found, 0.8 * found) for iou in (0.5, 0.7, 0.9))
    kinds = Mistakes(missed=real - found, extra=unreal, **mistakes)
    return ImageScore(image=name, matchings=matchings, mistakes=kinds)


def images(found, count=8, real=20, unreal=0, spread=0, seed=0, **mistakes):
    differing = [found + spread * STEPS[(i + seed) % len(STEPS)] for i in range(count)]
    return [image(f"cell_{i}", differing[i], real, unreal, **mistakes) for i in range(count)]


def epochs(training, validation):
    return [
        EpochEnded(epoch=i, metrics={"loss": a, "val_loss": b}, learning_rate=0.1, is_best=False, seconds=1.0)
        for i, (a, b) in enumerate(zip(training, validation, strict=True), start=1)
    ]


def said(found, other=None, course=(), baseline="the model 'old'"):
    against = None if other is None else Scores.of(other)
    return give_verdict(Scores.of(found), course, baseline, against)


def test_how_good_it_is_comes_first():
    sentences = said(images(19, unreal=1))
    assert sentences[0] == "Finds 95 of 100 objects; 5 of 100 that it finds are not real."
    assert len(sentences) == 1


def test_a_model_that_finds_nothing_is_told_so():
    assert said(images(0))[0].startswith("It finds none of the objects.")
    assert said([])[0].startswith("No validation image was scored")


@pytest.mark.parametrize(
    ("ours", "other", "told"),
    [
        (images(18, spread=1), images(12, spread=1, seed=1), "Better than the model 'old': AP 0.90 against 0.60"),
        (images(12, spread=1), images(18, spread=1, seed=1), "Worse than the model 'old': AP 0.60 against 0.90"),
        (images(16, spread=3), images(16, spread=3, seed=7), "No clear difference from the model 'old': AP 0.80"),
        (images(18), images(18), "No clear difference from the model 'old': AP 0.90 against 0.90"),
        (images(20, 4), images(2, 4), "AP 1.00 against 0.10 of the model 'old', but 4 images are too few"),
    ],
)
def test_a_difference_is_told_where_it_is_clear(ours, other, told):
    sentence = said(ours, other)[1]
    assert sentence.startswith(told)
    assert sentence.endswith(".")


def test_an_interval_of_resampled_images_decides():
    # one image makes all of the difference
    ours = [image("cell_0", 20, 20, 0), *(image(f"cell_{i}", 15, 20, 0) for i in range(1, 8))]
    other = [image("cell_0", 2, 20, 0), *(image(f"cell_{i}", 15, 20, 0) for i in range(1, 8))]
    compared = compare(ours, other)
    assert compared.ours > compared.other + 0.1
    assert compared.low <= 0
    assert not compared.is_clear
    assert compare(ours, other) == compared


def test_only_images_that_both_have_seen_are_compared():
    other = images(2, 8)[::2]
    with pytest.raises(ValueError, match="different images"):
        compare(images(18, 8), other)
    assert "too few" in said(images(18, 8), other)[1]
    assert "4 images" in said(images(18, 8), other)[1]
    assert "6 images" in said(images(18, 6), images(2, 8))[1]
    assert len(said([image("mine", 18, 20, 0)], other)) == len(said([image("mine", 18, 20, 0)]))


FALLING = np.linspace(1, 0.2, 20)


@pytest.mark.parametrize(
    ("training", "validation", "told"),
    [
        (FALLING, FALLING + 0.1, "It was still learning: in the last 4 epochs the validation loss fell by"),
        (FALLING, np.r_[FALLING[:10], np.full(10, FALLING[9])], ""),
        (FALLING, np.r_[FALLING[:10], FALLING[9] + np.linspace(0, 0.3, 10)], "It overfits: after epoch 10 the val"),
        (FALLING, np.r_[FALLING[:10], FALLING[9] + np.linspace(0, 0.03, 10)], ""),
        (np.r_[FALLING[:10], np.ones(10)], np.r_[FALLING[:10], FALLING[9] + np.linspace(0, 0.3, 10)], ""),
        (FALLING[:9], FALLING[:9], ""),
        (FALLING, np.r_[FALLING[:19], np.nan], "The validation loss was no number at times."),
    ],
)
def test_the_course_of_the_losses(training, validation, told):
    sentences = said(images(20), course=epochs(training, validation))[1:]
    assert sentences[0].startswith(told) if told else not sentences, sentences


@pytest.mark.parametrize(
    ("mistakes", "told"),
    [
        ({"merged": 2}, "16 times it takes several objects for one. Annotate more images where objects touch."),
        ({"split": 1, "merged": 1}, "8 times it takes several objects for one and 8 objects it cuts in pieces."),
        ({"merged": 0}, ""),
    ],
)
def test_merging_and_splitting_are_named_where_they_matter(mistakes, told):
    sentences = said(images(17, **mistakes))
    assert any(sentence.startswith(told) for sentence in sentences) if told else len(sentences) == 1


def test_the_worst_images_are_named_with_what_is_wrong_there():
    poor = [image("cell_b", 5, 20, 3, merged=2), image("cell_a", 2, 20, 0, split=1), image("cell_c", 0, 0, 4)]
    sentence = said([*images(20), *poor])[-1]
    assert sentence.startswith(
        "Worst: cell_c (no object there, 4 not real); cell_a (18 of 20 missed, 1 split); "
        "cell_b (15 of 20 missed, 2 merged, 3 not real)."
    )
    assert "Worst" not in " ".join(said(images(17)))
