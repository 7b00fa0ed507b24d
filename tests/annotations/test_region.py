"""Images of which only a part is annotated: in files, in the data check, and in what a network sees."""

import json

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from napari_seg_trainer.annotations.checks import examine_image
from napari_seg_trainer.annotations.doctor import surveyed
from napari_seg_trainer.annotations.facts import look
from napari_seg_trainer.annotations.findings import Severity
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.objects import find_holes, find_objects, renumbered
from napari_seg_trainer.annotations.patches import PatchPlan, PatchStream
from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.region import Region, annotated_part, counted_only, only_within, within
from napari_seg_trainer.annotations.selection import within_budget
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.evaluation.matching import match

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@pytest.fixture
def half(make):
    """An image whose right half nobody has looked at, where its objects have no labels."""
    labels = make().labels.copy()
    labels[:, 48:] = -1
    return make(labels=labels)


def codes(image):
    return {finding.code for finding in examine_image(image)}


# the region


@given(MASKS)
def test_a_region_is_the_mask_again(mask):
    region = Region.of(mask)
    np.testing.assert_array_equal(region.mask(), mask)
    assert Region.model_validate_json(region.model_dump_json()) == region


def test_run_lengths_are_those_of_coco():
    # the first of them is of what is outside, and may be 0; columns come first
    assert Region.of(np.array([[0, 1], [1, 1]], bool)).counts == (1, 3)
    assert Region.of(np.array([[1, 0, 0], [1, 0, 1]], bool)).counts == (0, 2, 3, 1)


@pytest.mark.parametrize(
    "content",
    [
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": [-1, 5]},
        {"size": [2, 2], "counts": [2**40]},
        {"size": [2**40, 2**40], "counts": [2**31] * 9},
        {"size": [2], "counts": [2]},
        {"size": [2, 2], "counts": [True, 3]},
        {"size": [2, 2], "counts": "eJzT0yMAAGTvBe8="},
        {"size": [2, 2], "counts": [4], "more": 1},
    ],
)
def test_what_is_no_region_is_refused(content):
    with pytest.raises(ValidationError):
        Region.model_validate_json(json.dumps(content))


def test_objects_stay_outside_of_a_region():
    labels = np.array([[0, 5, 0, 7]])
    found = within(labels, np.array([[True, False, False, True]]))
    assert found.tolist() == [[0, 5, -1, 7]]
    assert annotated_part(found) == 0.75


def test_objects_that_are_mostly_outside_are_not_annotated():
    labels = np.array([[0, 5, 5, 0, 7, 7, 7, 0, -1]])
    mask = np.array([[False, False, True, True, True, False, False, True, True]])
    assert only_within(labels, mask).tolist() == [[-1, 5, 5, 0, -1, -1, -1, 0, -1]]
    high = np.where(labels > 0, labels * 10_000, labels)
    np.testing.assert_array_equal(only_within(high, mask) > 0, only_within(labels, mask) > 0)


# files


def test_a_part_is_read_as_it_was_written(half, tmp_path):
    _, mask, sidecar = half.write(tmp_path)
    stored = tifffile.imread(mask)
    assert (stored.dtype, stored.min()) == (np.uint16, 0)  # what other programs read
    told = json.loads(sidecar.read_text())["annotated_region"]
    assert told["size"] == [96, 96]
    assert sum(told["counts"]) == 96 * 96
    assert len(sidecar.read_text().splitlines()) < 20
    (pair,) = AnnotationFolder.open(tmp_path)
    np.testing.assert_array_equal(pair.read().labels, half.labels)


def test_all_of_an_image_has_no_entry(make, tmp_path):
    _, _, sidecar = make().write(tmp_path)
    assert "annotated_region" not in json.loads(sidecar.read_text())


def test_a_negative_label_in_a_file_means_the_same(half, make, tmp_path):
    _, mask, _ = make().write(tmp_path)
    tifffile.imwrite(mask, half.labels.astype(np.int16))
    (pair,) = AnnotationFolder.open(tmp_path)
    np.testing.assert_array_equal(pair.read().labels, half.labels)
    tifffile.imwrite(mask, half.labels.astype(np.float32))
    np.testing.assert_array_equal(pair.read().labels, half.labels)


def test_names_with_numbers_stay_as_they_are(make, tmp_path):
    _, _, sidecar = make(channels=("stain 1,  2",), sources=("a, 3", "4,\t5")).write(tmp_path)
    told = json.loads(sidecar.read_text())
    assert (told["channels"], told["sources"]) == (["stain 1,  2"], ["a, 3", "4,\t5"])


def test_a_region_of_another_size_is_refused_in_one_line(half, tmp_path):
    _, _, sidecar = half.write(tmp_path)
    content = json.loads(sidecar.read_text())
    content["annotated_region"] = {"size": [9, 9], "counts": [81]}
    sidecar.write_text(json.dumps(content))
    (pair,) = AnnotationFolder.open(tmp_path)
    with pytest.raises(DataError, match="is 96 × 96 but the 'annotated_region' in its sidecar is of 9 × 9") as caught:
        pair.read()
    assert "\n" not in str(caught.value)
    content["annotated_region"] = "half of it"
    sidecar.write_text(json.dumps(content))
    with pytest.raises(DataError, match="entry 'annotated_region' is not usable"):
        pair.read()


# the data check


def test_an_unlabelled_object_is_no_slip_where_nobody_has_looked(half, make):
    labels = make().labels.copy()
    labels[:, 48:] = 0
    assert "unlabelled-object" in codes(make(labels=labels))
    found = examine_image(half)
    assert [(one.code, one.severity) for one in found if one.code == "partly-annotated"] == [
        ("partly-annotated", Severity.INFO)
    ]
    assert "unlabelled-object" not in codes(half)
    assert "Only 50% of this image is annotated" in " ".join(one.message for one in found)


def test_one_that_was_forgotten_in_the_annotated_part_is_found(half, make):
    labels = half.labels.copy()
    labels[labels == 1] = 0
    found = [one for one in examine_image(make(labels=labels)) if one.code == "unlabelled-object"]
    assert [one.position for one in found] == [pytest.approx((12, 12), abs=1)]


def test_a_gap_in_the_annotation_is_no_hole():
    labels = np.ones((20, 20), np.int32)
    labels[:2] = 0
    labels[8:12, 8:12] = -1
    assert not find_holes(find_objects(labels))
    labels[14:16, 4:6] = 0
    assert [hole.area for hole in find_holes(find_objects(labels))] == [4]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda labels: np.full_like(labels, -1), "No part of this image is annotated"),
        (lambda labels: labels - 2, "negative labels"),
    ],
)
def test_what_no_training_can_use_is_an_error(make, change, words):
    image = make(labels=change(make().labels))
    errors = [one.message for one in examine_image(image) if one.severity == Severity.ERROR]
    assert len(errors) == 1
    assert words in errors[0]


@pytest.mark.parametrize("change", [lambda labels: labels - 1, lambda labels: np.where(labels == 0, -1, labels)])
def test_objects_whose_surroundings_nobody_knows_are_a_mistake_of_a_file(make, tmp_path, change):
    image = make(labels=change(make().labels))
    _, mask, sidecar = image.write(tmp_path)
    (pair,) = AnnotationFolder.open(tmp_path)
    for number, severity in enumerate((Severity.WARNING, Severity.ERROR)):
        if number:  # as the file's own numbers
            tifffile.imwrite(mask, image.labels)
            sidecar.unlink()
            (pair,) = AnnotationFolder.open(tmp_path)
        found = [one for one in look(pair).findings() if one.code == "unknown-surroundings"]
        assert [one.severity for one in found] == [severity]
        assert "where they end" in found[0].message
    assert "too low by one, add 1" in found[0].message


def test_the_check_of_a_folder_counts_images_annotated_in_part(folder, half):
    half.write(folder, overwrite=True)
    assert "1 image annotated in part" in surveyed([folder]).understood
    (said,) = (one.message for one in surveyed([folder]).findings if one.code == "partly-annotated")
    assert said.startswith("1 image is annotated in part (50% of the pixels). The rest is left out")
    assert not [one for one in surveyed([folder]).findings if one.severity == Severity.ERROR]


def test_masks_of_a_part_are_not_taken_for_another_images(folder, make):
    rng = np.random.default_rng(0)
    for number in range(6):
        labels = make().labels.copy()
        known = np.zeros(labels.shape, bool)
        known[int(rng.integers(2)) * 48 :, int(rng.integers(2)) * 48 :] = True
        make(f"cell_{number:02}", seed=number, labels=np.where(known, labels, -1)).write(folder, overwrite=True)
    found = surveyed([folder]).findings
    assert "exchanged-masks" not in {one.code for one in found}
    assert [one.message[:46] for one in found if one.code == "partly-annotated"] == [
        "4 images are annotated in part (25% to 50% of "
    ]


# what a network sees


def test_objects_are_renumbered_and_the_rest_stays_unknown():
    assert renumbered(np.array([[-1, 0, 9, 4, -1]], np.int32)).tolist() == [[-1, 0, 2, 1, -1]]


def test_each_patch_has_something_that_is_annotated():
    labels = np.full((600, 600), -1, np.int32)
    labels[100:160, 500:560] = 0
    labels[120:130, 520:530] = 1
    image = PreparedImage("a", np.zeros((1, 600, 600), np.float32), labels)
    stream = PatchStream([image], PatchPlan((64, 64), 8, augmentation=64, foreground=0.5))
    for visits in (stream.visits(epoch) for epoch in range(2)):
        for number in range(stream.batches_per_epoch):
            for patch in stream.batch(0, visits, number):
                assert (patch.labels >= 0).any()


def test_a_piece_of_a_large_image_is_where_it_is_annotated():
    labels = np.full((900, 700), -1, np.int32)
    labels[800:880, 10:90] = 0
    ((_, seen),) = within_budget([PreparedImage("a", np.zeros((1, 900, 700), np.float32), labels)], 100 * 100)
    assert seen.shape == (100, 100)
    assert (seen == 0).sum() == 80 * 80


@given(
    arrays.arrays(np.int32, (6, 6), elements=st.integers(-1, 3)),
    arrays.arrays(np.int32, (6, 6), elements=st.integers(0, 3)),
)
def test_what_counts_is_matched_alike_by_measures_that_know_no_gaps(truth, found):
    whole, kept = counted_only(truth, found)
    assert whole.min() >= 0
    for with_gaps, without in zip(match(truth, found, (0.7, 0.9)), match(whole, kept, (0.7, 0.9)), strict=True):
        assert without.true_objects == with_gaps.true_objects
        assert without.false_positive == with_gaps.false_positive
        assert without.true_positive <= with_gaps.true_positive  # one that is mostly hidden may be a match
    if truth.min() >= 0:
        assert (whole is truth, kept is found) == (True, True)


def test_a_prediction_across_the_edge_is_cut_and_one_beyond_it_is_dropped():
    truth = np.array([[1, 1, 0, 0, -1, -1, -1, -1]])
    found = np.array([[1, 1, 2, 2, 2, 3, 3, 0]])
    whole, kept = counted_only(truth, found)
    assert whole.tolist() == [[1, 1, 0, 0, 0, 0, 0, 0]]
    assert kept.tolist() == [[1, 1, 2, 2, 0, 0, 0, 0]]
    assert counted_only(truth, np.array([[1, 1, 0, 2, 2, 2, 3, 3]]))[1].tolist() == [[1, 1, 0, 0, 0, 0, 0, 0]]
