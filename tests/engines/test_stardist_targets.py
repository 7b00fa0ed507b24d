import numpy as np
import pytest

pytest.importorskip("stardist")

from napari_seg_trainer.annotations.patches import Patch
from napari_seg_trainer.engines.stardist.targets import make_batch
from napari_seg_trainer.testing.discs import disc_image

RAYS = 8


def batch(labels, grid=1, channels=1):
    return make_batch([Patch(np.zeros((channels, *labels.shape), np.float32), labels.astype(np.int32))], RAYS, grid)


@pytest.mark.parametrize("grid", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_targets_lie_on_the_grid(grid, channels):
    targets = batch(disc_image((32, 48), 1, 0).labels, grid, channels)
    assert targets.image.shape == (1, 32, 48, channels)
    assert targets.probability.shape == (1, 32 // grid, 48 // grid)
    assert targets.distances.shape == (1, 32 // grid, 48 // grid, RAYS)
    assert {array.dtype for array in (targets.image, targets.probability, targets.distances)} == {np.dtype("float32")}


def test_a_disc_is_surest_in_its_middle_and_as_far_as_its_radius():
    rows, columns = np.indices((41, 41))
    targets = batch(np.hypot(rows - 20, columns - 20) <= 10)
    assert np.unravel_index(targets.probability[0].argmax(), (41, 41)) == (20, 20)
    assert targets.probability[0, 20, 20] == pytest.approx(1.0)
    np.testing.assert_allclose(targets.distances[0, 20, 20], 10.5, atol=1.0)
    assert (targets.probability[0][np.hypot(rows - 20, columns - 20) > 10] == 0).all()


@pytest.mark.parametrize("grid", [1, 2])
def test_an_object_that_fills_the_patch_tells_no_probability(grid):
    targets = batch(np.full((16, 16), 7), grid)
    assert (targets.probability == -1).all()
    assert np.isfinite(targets.distances).all()


def test_an_empty_patch_is_background():
    assert (batch(np.zeros((16, 16))).probability == 0).all()


def test_ignored_pixels_tell_nothing():
    labels = disc_image((32, 32), 1, 0).labels.copy()
    labels[:, 20:] = -1
    probability = batch(labels).probability[0]
    assert (probability[:, 20:] == -1).all()
    assert (probability[:, :20] >= 0).all()
    assert (batch(np.full((16, 16), -1)).probability == -1).all()


@pytest.mark.parametrize("offset", [0, 65_535, 65_536, 1_000_000])
def test_large_label_numbers_are_as_good_as_small_ones(offset):
    labels = disc_image((48, 48), 1, 0).labels
    small, large = batch(labels), batch(np.where(labels > 0, labels + offset, 0))
    np.testing.assert_array_equal(large.probability, small.probability)
    np.testing.assert_array_equal(large.distances, small.distances)


def test_large_label_numbers_without_background():
    halves = np.ones((16, 16), np.int32)
    halves[:, 8:] = 2
    small, large = batch(halves), batch(halves + 70_000)
    np.testing.assert_array_equal(large.probability, small.probability)
    np.testing.assert_array_equal(large.distances, small.distances)


def test_labels_that_are_equal_in_16_bits_stay_apart():
    labels = np.ones((16, 16), np.int32)
    labels[:, 8:] = 1 + 65_536
    assert batch(labels).distances[0, 8, 7, 0] < 2
