"""Samples: turned, mirrored and scaled, with flows that still point to the middle."""

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("cellpose")

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.engines.cellpose.flows import Annotated, flows_of
from napari_seg_trainer.engines.cellpose.samples import SamplePlan, _orthogonal, cut, draw_sample, fixed_sample

PLAN = SamplePlan(size=64, channels=2, diameter=30.0, typical=15.0, scale_range=0.5, foreground=0.9)


def inward(sample, threshold=0.5):
    """How well flows point to the middle of a single object, from -1 to 1, for each of its pixels."""
    cell, flows = sample.target[0] > threshold, sample.target[1:3]
    places = np.argwhere(cell)
    towards = places.mean(0) - places
    length = np.hypot(*towards.T)
    found = flows[:, cell].T
    keep = (length > 4) & (np.hypot(*found.T) > 0.5)
    return (found[keep] * towards[keep]).sum(1) / length[keep] / np.hypot(*found[keep].T)


@pytest.fixture
def disc(annotated):
    rows, columns = np.indices((60, 80))
    return annotated(labels=(np.hypot(rows - 25, columns - 40) <= 12).astype(int))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.7, math.pi / 2, 3.0])
@pytest.mark.parametrize("factor", [0.6, 1.0, 2.0])
def test_flows_turn_with_the_image(disc, mirrored, angle, factor):
    sample = cut(disc, PLAN, np.array([25.0, 40.0]), factor, _orthogonal(angle, mirrored=mirrored))
    assert inward(sample).min() > 0.9
    places = np.argwhere(sample.target[0] > 0.5)
    np.testing.assert_allclose(places.mean(0), 31.5, atol=1)  # what was asked for is in the middle
    assert len(places) == pytest.approx(np.pi * (12 * factor) ** 2, rel=0.1)
    np.testing.assert_allclose(sample.image[0] > 0.5, sample.target[0] > 0.5, atol=1)


def test_an_augmented_sample_differs_in_brightness_alone(disc):
    plain, changed = (draw_sample(disc, PLAN, np.random.default_rng(1), augmented=augmented) for augmented in (0, 1))
    np.testing.assert_array_equal(plain.target, changed.target)
    assert np.corrcoef(plain.image[0].ravel(), changed.image[0].ravel())[0, 1] > 0.9
    assert np.abs(plain.image[0] - changed.image[0]).max() > 0.01
    assert not changed.image[1].any()  # a channel that the image lacks
    assert changed.image.dtype == np.float32


@pytest.mark.parametrize("foreground", [0.0, 0.9])
def test_samples_are_where_the_image_is_annotated(annotated, foreground):
    labels = np.full((900, 900), -1, int)
    labels[100:200, 700:800] = 0
    labels[140:152, 740:752] = 1
    one, plan = annotated(labels=labels), replace(PLAN, foreground=foreground)
    assert (one.objects, one.places.min(axis=0).tolist()) == (1, [140, 740])
    rng = np.random.default_rng(0)
    for _ in range(50):
        sample = draw_sample(one, plan, rng)
        assert sample.target[3].any()
        assert not sample.target[:3, sample.target[3] == 0].any()


def test_a_mirror_exchanges_the_sides(annotated):
    labels = np.zeros((64, 64), int)
    labels[10:20, 5:15] = 1
    one = annotated(labels=labels)
    plain = cut(one, PLAN, np.array([31.5, 31.5]), 1.0, np.eye(2))
    np.testing.assert_array_equal(plain.target[0], labels)
    mirrored = cut(one, PLAN, np.array([31.5, 31.5]), 1.0, np.diag([1.0, -1.0]))
    np.testing.assert_array_equal(mirrored.target[0], labels[:, ::-1])
    np.testing.assert_allclose(mirrored.target[1], plain.target[1][:, ::-1], atol=1e-6)
    np.testing.assert_allclose(mirrored.target[2], -plain.target[2][:, ::-1], atol=1e-6)


def test_outside_of_the_image_nothing_counts(disc):
    sample = cut(disc, PLAN, np.array([0.0, 0.0]), 1.0, np.eye(2))
    counts = sample.target[3] > 0
    assert counts[32:, 32:].all()
    assert not counts[:31].any()
    assert not counts[:, :31].any()
    assert not sample.image[:, ~counts].any()


def test_pixels_that_are_ignored_do_not_count(disc):
    labels = disc.prepared.labels.copy()
    labels[:, 50:] = -1
    partly = replace(disc, images=[PreparedImage("partly", disc.prepared.image, labels)])
    sample = cut(partly, PLAN, np.array([30.0, 40.0]), 1.0, np.eye(2))
    assert not sample.target[3][:, 44:].any()
    assert sample.target[3][10:50, 10:40].all()


def test_missing_channels_are_dark(disc):
    sample = draw_sample(disc, PLAN, np.random.default_rng(0))
    assert sample.image.shape == (2, 64, 64)
    assert sample.image[0].any()
    assert not sample.image[1].any()


def test_the_same_generator_draws_the_same(disc):
    one, again, other = (draw_sample(disc, PLAN, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.target, again.target)
    assert (one.image != other.image).any()


def test_objects_are_looked_for(annotated):
    labels = np.zeros((400, 400), int)
    labels[350:360, 20:30] = 1
    one = annotated(labels=labels)
    plan = replace(PLAN, foreground=1.0, typical=0.0)
    rng = np.random.default_rng(0)
    found = sum((draw_sample(one, plan, rng).target[0] > 0).any() for _ in range(60))
    without = sum((draw_sample(one, replace(plan, foreground=0.0), rng).target[0] > 0).any() for _ in range(60))
    assert found == 60
    assert without < 20


def test_sizes_lie_between_those_of_the_image_and_of_all_images(annotated):
    """Objects of 24 pixels where 12 are typical: shown at 30, as in Cellpose, up to 60, as a new image would be."""
    rows, columns = np.indices((200, 200))
    one = annotated(labels=(np.hypot(rows - 100, columns - 100) <= 11.5).astype(int))
    plan = replace(PLAN, size=256, typical=12.0, scale_range=0.0)
    rng = np.random.default_rng(0)
    areas = np.array([(draw_sample(one, plan, rng).target[0] > 0.5).sum() for _ in range(60)])
    diameters = np.sqrt(areas[areas > 0] * 4 / np.pi)
    assert 27 < diameters.min() < 36
    assert 52 < diameters.max() < 62
    fixed = [np.sqrt((fixed_sample(one, plan, rng).target[0] > 0.5).sum() * 4 / np.pi) for _ in range(10)]
    assert max(fixed) == pytest.approx(2.5 * one.diameter, abs=1)  # in some it is cut off


def test_only_the_needed_part_of_an_image_is_read():
    labels = np.zeros((3000, 3000), np.int32)
    labels[1500:1510, 1500:1510] = 1
    read = []

    class Counting(np.ndarray):
        def __getitem__(self, index):
            found = super().__getitem__(index)
            read.append(getattr(found, "size", 1))
            return found

    prepared = PreparedImage("large", labels[np.newaxis].astype(np.float32), labels.view(Counting))
    flows = np.zeros((2, *labels.shape), np.float16)
    one = Annotated([prepared], 0, labels.shape, flows, 11.0, 1, np.array([[1505, 1505]]), np.zeros((0, 2), np.int64))
    cut(one, PLAN, np.array([1505.0, 1505.0]), 1.0, _orthogonal(0.5, mirrored=False))
    assert max(read) < 150**2


def test_flows_of_a_turned_image_are_those_of_the_turned_labels(annotated):
    one = annotated((120, 120), seed=3)
    plan = replace(PLAN, size=96)
    sample = cut(one, plan, np.array([59.5, 59.5]), 1.0, _orthogonal(math.pi / 2, mirrored=False))
    turned = np.rot90(one.prepared.labels, -1)[12:-12, 12:-12]
    exact = flows_of(np.ascontiguousarray(turned)).astype(np.float32)
    inside = (sample.target[0] > 0.5) & (turned > 0)
    assert inside.sum() > 0.9 * (turned > 0).sum()
    assert np.median((sample.target[1:3] * exact).sum(0)[inside]) > 0.9
