"""Which images a model is least sure of."""

import json

import numpy as np
import pytest
import tifffile

from napari_seg_trainer import suggest
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.segmentation.looks import looks_of
from napari_seg_trainer.segmentation.ranking import Suggestion, Window, in_regions, rank
from napari_seg_trainer.segmentation.regions import Covered, Taken, covered_by, regions_of, windows_of
from napari_seg_trainer.segmentation.request import SegmentRequest
from napari_seg_trainer.segmentation.service import SegmentationService
from napari_seg_trainer.segmentation.suggest import disagreement, look_at_images, unannotated


def squares(*places, size=10, shape=(64, 64)):
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(places, 1):
        labels[y : y + size, x : x + size] = number
    return labels


def write(path, dim=0):
    """Write an image of nine bright squares, so many of which are dim."""
    labels = squares(*((y, x) for y in (4, 24, 44) for x in (4, 24, 44)))
    image = np.full(labels.shape, 100, np.uint16)
    image[labels > dim] = 1000
    image[(labels > 0) & (labels <= dim)] = 700
    tifffile.imwrite(path, image[None], metadata={"axes": "CYX"})
    path.with_suffix(".json").write_text(json.dumps({"channels": ["dapi"]}))
    return path


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "unannotated"
    place.mkdir()
    for stem, dim in (("a_clear", 0), ("b_dim", 6), ("c_some", 2)):
        write(place / f"{stem}.tif", dim)
    return place


@pytest.fixture
def checkpoint(tmp_path):
    """The toy engine asks more of an object with it."""
    place = tmp_path / "epoch_00001"
    place.mkdir()
    (place / "weights.json").write_text("{}")
    return place


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([squares((4, 4)), squares((4, 4))], 0),
        ([squares((4, 4)), squares((5, 5))], 0),  # the same object, a little elsewhere
        ([squares((4, 4)), squares()], 1),
        ([squares((4, 4)), squares((40, 40))], 2),
        ([squares((4, 4), (40, 40)), squares((4, 4)), squares((4, 4))], 2 / 3),
        ([squares(), squares(), squares()], 0),
    ],
)
def test_disagreement_counts_objects_in_the_mean_over_pairs(answers, expected):
    assert disagreement(answers) == pytest.approx(expected)


def test_what_a_late_epoch_does_not_see_is_unsure(toy_model, folder, checkpoint):
    found = list(look_at_images(toy_model(), sorted(folder.glob("*.tif")), checkpoint=checkpoint))
    assert [(one.image.stem, one.objects) for one in found] == [("a_clear", 9), ("b_dim", 9), ("c_some", 9)]
    # one of four answers differs from the three others, in three of six pairs
    assert [one.unsure for one in found] == [0, 6 * 3 / 6, 2 * 3 / 6]
    *unsure, sure = [one.image.stem for one in rank(found)]
    assert (sorted(unsure), sure) == (["b_dim", "c_some"], "a_clear")
    alone = look_at_images(toy_model("other"), sorted(folder.glob("*.tif")))
    assert [one.unsure for one in alone] == [0, 0, 0]


def test_what_cannot_be_read_is_told_last(toy_model, folder):
    (folder / "b_dim.tif").write_bytes(b"II*\0")
    found = suggest(toy_model(), folder)
    assert [one.image.stem for one in found] == ["a_clear", "c_some", "b_dim"]
    assert str(folder / "b_dim.tif") in found[-1].problem
    assert not any(one.problem for one in found[:-1])


def test_the_channels_are_those_of_the_model(toy_model, folder):
    found = suggest(toy_model(channels=("gfp",)), folder)
    assert all("no channel 'gfp'" in one.problem for one in found)
    assert not any(one.problem for one in suggest(toy_model("other", channels=("gfp",)), folder, use=["dapi"]))


def test_the_files_pixel_size_counts_unless_another_is_given(toy_model, folder):
    model = toy_model(pixel_size=0.25)
    image = folder / "a_clear.tif"
    image.with_suffix(".json").write_text(json.dumps({"channels": ["dapi"], "spatial_calibration": 0.25}))
    (found,) = look_at_images(model, [image])
    assert (found.objects, found.problem) == (9, "")
    (refused,) = look_at_images(model, [image], SegmentRequest(pixel_size=1e7))
    assert "1e+07" in refused.problem


def test_annotated_images_are_left_out(folder, tmp_path):
    tifffile.imwrite(folder / "a_clear_labelled.tif", squares((4, 4)).astype(np.uint16))
    assert [path.stem for path in unannotated([folder])] == ["b_dim", "c_some"]
    assert unannotated([folder / "a_clear.tif", folder]) == [
        folder / f"{stem}.tif" for stem in ("a_clear", "b_dim", "c_some")
    ]
    with pytest.raises(DataError, match="There is no image"):
        unannotated([tmp_path / "missing.tif"])
    for stem in ("b_dim", "c_some"):
        tifffile.imwrite(folder / f"{stem}_labelled.tif", squares((4, 4)).astype(np.uint16))
    with pytest.raises(DataError, match="not annotated yet"):
        unannotated([folder])


def test_a_second_image_of_a_kind_comes_behind_the_first_of_another(tmp_path):
    told = [
        Suggestion(tmp_path / name, 10, unsure, looks)
        for name, unsure, looks in (
            ("crowd_1", 50.0, (9.0, 0.1)),
            ("crowd_2", 48.0, (9.0, 0.11)),
            ("few_1", 10.0, (3.0, 0.5)),
            ("few_2", 9.0, (3.1, 0.5)),
            ("sure", 0.0, (6.0, 0.9)),
        )
    ]
    assert {one.image.name.split("_")[0] for one in rank(told)[:2]} == {"crowd", "few"}
    assert rank(told)[-1].image.name == "sure"
    assert sorted(one.image.name for one in rank(told)) == sorted(one.image.name for one in told)


def test_looks_tell_kinds_of_images_apart():
    few, many = squares((4, 4)), squares(*((y, x) for y in range(0, 60, 12) for x in range(0, 60, 12)))
    dim, alike = ((labels > 0)[None] * 100.0 + np.arange(64) for labels in (few, many))
    first, second = looks_of(dim, few), looks_of(alike, many)
    assert len(first) == len(second)
    assert second[3] > first[3]
    assert looks_of(dim * 7 + 3, few) == pytest.approx(first, abs=1e-5)
    assert np.isfinite(looks_of(np.zeros((1, 64, 64)), squares())).all()


@pytest.mark.parametrize(
    ("told", "order"),
    [
        ([("b", 5, 1.0), ("a", 5, 1.0), ("c", 5, 2.0)], "cab"),
        ([("crowd", 500, 30.0), ("usual", 40, 10.0)], ["usual", "crowd"]),  # 10 of 40 tell more than 30 of 500
        ([("one", 1, 1.0), ("usual", 40, 15.0)], ["usual", "one"]),  # but a single object does not
        ([("none", 0, 0.0), ("some", 3, 0.5)], ["some", "none"]),
    ],
)
def test_of_images_that_look_alike_the_one_that_is_less_sure_comes_first(tmp_path, told, order):
    found = rank([Suggestion(tmp_path / name, objects, unsure, (1.0,)) for name, objects, unsure in told])
    assert [one.image.name for one in found] == list(order)


@pytest.mark.parametrize(("doubt", "first"), [(4.0, "many"), (0.0, "odd")])
def test_an_odd_image_comes_behind_one_that_looks_like_many_others(tmp_path, doubt, first):
    odd = Suggestion(tmp_path / "odd", 10, 10.0, (9.0, 9.0))
    many = [Suggestion(tmp_path / f"many_{i}", 10, doubt, (1.0, 1.0 + 0.1 * i)) for i in range(3)]
    assert rank([odd, *many])[0].image.name.startswith(first)  # what it is sure of comes behind, however many


def test_the_order_is_that_of_what_each_adds(tmp_path):
    rng = np.random.default_rng(3)
    drawn = [(int(rng.integers(1, 50)), float(rng.uniform(0.1, 20)), tuple(rng.normal(size=5))) for _ in range(40)]
    told = [Suggestion(tmp_path / f"{i:02}", *one) for i, one in enumerate(drawn)]
    looks = np.array([one.looks for one in told])
    looks = (looks - looks.mean(0)) / looks.std(0)
    squares = np.square(looks[:, None] - looks).sum(2)
    alike = np.exp(-squares / np.median(squares[squares > 0]))
    weights = np.array([1 + min(1, one.unsure / (3 + one.objects + one.unsure / 2)) for one in told])
    order, best = [], np.zeros(40)
    while len(order) < 40:
        added = np.maximum(alike - best[:, None], 0).T @ weights
        added[order] = -1
        order.append(int(np.argmax(added)))
        best = np.maximum(best, alike[order[-1]])
    assert [told.index(one) for one in rank(told)] == order


def test_of_very_many_images_some_stand_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_seg_trainer.segmentation.ranking._SPOKEN_FOR", 10)
    told = [Suggestion(tmp_path / f"{i:02}", 5, 1.0, (float(i % 3),)) for i in range(50)]
    assert sorted(one.image.name for one in rank(told)) == [f"{i:02}" for i in range(50)]
    assert {one.looks[0] for one in rank(told)[:3]} == {0.0, 1.0, 2.0}


def test_a_service_is_asked_the_same(toy_model, folder, checkpoint):
    images, model = sorted(folder.glob("*.tif")), toy_model()
    with SegmentationService() as service:
        found = list(look_at_images(model, images, checkpoint=checkpoint, service=service))
    assert found == list(look_at_images(model, images, checkpoint=checkpoint))


def test_how_far_it_is_counts_each_look_at_an_image(toy_model, annotation_folder):
    folder = annotation_folder(images=2)
    far = []
    list(look_at_images(toy_model(), sorted(folder.glob("cell_0?.tif")), progress=far.append))
    assert far == pytest.approx([0, 1 / 3, 2 / 3, 1, 1, 4 / 3, 5 / 3, 2, 2])


# regions


def field(side=480, step=24, size=12):
    """Labels of many squares."""
    return squares(
        *((y, x) for y in range(6, side - size, step) for x in range(6, side - size, step)),
        size=size,
        shape=(side, side),
    )


@pytest.mark.parametrize(
    ("shape", "side", "count"),
    [((100, 140), 96, 1), ((480, 480), 96, 25), ((500, 96), 96, 5), ((96, 145), 96, 2), ((1000, 40), 100, 10)],
)
def test_regions_make_up_an_image(shape, side, count):
    windows = windows_of(shape, side)
    covered = np.zeros(shape, int)
    for window in windows:
        covered[window.slices] += 1
    assert len(windows) == count
    assert (covered == 1).all()


def test_doubt_is_where_the_answers_differ(tmp_path):
    first = field()
    second = np.where((np.indices(first.shape) < 90).all(0), 0, first)
    image = np.random.default_rng(0).random((1, 480, 480))
    regions = regions_of(tmp_path / "a.tif", image, [first, second], Covered())
    assert {one.window.area for one in regions} == {120**2}  # of 8 times 13.5 pixels, made to fit
    assert sum(one.unsure for one in regions) == disagreement([first, second]) == 16
    worst = max(regions, key=lambda one: one.unsure)
    assert (worst.window.y0, worst.window.x0) == (0, 0)
    assert sum(one.unsure for one in regions if one is not worst) == 0
    assert regions_of(tmp_path / "a.tif", image[:, :100, :100], [first[:100, :100]] * 2, Covered()) is None


def test_what_is_annotated_already_is_not_suggested_again(tmp_path):
    first, image = field(), np.random.default_rng(0).random((1, 480, 480))
    every = regions_of(tmp_path / "a.tif", image, [first, first], Covered())
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "a.tif"
    other.write_bytes(b"")
    windows = [one.window for one in every]
    taken = {
        "a": [
            Taken(windows[0]),
            Taken(Window(0, 5, 470, 480)),  # too little
            Taken(windows[3], str(tmp_path / "a.tif")),
            Taken(windows[4], str(other)),  # another file of this name
            Taken(windows[5], str(tmp_path / "gone" / "a.tif")),  # it has been moved
        ],
        "b": [Taken(windows[1])],
    }
    left = regions_of(tmp_path / "a.tif", image, [first, first], Covered(taken=taken))
    assert [one.window for one in left] == [window for place, window in enumerate(windows) if place not in {0, 3, 5}]
    small = [first[:100, :100]] * 2
    assert regions_of(tmp_path / "c.tif", image[:, :100, :100], small, Covered(taken=taken)) is None
    assert regions_of(tmp_path / "a.tif", image[:, :100, :100], small, Covered(taken=taken)) == ()


def test_a_kind_that_is_annotated_comes_behind_others(tmp_path):
    told = [
        Suggestion(tmp_path / name, 10, 5.0, looks)
        for name, looks in (("usual_1", (1.0,)), ("usual_2", (1.1,)), ("usual_3", (0.9,)), ("odd", (3.0,)))
    ]
    assert rank(told)[0].image.name.startswith("usual")
    assert rank(told, [(1.0,)])[0].image.name == "odd"
    assert sorted(one.image.name for one in rank(told, [(1.0,)])) == sorted(one.image.name for one in told)


def test_annotated_crops_are_known_by_their_names(annotation_folder, tmp_path):
    folder = annotation_folder("annotations_nuclei", 2)
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("cell_01", "my_roi_day_2_roi_10_106_20_116")))
    covered = covered_by([folder, tmp_path / "gone"])
    whole = Window(0, 96, 0, 96)
    assert covered.taken == {"cell_00": [Taken(whole)], "my_roi_day_2": [Taken(whole.moved(20, 10))]}
    assert len(covered.looks) == 2
    (folder / "cell_00.tif").write_bytes(b"II*")
    assert len(covered_by([folder]).looks) == 1


def test_large_images_are_suggested_in_regions(toy_model, tmp_path):
    place = tmp_path / "large"
    place.mkdir()
    labels = field()
    tifffile.imwrite(place / "a.tif", np.where(labels > 0, 1000, 100).astype(np.uint16))
    model = toy_model(channels=("channel 0",))
    found = suggest(model, place)
    assert len(found) > 10
    assert all(one.window is not None for one in found)
    assert [one.window for one in suggest(model, place, regions=False)] == [None]
    (whole,) = look_at_images(model, [place / "a.tif"], covered=Covered())
    assert in_regions([whole]) == list(whole.regions)
    assert in_regions([Suggestion(place / "c.tif", regions=())]) == []  # all of it is annotated
    assert in_regions([Suggestion(place / "b.tif", problem="broken", regions=whole.regions)])[0].problem
