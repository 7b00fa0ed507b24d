import numpy as np
import pytest

from napari_seg_trainer.engines.stardist.design import (
    adopt,
    choose_depth,
    choose_grid,
    choose_patch,
    field_of_view,
    round_patch,
)
from napari_seg_trainer.engines.stardist.spec import LOWEST_RATE, RATE, TUNING_RATE, StarDistParameters
from napari_seg_trainer.errors import JobError
from napari_seg_trainer.schema.job import TrainingFacts

SHAPES = [(512, 512), (512, 400)]
CONFIG = {"grid": [2, 2], "n_rays": 32, "unet_n_depth": 3, "unet_n_filter_base": 64}


def sizes(*values):
    return np.array(values, np.float64)


def facts(*diameters, shapes=SHAPES, pretrained=False, found=None, inverted=False):
    return TrainingFacts(shapes, sizes(*diameters), sizes(*diameters), pretrained, found, inverted)


def test_what_the_user_chose_stays():
    shape = {"rays": 96, "grid": 1, "depth": 2, "filters": 16}
    given = StarDistParameters(**shape, patch_size=128, epochs=3, learning_rate=0.01, keep=0.2, inverted=False)
    assert given.completed(facts(200.0)) == given


@pytest.mark.parametrize(("diameter", "grid"), [(3.0, 1), (12.0, 2), (100.0, 4)])
def test_the_grid_is_coarser_for_larger_objects(diameter, grid):
    assert choose_grid(np.full(9, diameter)) == grid


@pytest.mark.parametrize("grid", [1, 2, 4])
@pytest.mark.parametrize("extent", [5.0, 50.0, 120.0, 250.0, 500.0, 5000.0])
def test_the_network_sees_objects_whole_where_it_can(grid, extent):
    depth = choose_depth(np.full(9, extent), grid)
    assert field_of_view(depth, grid) >= extent or depth == 6
    assert depth == 3 or field_of_view(depth - 1, grid) < extent


@pytest.mark.parametrize(("diameter", "rays"), [(20.0, 32), (120.0, 64)])
def test_large_objects_get_more_rays(diameter, rays):
    assert StarDistParameters().completed(facts(diameter)).rays == rays


@pytest.mark.parametrize(
    ("shapes", "extent", "patch"),
    [
        ([(2048, 2048)], 20.0, 128),
        ([(2048, 2048)], 80.0, 160),
        ([(2048, 2048)], 200.0, 400),
        ([(2048, 2048)], 900.0, 1024),
        ([(100, 80), (100, 90)], 20.0, 100),
        ([(100, 80), (100, 90), (2048, 2048)], 20.0, 100),
    ],
)
def test_the_patch_holds_an_object_twice_but_is_no_larger_than_most_images(shapes, extent, patch):
    assert choose_patch(shapes, sizes(extent)) == patch


@pytest.mark.parametrize(
    ("size", "grid", "depth", "rounded"),
    [(256, 2, 3, 256), (250, 2, 3, 256), (100, 2, 3, 96), (1, 1, 3, 16), (16, 4, 6, 512), (64, 1, 1, 64)],
)
def test_the_patch_fits_the_poolings(size, grid, depth, rounded):
    assert round_patch(size, grid, depth) == rounded


def test_completed_parameters_can_be_used_again():
    completed = StarDistParameters().completed(facts(10.0, 30.0))
    assert None not in (completed.rays, completed.grid, completed.depth, completed.patch_size)
    assert None not in (completed.epochs, completed.learning_rate)
    assert completed.patch_size % (completed.grid * 2**completed.depth) == 0
    assert StarDistParameters.model_validate_json(completed.model_dump_json()) == completed
    assert completed.completed(facts(80.0)) == completed


def test_a_model_that_is_trained_on_learns_slower_and_keeps_its_shape():
    completed = StarDistParameters().completed(facts(20.0, pretrained=True))
    assert completed.learning_rate == TUNING_RATE < StarDistParameters().completed(facts(20.0)).learning_rate
    assert (completed.rays, completed.grid, completed.depth) == (None, None, None)
    known = StarDistParameters(grid=2, depth=3).completed(facts(20.0, shapes=[(100, 100)], pretrained=True))
    assert known.patch_size == adopt(StarDistParameters(), CONFIG, facts(20.0, shapes=[(100, 100)])).patch_size == 96


@pytest.mark.parametrize(("images", "epochs"), [(3, 500), (24, 191), (96, 191), (200, 100), (5000, 100)])
def test_few_images_are_seen_more_often(images, epochs):
    assert StarDistParameters().completed(facts(20.0, shapes=images * [(256, 256)])).epochs == epochs


@pytest.mark.parametrize(
    ("images", "found", "inverted", "keep"),
    [
        (2, 0.9, False, 0.92),
        (10, 0.9, False, 0.71),
        (10, 1.0, False, 0.71),
        (90, 0.9, False, 0.21),
        (2, 0.1, False, 0.31),
        (2, 0.0, False, 0.0),
        (2, 0.9, True, 0.75),
        (10, 0.9, True, 0.38),
    ],
)
def test_of_a_model_that_finds_the_objects_more_stays_where_there_are_few_images(images, found, inverted, keep):
    known = facts(20.0, shapes=images * [(256, 256)], pretrained=True, found=found, inverted=inverted)
    assert StarDistParameters().completed(known).keep == keep
    assert StarDistParameters(keep=0.3).completed(known).keep == 0.3


def test_the_more_a_model_finds_the_slower_it_is_changed():
    found = (0.0, 0.5, 0.9, 1.0)
    rates = [StarDistParameters().completed(facts(20.0, pretrained=True, found=part)).learning_rate for part in found]
    assert rates == [RATE, 0.00032, 0.00013, LOWEST_RATE]
    assert StarDistParameters().completed(facts(20.0)).learning_rate == RATE


@pytest.mark.parametrize(
    ("given", "pretrained", "seen", "inverted"),
    [
        (None, True, True, True),
        (None, True, False, False),
        (False, True, True, False),
        (True, True, False, True),
        (True, False, False, False),
    ],
)
def test_whether_the_start_is_inverted_is_seen_or_said(given, pretrained, seen, inverted):
    completed = StarDistParameters(inverted=given).completed(facts(20.0, pretrained=pretrained, inverted=seen))
    assert completed.inverted is inverted


def test_what_was_not_looked_at_is_not_known():
    assert StarDistParameters().completed(facts(20.0, pretrained=True)).keep is None
    assert StarDistParameters().completed(facts(20.0)).keep == 0


def test_a_training_from_what_finds_the_objects_is_shorter():
    shapes = 24 * [(256, 256)]
    length = {
        found: StarDistParameters().completed(facts(20.0, shapes=shapes, pretrained=True, found=found)).epochs
        for found in (0.0, 0.5, 1.0)
    }
    assert length[0.0] > length[0.5] > length[1.0] == 100


def test_a_pretrained_network_keeps_its_shape():
    adopted = adopt(StarDistParameters(epochs=3), CONFIG, facts(30.0))
    assert (adopted.grid, adopted.rays, adopted.depth, adopted.filters) == (2, 32, 3, 64)
    assert (adopted.epochs, adopted.patch_size) == (3, 128)


@pytest.mark.parametrize(("name", "value"), [("grid", 4), ("rays", 64), ("depth", 4), ("filters", 32)])
def test_a_pretrained_network_takes_no_other_shape(name, value):
    with pytest.raises(JobError, match=rf"has {name} \d+, not {value}\. Leave {name} out") as caught:
        adopt(StarDistParameters(**{name: value}), CONFIG, facts(30.0))
    assert "\n" not in str(caught.value)


def test_the_same_shape_or_none_is_no_conflict():
    given = StarDistParameters(grid=2, rays=32, depth=None, filters=64)
    assert adopt(given, CONFIG, facts(30.0)).depth == 3


def test_a_default_is_no_wish_even_where_something_else_was_changed():
    given = StarDistParameters(epochs=3).replace(batch_size=2)
    assert adopt(given, CONFIG, facts(30.0)).filters == 64
