"""Why an image may be hard: real nuclei, as they are and altered, against those that taught."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.prepare import PreparedImage, prepare_image, rescale_image, resize_labels
from napari_seg_trainer.evaluation.advice import SIDE, Reason, TrainingTraits, Traits, find_reason, measure
from napari_seg_trainer.schema.model_card import ModelChannel


def nuclei(part):
    for pair in AnnotationFolder.open(builtin_folder("nuclei_dsb2018", part)):
        annotated = pair.read()
        image = prepare_image(annotated.image[:1], (ModelChannel(name="dapi"),), 1.0)
        yield PreparedImage(pair.stem, image, annotated.labels)


def changed(prepared, image):
    return PreparedImage(prepared.name, image.astype(np.float32), prepared.labels)


def blurred(prepared, sigma=3):
    return changed(prepared, ndimage.gaussian_filter(prepared.image, (0, sigma, sigma)))


def times(prepared, factor):
    return changed(prepared, prepared.image * factor)


def scaled(prepared, factor):
    image = rescale_image(prepared.image, factor)
    return PreparedImage(prepared.name, image, resize_labels(prepared.labels, image.shape[1:]))


@pytest.fixture(scope="module")
def training():
    return list(nuclei("train"))


@pytest.fixture(scope="module")
def held_out():
    return list(nuclei("test"))


@pytest.fixture(scope="module")
def small(training):
    """Those whose nuclei are 9 to 16 pixels across."""
    return [prepared for prepared in training if measure(prepared).diameter < 17]


def kinds(usual, images):
    reasons = [usual.reason(prepared) for prepared in images]
    return [reason.kind if reason else "" for reason in reasons]


def test_unaltered_images_have_no_reason(training, held_out):
    assert kinds(TrainingTraits(training), held_out) == [""] * len(held_out)
    seen = [measure(prepared) for prepared in training]
    assert [find_reason(own, [*seen[:i], *seen[i + 1 :]]) for i, own in enumerate(seen)] == [None] * len(seen)


@pytest.mark.parametrize(
    ("alter", "kind"),
    [
        (blurred, "blurred"),
        (lambda prepared: blurred(prepared, 5), "blurred"),
        (lambda prepared: times(prepared, 0.2), "dim"),
        (lambda prepared: times(prepared, 4), "bright"),
        (lambda prepared: times(prepared, -0.2), "dim"),  # dark objects count the same
    ],
)
def test_altered_images_are_recognised(training, held_out, alter, kind):
    assert kinds(TrainingTraits(training), map(alter, held_out)) == [kind] * len(held_out)


def test_objects_of_another_size_are_recognised(small, held_out):
    usual = TrainingTraits(small)
    mostly = [prepared for prepared in held_out if 12 < measure(prepared).diameter < 17]
    assert kinds(usual, mostly) == [""] * len(mostly) == [""] * 3
    assert kinds(usual, [scaled(prepared, 2) for prepared in mostly]) == ["large"] * 3
    assert kinds(usual, [scaled(prepared, 0.4) for prepared in mostly]) == ["small"] * 3
    assert usual.reason(scaled(mostly[0], 2)) == Reason(
        "large", "cells of unusual size: 29 pixels across, 13 in the training images"
    )


def test_in_another_channel_nothing_is_looked_for(small):
    rng = np.random.default_rng(0)

    def with_noise(prepared, blur=0.0):
        noise = rng.normal(0, 0.1, prepared.image.shape)
        return changed(prepared, np.concatenate([noise, (blurred(prepared, blur) if blur else prepared).image]))

    usual = TrainingTraits([with_noise(prepared) for prepared in small])
    assert usual.channel == 1
    assert usual.reason(with_noise(small[0])) is None
    assert usual.reason(with_noise(small[0], 3)).kind == "blurred"


USUAL = Traits(diameter=20.0, contrast=0.6, sharpness=0.03, covered=0.3)
OTHER = replace(USUAL, diameter=12.0)


@pytest.mark.parametrize(
    ("own", "usual", "text"),
    [
        ({}, [USUAL] * 3, ""),
        ({"diameter": 26.6}, [USUAL] * 3, ""),
        ({"diameter": 26.8}, [USUAL] * 3, "cells of unusual size: 27 pixels across, 20 in the training images"),
        ({"diameter": 14.9}, [USUAL] * 3, "cells of unusual size: 15 pixels across, 20 in the training images"),
        ({"diameter": 60.0}, [USUAL] * 2, ""),  # of two, nobody knows what is usual
        ({}, [OTHER] * 38 + [USUAL] * 2, ""),
        ({}, [OTHER] * 39 + [USUAL], "cells of unusual size: 20 pixels across, 12 in the training images"),
        ({"sharpness": 0.0201}, [USUAL] * 3, ""),
        ({"sharpness": 0.0199}, [USUAL] * 3, "out of focus: 1.5 times less sharp than training images"),
        ({"sharpness": 0.0199}, [OTHER] * 3 + [USUAL] * 2, ""),  # two of the size are too few
        ({"contrast": 0.41}, [USUAL] * 3, ""),
        ({"contrast": 0.39}, [USUAL] * 3, "dimmer than the training images: contrast 0.39 vs. 0.60"),
        ({"contrast": 0.89}, [USUAL] * 3, ""),
        ({"contrast": 0.91}, [USUAL] * 3, "brighter than the training images: contrast 0.91 vs. 0.60"),
        ({"covered": 0.44}, [USUAL] * 3, ""),
        ({"covered": 0.46}, [USUAL] * 3, "more crowded: cells cover 46 % of the image, at most 30 %"),
        ({"sharpness": 0.001, "diameter": 60.0}, [USUAL] * 3, "cells of unusual size: 60 pixels across"),
        ({"sharpness": 0.001, "contrast": 0.1}, [USUAL] * 3, "out of focus: 30.0 times less sharp than training"),
    ],
)
def test_each_rule_at_both_sides_of_its_limit(own, usual, text):
    reason = find_reason(replace(USUAL, **own), usual)
    assert reason.text.startswith(text) if text else reason is None
    assert bool(text) == (reason is not None)


def test_without_objects_background_or_contrast_there_are_no_traits(small):
    image, labels = small[0].image, small[0].labels
    assert measure(PreparedImage("empty", image, np.zeros_like(labels))) is None
    assert measure(PreparedImage("full", image, np.ones_like(labels))) is None
    flat = PreparedImage("flat", np.zeros_like(image), labels)
    assert TrainingTraits([flat] * 3).reason(flat) is None
    assert TrainingTraits([]).reason(small[0]) is None


def test_of_a_large_image_the_middle_is_looked_at(small):
    prepared = small[0]
    side = (SIDE - prepared.labels.shape[0]) // 2
    inner = (0, 0), (side, side), (side, side)
    middle = PreparedImage("middle", np.pad(prepared.image, inner), np.pad(prepared.labels, inner[1:]))
    around = ((0, 0), (90, 90), (90, 90))
    wide = PreparedImage("wide", np.pad(middle.image, around, constant_values=9), np.pad(middle.labels, around[1:]))
    assert measure(wide) == measure(middle)


def test_a_training_image_without_contrast_tells_nothing_of_sharpness():
    empty = replace(USUAL, contrast=0.0, sharpness=float("nan"))
    usual = [empty, USUAL, USUAL, USUAL]
    assert find_reason(USUAL, usual) is None
    blurred = find_reason(replace(USUAL, sharpness=USUAL.sharpness / 4), usual)
    assert blurred == Reason("blurred", "out of focus: 4.0 times less sharp than training images")
    assert find_reason(empty, [USUAL] * 3).kind == "dim"
