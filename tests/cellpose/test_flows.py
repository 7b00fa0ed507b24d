"""Flows of labels: Cellpose's own, kept by content."""

import os

import numpy as np
import psutil
import pytest

pytest.importorskip("cellpose")

from napari_seg_trainer.annotations.prepare import PreparedImage, PreparedImages
from napari_seg_trainer.engines.cellpose import flows
from napari_seg_trainer.engines.cellpose.flows import flows_of, with_flows
from napari_seg_trainer.testing.discs import disc_image


@pytest.fixture
def computed(monkeypatch):
    """Count the images whose flows are computed, not read."""
    calls = []
    monkeypatch.setattr(flows, "flows_of", lambda labels: calls.append(labels) or flows_of(labels))
    return calls


def quiet(_done, _total):
    pass


def test_flows_point_to_the_middle_of_a_disc(annotated):
    rows, columns = np.indices((41, 41)) - 20
    one = annotated(labels=(np.hypot(rows, columns) <= 15).astype(int))
    ring = (np.hypot(rows, columns) <= 14) & (np.hypot(rows, columns) > 4)
    inward = -np.stack([rows, columns]) / np.maximum(np.hypot(rows, columns), 1)
    assert (one.flows * inward).sum(0)[ring].min() > 0.9
    assert not one.flows[:, np.hypot(rows, columns) > 15].any()
    assert (one.diameter, one.objects) == (pytest.approx(30, abs=1), 1)


def test_they_are_computed_once(computed, tmp_path):
    images = [disc_image((64, 80), 1, seed) for seed in range(3)]
    told = []
    first = with_flows(images, lambda done, total: told.append((done, total)), tmp_path)
    again = with_flows(images, quiet, tmp_path)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert len(computed) == 3
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.flows, other.flows)
        assert (one.diameter, one.objects) == (other.diameter, other.objects)


def test_other_labels_have_other_flows(computed, tmp_path):
    with_flows([disc_image((64, 64), 1, 1), disc_image((64, 64), 1, 2)], quiet, tmp_path)
    assert len(computed) == len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY half", "cut", "another shape"])
def test_a_damaged_file_is_computed_anew(computed, tmp_path, content):
    image = disc_image((64, 64), 1, 1)
    (good,) = with_flows([image], quiet, tmp_path)
    expected = np.array(good.flows)
    (file,) = tmp_path.iterdir()
    if content == "cut":
        content = file.read_bytes()[:-100]
    elif content == "another shape":
        np.save(file, np.zeros((2, 3, 3), np.float16))
        content = file.read_bytes()
    file.write_bytes(content)
    (again,) = with_flows([image], quiet, tmp_path)
    assert len(computed) == 2
    np.testing.assert_array_equal(again.flows, expected)


def test_the_oldest_go_when_there_are_too_many(tmp_path, monkeypatch):
    with_flows([disc_image((64, 64), 1, 1)], quiet, tmp_path)
    (old,) = tmp_path.iterdir()
    os.utime(old, (1, 1))
    monkeypatch.setattr(flows, "MAX_BYTES", 1)
    (kept,) = with_flows([disc_image((64, 64), 1, 2)], quiet, tmp_path)
    assert old not in tmp_path.iterdir()
    assert len(list(tmp_path.iterdir())) == 1  # what this training uses stays
    assert kept.flows.shape == (2, 64, 64)


def test_without_a_place_to_keep_them_they_stay_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    (one,) = with_flows([disc_image((64, 64), 1, 1)], quiet, tmp_path / "file" / "flows")
    assert one.flows.any()


def test_an_image_without_objects_has_no_diameter(tmp_path):
    empty = PreparedImage("empty", np.zeros((1, 20, 30), np.float32), np.zeros((20, 30), np.int32))
    (one,) = with_flows([empty], quiet, tmp_path)
    assert (one.diameter, one.objects) == (0.0, 0)
    assert not one.flows.any()


def test_the_number_of_images_does_not_matter(tmp_path):
    """Neither of files that stay open: systems allow a thousand or fewer."""
    few = [disc_image((48, 48), 1, seed) for seed in range(30)]
    images = PreparedImages.write(tmp_path / "images", few, lambda _: None)
    before = len(psutil.Process().open_files()) + len(psutil.Process().memory_maps())
    annotated = with_flows(images, quiet, tmp_path / "flows")
    assert all(one.flows.shape == (2, 48, 48) for one in annotated)
    assert len(psutil.Process().open_files()) + len(psutil.Process().memory_maps()) < before + 10


def test_a_cache_may_be_deleted_while_it_is_used(tmp_path):
    (one,) = with_flows([disc_image((64, 64), 1, 1)], quiet, tmp_path)
    before = np.array(one.flows)
    next(tmp_path.iterdir()).unlink()
    np.testing.assert_array_equal(one.flows, before)
