import numpy as np
import pytest

pytest.importorskip("stardist")

from napari_seg_trainer.annotations.prepare import PreparedImage

thresholds = pytest.importorskip("napari_seg_trainer.engines.stardist.thresholds")


def images(*shapes):
    return [
        PreparedImage(str(i), np.full((1, *shape), i, np.float32), np.full(shape, i, np.int32))
        for i, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_all_small_images_are_looked_at_once(count):
    chosen = thresholds.choose(images(*[(64, 48)] * count))
    assert sorted(int(labels[0, 0]) for _, labels in chosen) == list(range(count))


def test_many_images_are_cut_off_at_the_budget_and_taken_from_everywhere():
    chosen = thresholds.choose(images(*[(512, 512)] * 40))
    places = sorted(int(labels[0, 0]) for _, labels in chosen)
    assert sum(labels.size for _, labels in chosen) == thresholds.MAX_PIXELS
    assert max(np.diff([-1, *places, 40])) <= 9


def test_a_huge_image_gives_its_middle():
    (huge,) = images((4000, 3000))
    huge.labels[2000, 1500] = 5
    ((image, labels),) = thresholds.choose([huge])
    assert labels.size <= thresholds.MAX_PIXELS
    assert image.shape[1:] == labels.shape
    assert (labels == 5).sum() == 1
