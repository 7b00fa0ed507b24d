import numpy as np
import pytest

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.selection import spread, within_budget

PIXELS = 2 * 1024 * 1024


def images(*shapes):
    return [
        PreparedImage(str(i), np.full((1, *shape), i, np.float32), np.full(shape, i, np.int32))
        for i, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_all_small_images_are_looked_at_once(count):
    chosen = within_budget(images(*[(64, 48)] * count), PIXELS)
    assert sorted(int(labels[0, 0]) for _, labels in chosen) == list(range(count))


def test_many_images_are_cut_off_at_the_budget_and_taken_from_everywhere():
    chosen = within_budget(images(*[(512, 512)] * 40), PIXELS)
    places = sorted(int(labels[0, 0]) for _, labels in chosen)
    assert sum(labels.size for _, labels in chosen) == PIXELS
    assert max(np.diff([-1, *places, 40])) <= 9


def test_a_huge_image_gives_its_middle():
    (huge,) = images((4000, 3000))
    huge.labels[2000, 1500] = 5
    ((image, labels),) = within_budget([huge], PIXELS)
    assert labels.size <= PIXELS
    assert image.shape[1:] == labels.shape
    assert (labels == 5).sum() == 1


@pytest.mark.parametrize(("count", "most", "places"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (1, 1, [0])])
def test_places_are_spread(count, most, places):
    assert spread(count, most) == places
