"""What is said of a model: each rule at both sides of its limit."""

import numpy as np
import pytest

from napari_seg_trainer.evaluation.advice import Reason
from napari_seg_trainer.evaluation.comparison import compare_scores
from napari_seg_trainer.evaluation.matching import Matching
from napari_seg_trainer.evaluation.scores import ImageScore, Mistakes, Scores
from napari_seg_trainer.evaluation.verdict import give_interim_verdict, give_verdict, tell_course, without_numbers
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


def said(found, other=None, course=(), baseline="the model 'old'", reasons=None):
    against = None if other is None else Scores.of(other)
    return give_verdict(Scores.of(found), course, baseline, against, reasons=reasons)


def test_how_good_it_is_comes_first():
    sentences = said(images(19, unreal=1))
    assert sentences[0] == "Finds 95 of 100 objects; 5 of 100 detections are false."
    assert len(sentences) == 1


def test_a_model_that_finds_nothing_is_told_so():
    assert said(images(0))[0].startswith("It finds none of the objects.")
    assert said([])[0].startswith("No validation image was evaluated")


@pytest.mark.parametrize(
    ("ours", "other", "told"),
    [
        (images(18, spread=1), images(12, spread=1, seed=1), "Better than the model 'old': AP 0.90 vs. 0.60"),
        (images(12, spread=1), images(18, spread=1, seed=1), "Worse than the model 'old': AP 0.60 vs. 0.90"),
        (images(16, spread=3), images(16, spread=3, seed=7), "No clear difference from the model 'old': AP 0.80"),
        (images(18), images(18), "No clear difference from the model 'old': AP 0.90 vs. 0.90"),
        (images(20, 4), images(2, 4), "AP 1.00 vs. 0.10 of the model 'old', but 4 images are too few"),
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
    compared = compare_scores(ours, other)
    assert compared.ours > compared.other + 0.1
    assert compared.low <= 0
    assert not compared.is_clear
    assert compare_scores(ours, other) == compared


def test_only_images_that_both_have_seen_are_compared():
    other = images(2, 8)[::2]
    with pytest.raises(ValueError, match="different images"):
        compare_scores(images(18, 8), other)
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
        (FALLING[:9], FALLING[:9], "It was still learning: in 9 epochs the validation loss fell by 34 %. More epochs"),
        (FALLING[:2], FALLING[:2], "It was still learning: in 2 epochs the validation loss fell by 4 %. More epochs"),
        (FALLING[:2], [1.0, 0.99], ""),
        (FALLING[:1], FALLING[:1], ""),
        (FALLING[:9], np.r_[FALLING[:8], FALLING[6]], ""),
        (FALLING[:9], np.r_[FALLING[:8], np.nan], ""),
        (FALLING, np.r_[FALLING[:19], np.nan], "The validation loss was not a number at times."),
    ],
)
def test_the_course_of_the_losses(training, validation, told):
    sentences = said(images(20), course=epochs(training, validation))[1:]
    assert sentences[0].startswith(told) if told else not sentences, sentences


@pytest.mark.parametrize(
    ("training", "validation", "told"),
    [
        (FALLING, FALLING + 0.1, "It is still learning: in the last 4 epochs the val"),
        (
            FALLING,
            np.r_[FALLING[:10], np.full(10, FALLING[9])],
            "The validation loss has plateaued: the validation loss was",
        ),
        (
            FALLING,
            np.r_[FALLING[:4], np.linspace(0.5, 0.48, 16)],
            "The validation loss has plateaued: in the last 4 epochs",
        ),
        (FALLING, np.r_[FALLING[:10], FALLING[9] + np.linspace(0, 0.3, 10)], "It overfits: after epoch 10 the val"),
        (FALLING[:9], FALLING[:9], ""),
    ],
)
def test_in_the_middle_each_course_has_its_sentence(training, validation, told):
    sentence = tell_course(epochs(training, validation), during=True)
    assert sentence.startswith(told)
    assert bool(sentence) == bool(told)


TOUCH = "Next: annotate more images where objects touch."


@pytest.mark.parametrize(
    ("mistakes", "told"),
    [
        ({"merged": 2}, ("16 detections merging several objects.", TOUCH)),
        ({"merged": 1}, ("8 detections merging several objects.", TOUCH)),
        (
            {"split": 1, "merged": 1},
            ("8 detections merging several objects and 8 objects split into pieces.", TOUCH),
        ),
        ({"merged": 0}, ()),
    ],
)
def test_merging_and_splitting_are_named_where_they_matter(mistakes, told):
    assert said(images(17, **mistakes))[1:] == told
    assert said(images(16, real=20, unreal=0, **{"split": 1}))[1:] == ()  # 1 of 4


POOR = [image("cell_b", 5, 20, 3, merged=2), image("cell_a", 2, 20, 0, split=1), image("cell_c", 0, 0, 4)]
LARGE = Reason("large", "cells of unusual size: 24 pixels across, 12 in the training images")
BLURRED = Reason("blurred", "out of focus: 2.0 times less sharp than training images")


def test_the_worst_images_are_named_with_what_is_wrong_there():
    sentence = said([*images(20), *POOR])[-2]
    assert sentence == (
        "Worst: cell_c (no object in the annotation, 4 false positive); cell_a (18 of 20 missed, 1 split); "
        "cell_b (15 of 20 missed, 2 merged, 3 false positive)."
    )
    assert "Worst" not in " ".join(said(images(17)))
    assert "Worst" not in " ".join(said(images(0)))


def test_the_worst_images_are_named_with_their_reasons():
    sentence = said([*images(20), *POOR[:2]], reasons={"cell_a": BLURRED, "cell_b": LARGE})[-2]
    assert sentence == (
        "Worst: cell_a (18 of 20 missed, 1 split; out of focus: 2.0 times less sharp than training images); "
        "cell_b (15 of 20 missed, 2 merged, 3 false positive; cells of unusual size: 24 pixels across, 12 in the "
        "training images)."
    )


ASK = "annotate 3 or more"
BLUR = "remove blurred images like cell_{}, or annotate 3 or more of them"


@pytest.mark.parametrize(
    ("kinds", "merged", "told"),
    [
        ({}, 0, "check whether cell_c, cell_a and cell_b are labelled well, then annotate more images like them"),
        ("L__", 0, f"check whether cell_c and cell_b are labelled well; {ASK} images with large cells like cell_a"),
        ("LLL", 0, f"{ASK} images with large cells like cell_c"),
        (
            "SDB",
            0,
            f"{ASK} images with small cells like cell_a, 3 or more dim images like cell_b and 3 or more bright images "
            "like cell_c",
        ),
        ("FFF", 0, BLUR.format("c")),
        ("FFF", 9, BLUR.format("c")),
        ("FLL", 0, f"{ASK} images with large cells like cell_c; {BLUR.format('a')}"),
        ("CCC", 9, f"{ASK} images where objects touch like cell_c"),
        ("LLL", 9, f"{ASK} images with large cells like cell_c and more images where objects touch"),
        (
            "LL_",
            9,
            f"check whether cell_c is labelled well; {ASK} images with large cells like cell_a and more images where "
            "objects touch",
        ),
    ],
)
def test_what_to_annotate_next_is_one_sentence(kinds, merged, told):
    poor = [image("cell_b", 5, 20, 3, merged=merged), image("cell_a", 2, 20, 0, merged=merged), POOR[2]]
    names = {"L": "large", "S": "small", "D": "dim", "B": "bright", "F": "blurred", "C": "crowded"}
    given = {f"cell_{name}": names.get(kind) for name, kind in zip("abc", kinds, strict=False)}
    reasons = {name: Reason(kind, "why") for name, kind in given.items() if kind}
    sentences = said([*images(20), *poor], reasons=reasons)
    assert sentences[-1] == f"Next: {told}."
    assert sum("nnotate" in sentence for sentence in sentences) <= 1


def test_of_a_network_that_was_still_learning_nobody_asks_whether_the_labels_are_right():
    found, course = [*images(20), *POOR], epochs(FALLING[:6], FALLING[:6])
    assert said(found, course=course)[-1] == "Next: train longer."
    assert said(images(18, spread=1), course=course)[-1].endswith("More epochs would help.")
    assert said(found, course=course, reasons={"cell_a": LARGE})[-1] == (
        "Next: train longer; annotate 3 or more images with large cells like cell_a."
    )
    worse = said(images(4, spread=1), images(18, spread=1), course=course)[1]
    assert worse.endswith("Use that instead, or train longer.")
    over = said(images(4, spread=1), images(18, spread=1), course=epochs(FALLING[:6], np.ones(6)))[1]
    assert over.endswith("Use that instead, or train with more images.")


def test_of_a_network_that_overfits_nobody_says_to_train_for_longer():
    # the lowest loss is among the last fifth of the epochs, which are lower than those before, and yet it rose again
    validation = np.r_[np.linspace(1, 0.5, 40), 0.3, np.linspace(0.4, 0.45, 9)]
    sentences = said([*images(20), *POOR], course=epochs(np.linspace(1, 0.1, 50), validation))
    assert "It overfits: after epoch 41" in " ".join(sentences)
    assert "for longer" not in " ".join(sentences)


def test_a_worst_image_whose_objects_touch_is_not_taken_for_one_that_is_labelled_badly():
    sentence = said([*images(20), image("cell_b", 5, 20, 0, merged=6)])[-1]
    assert sentence == "Next: annotate more images where objects touch."


@pytest.mark.parametrize(
    ("ours", "other", "told"),
    [
        (images(18, spread=1), images(12, spread=1, seed=1), "So far better than Otsu: AP 0.90 vs. 0.60"),
        (images(12, spread=1), images(18, spread=1, seed=1), "So far worse than Otsu: AP 0.60 vs. 0.90"),
        (images(18), images(18), "So far no clear difference from Otsu"),
        (images(18), images(12, 4), ""),  # of four images it cannot be told
        (images(18, 6)[2:], images(12), ""),
        (images(18), None, ""),
    ],
)
def test_in_the_middle_it_is_told_how_it_stands_so_far(ours, other, told):
    against = None if other is None else Scores.of(other)
    course, *sentences = give_interim_verdict(Scores.of(ours), epochs(FALLING, FALLING), "Otsu", against)
    assert course.startswith("It is still learning: ")
    assert [sentence[: len(told)] for sentence in sentences] == ([told] if told else [])
    assert give_interim_verdict(Scores.of(ours), epochs(FALLING[:9], FALLING[:9]), "Otsu", against) == ()


def test_other_numbers_say_nothing_new():
    first, second = (give_interim_verdict(Scores.of(images(18)), epochs(FALLING[:n], FALLING[:n])) for n in (12, 18))
    assert first != second
    assert without_numbers(first) == without_numbers(second)
