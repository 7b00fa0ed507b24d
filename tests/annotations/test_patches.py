import threading
import time
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_seg_trainer.annotations.patches import (
    IGNORED,
    PatchPlan,
    PatchStream,
    augment,
    cut,
    draw_patch,
    prefetched,
)
from napari_seg_trainer.annotations.prepare import PreparedImage, PreparedImages


def picture(shape=(64, 80), seed=0, channels=1):
    """Discs, brighter than the background in every channel: the image tells the labels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for number in range(1, 5):
        y, x = (rng.integers(0, length) for length in shape)
        labels[np.hypot(rows - y, columns - x) < 9] = number
    return PreparedImage(f"picture {seed}", np.repeat(np.float32(labels > 0)[np.newaxis], channels, axis=0), labels)


def stream_of(images=5, **plan):
    values = {"size": (16, 16), "batch_size": 4, "augmentation": 2.0, "seed": 3} | plan
    return PatchStream([picture(seed=i, shape=(40, 40 + i)) for i in range(images)], PatchPlan(**values))


def same(one, other):
    return all(
        np.array_equal(a.image, b.image) and np.array_equal(a.labels, b.labels)
        for batch, again in zip(one, other, strict=True)
        for a, b in zip(batch, again, strict=True)
    )


@example(1, 1, 1.0000000000000002, 0, 1)
@settings(max_examples=200, deadline=None)
@given(st.integers(1, 30), st.integers(1, 16), st.floats(1.0, 5.0), st.integers(0, 1000), st.integers(1, 99))
def test_every_image_is_visited_in_every_epoch(images, batch_size, augmentation, seed, epoch):
    plan = PatchPlan((8, 8), batch_size, augmentation, seed=seed)
    stream = PatchStream([None] * images, plan)
    visits = stream.visits(epoch)
    assert len(visits) == stream.batches_per_epoch * batch_size
    assert images * augmentation - 1e-6 <= len(visits) < images * augmentation + batch_size + 1e-6
    assert sorted(i for i, augmented in visits if not augmented) == list(range(images))
    extra = Counter(i for i, augmented in visits if augmented)
    assert max(extra.values(), default=0) - min(extra[i] for i in range(images)) <= 1
    assert stream.visits(epoch) == visits


def test_epochs_and_seeds_differ():
    orders = {tuple(stream_of(seed=seed).visits(epoch)) for seed in range(3) for epoch in range(1, 4)}
    assert len(orders) == 9


def test_batches_are_full_and_of_the_wanted_size():
    stream = stream_of(size=(24, 16))
    batches = list(stream.epoch(1, list))
    assert len(batches) == stream.batches_per_epoch == 3
    for patch in chain.from_iterable(batches):
        assert (patch.image.shape, patch.labels.shape) == ((1, 24, 16), (24, 16))
        assert (patch.image.dtype, patch.labels.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (1, 100), (4, 2)])
def test_threads_decide_nothing(workers, ahead):
    stream = stream_of()

    def slow_at_random(batch):
        time.sleep(np.random.default_rng().uniform(0, 0.01))
        return batch

    assert same(stream.epoch(2, slow_at_random, workers, ahead), stream.epoch(2, list))


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (2, 7)])
def test_epochs_follow_each_other(workers, ahead):
    stream = stream_of()
    one_by_one = [batch for epoch in (2, 3, 4) for batch in stream.epoch(epoch, list)]
    assert same(stream.epochs(range(2, 5), list, workers, ahead), one_by_one)


def test_a_batch_does_not_depend_on_those_before_it():
    stream = stream_of()
    visits = stream.visits(5)
    backwards = [stream.batch(5, visits, number) for number in reversed(range(stream.batches_per_epoch))]
    assert same(backwards[::-1], stream_of().epoch(5, list))


def test_the_same_visit_gives_another_patch_in_another_epoch():
    stream = stream_of()
    visits = stream.visits(1)
    assert not same([stream.batch(1, visits, 0)], [stream.batch(2, visits, 0)])


@pytest.mark.parametrize("corner", [(0, 0), (3, 5), (48, 64), (-4, -7), (60, 70), (-5, 70)])
def test_a_cut_shows_its_place(corner):
    prepared = picture(channels=2)
    patch = cut(prepared, corner, (16, 16))
    rows, columns = (np.arange(start, start + 16) for start in corner)
    inside = np.ix_((rows >= 0) & (rows < 64), (columns >= 0) & (columns < 80))
    there = np.ix_(rows[(rows >= 0) & (rows < 64)], columns[(columns >= 0) & (columns < 80)])
    np.testing.assert_array_equal(patch.labels[inside], prepared.labels[there])
    np.testing.assert_array_equal(patch.image[1][inside], prepared.image[1][there])
    assert (patch.labels == IGNORED).sum() == 256 - patch.labels[inside].size


@pytest.mark.parametrize("shape", [(10, 12), (1, 1), (40, 5), (16, 16)])
def test_an_image_smaller_than_the_patch_is_mirrored_and_not_learned_from_outside(shape):
    rng = np.random.default_rng(0)
    prepared = PreparedImage("small", rng.random((2, *shape), np.float32), np.ones(shape, np.int32))
    patch = draw_patch(prepared, PatchPlan((16, 16), 1), rng)
    assert patch.image.shape == (2, 16, 16)
    height, width = (min(length, 16) for length in shape)
    assert (patch.labels[:height, :width] == 1).all()
    assert (patch.labels == IGNORED).sum() == 256 - height * width
    assert np.isin(patch.image, prepared.image).all()


@pytest.mark.parametrize("shape", [(10, 12), (1, 1), (40, 5), (64, 80)])
@pytest.mark.parametrize("size", [(16, 16), (16, 32)])
def test_augmented_patches_have_the_wanted_size_and_labels(shape, size):
    prepared = picture(shape, channels=2)
    known = {IGNORED, *np.unique(prepared.labels)}
    for seed in range(20):
        patch = augment(prepared, PatchPlan(size, 1), np.random.default_rng(seed))
        assert (patch.image.shape, patch.labels.shape) == ((2, *size), size)
        assert (patch.image.dtype, patch.labels.dtype) == (np.float32, np.int32)
        assert known.issuperset(np.unique(patch.labels))
        assert np.isfinite(patch.image).all()


def rare(side, cells, seed=0):
    """A large image with a few cells of 12 pixels, some of which touch its edges."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int32)
    places = [(0, 0), (side - 12, side - 12), *rng.integers(0, side - 12, (cells - 2, 2))]
    for number, (y, x) in enumerate(places, 1):
        labels[y : y + 12, x : x + 12] = number
    return PreparedImage("rare", np.broadcast_to(np.float32(0), (1, side, side)), labels)


@pytest.mark.parametrize("draw", [draw_patch, augment])
@pytest.mark.parametrize(("side", "cells"), [(4096, 10), (6000, 10), (700, 2), (40, 2)])
def test_nine_of_ten_patches_hold_an_object_where_they_are_rare(draw, side, cells):
    prepared, plan = rare(side, cells), PatchPlan((256, 256), 1, foreground=0.9)
    rng = np.random.default_rng(1)
    patches = [draw(prepared, plan, rng) for _ in range(200)]
    share = np.mean([(patch.labels > 0).any() for patch in patches])
    assert share > 0.84  # of 200, with one chance in a hundred for less
    assert share < 0.96 or side < 4096
    seen = {number for patch in patches for number in np.unique(patch.labels) if number > 0}
    assert len(seen) == cells
    if draw is draw_patch and side >= 256:
        assert not any((patch.labels == IGNORED).any() for patch in patches)


def test_where_the_objects_are_is_looked_for_once(tmp_path):
    images = PreparedImages.write(tmp_path, [rare(600, 2), rare(600, 3, seed=1)], lambda done: None)
    first = images[0].draw_object_pixel(np.random.default_rng(0))
    assert images[0].labels[tuple(first)] > 0
    (tmp_path / "0_labels.npy").unlink()
    np.save(tmp_path / "0_labels.npy", np.ones((600, 600), np.int32))
    np.testing.assert_array_equal(images[0].draw_object_pixel(np.random.default_rng(0))[:1] // 32, first[:1] // 32)
    empty = PreparedImage("empty", np.zeros((1, 8, 8), np.float32), np.zeros((8, 8), np.int32))
    assert empty.draw_object_pixel(np.random.default_rng(0)) is None


@pytest.mark.parametrize("seed", range(20))
def test_augmented_labels_stay_on_their_objects(seed):
    patch = augment(picture((96, 96), channels=2), PatchPlan((48, 48), 1, foreground=1.0), np.random.default_rng(seed))
    inside, outside = patch.labels > 0, patch.labels == 0
    assert inside.any()
    for plane in patch.image:
        middle = (plane[inside].mean() + plane[outside].mean()) / 2
        assert plane[inside].mean() > plane[outside].mean() + 0.3
        assert np.mean((plane > middle) == inside) > 0.97


def test_augmented_patches_are_turned_and_mirrored_in_every_way():
    corner = np.zeros((32, 32), np.int32)
    corner[:16, :8] = 1
    prepared = PreparedImage("corner", np.zeros((1, 32, 32), np.float32), corner)
    seen = {
        augment(prepared, PatchPlan((32, 32), 1), np.random.default_rng(seed)).labels.tobytes() for seed in range(200)
    }
    ways = [np.rot90(turned, turns) for turned in (corner, corner.T) for turns in range(4)]
    assert {np.ascontiguousarray(way).tobytes() for way in ways} <= seen
    assert len(seen) > 50


def test_augmented_objects_differ_in_size_and_brightness():
    prepared = picture((96, 96))
    plan = PatchPlan((64, 64), 1)
    patches = [augment(prepared, plan, np.random.default_rng(seed)) for seed in range(40)]
    levels = [np.median(patch.image[0][patch.labels > 0]) for patch in patches if (patch.labels > 0).any()]
    assert max(levels) > 1.3
    assert min(levels) < 0.8
    assert {len(np.unique(np.round(patch.image, 6))) > 2 for patch in patches} == {True}


def test_a_patch_is_not_changed_by_augmenting_another():
    prepared = picture()
    before = prepared.image.copy(), prepared.labels.copy()
    prepared.image.setflags(write=False)
    prepared.labels.setflags(write=False)
    for seed in range(10):
        augment(prepared, PatchPlan((32, 32), 1), np.random.default_rng(seed))
    np.testing.assert_array_equal(prepared.image, before[0])
    np.testing.assert_array_equal(prepared.labels, before[1])


@pytest.mark.parametrize(("foreground", "least", "most"), [(1.0, 100, 100), (0.0, 10, 60), (0.5, 50, 90)])
def test_patches_hold_objects_as_often_as_wanted(foreground, least, most):
    labels = np.zeros((128, 128), np.int32)
    labels[50:70, 50:70] = 1
    prepared = PreparedImage("one object", np.zeros((1, 128, 128), np.float32), labels)
    plan = PatchPlan((32, 32), 1, foreground=foreground)
    holding = sum((draw_patch(prepared, plan, np.random.default_rng(seed)).labels > 0).any() for seed in range(100))
    assert least <= holding <= most


def test_an_image_without_objects_is_drawn_from_too():
    prepared = PreparedImage("empty", np.zeros((1, 32, 32), np.float32), np.zeros((32, 32), np.int32))
    assert draw_patch(prepared, PatchPlan((16, 16), 1, foreground=1.0), np.random.default_rng(0)).labels.max() == 0


def working_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("patches")]


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (1, 4), (3, 10)])
def test_results_come_in_order(workers, ahead):
    def work(i):
        time.sleep(0.002 * (i % 3))
        return i * i

    assert list(prefetched(work, range(20), workers, ahead)) == [i * i for i in range(20)]
    assert working_threads() == []


def test_no_more_is_computed_than_wanted():
    begun = []
    results = prefetched(begun.append, range(100), workers=2, ahead=3)
    for _ in range(5):
        next(results)
    time.sleep(0.05)
    assert len(begun) <= 5 + 3 + 1
    results.close()
    assert working_threads() == []


def test_what_goes_wrong_in_a_thread_is_raised_where_its_result_is_asked_for():
    def work(i):
        return 10 // (i - 3)

    results = prefetched(work, range(10), ahead=5)
    assert [next(results) for _ in range(3)] == [-4, -5, -10]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert working_threads() == []


def test_a_loop_that_is_left_leaves_no_thread():
    for _ in stream_of().epoch(1, list):
        break
    assert working_threads() == []
