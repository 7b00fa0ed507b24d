"""An annotated image is read once, as long as nobody changes it."""

import json
import os
import time

import numpy as np
import pytest
import tifffile

from napari_seg_trainer.annotations import image_file, kept_facts
from napari_seg_trainer.annotations.annotated_image import content_hash
from napari_seg_trainer.annotations.doctor import examine, survey
from napari_seg_trainer.annotations.facts import ImageFacts, look, stamps_of
from napari_seg_trainer.annotations.folder import open_folders
from napari_seg_trainer.annotations.kept_facts import look_through
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.paths import cache_folder
from napari_seg_trainer.runs.dataset import open_dataset
from napari_seg_trainer.schema.job import TrainingJob
from testkit.calls import calls_of

HOUR = 3600


@pytest.fixture
def settled(home, annotation_folder):
    """A folder of four images that nobody has touched for an hour."""
    folder = annotation_folder("settled", 4)
    for path in folder.iterdir():
        age(path)
    return folder


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are decoded."""
    names, read = [], image_file.read_pixels

    def noted(path, **how):
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(image_file, "read_pixels", noted)
    return names


def age(path, seconds=HOUR):
    then = time.time() - seconds
    os.utime(path, (then, then))


def looked(folder):
    return list(look_through(open_folders([folder])))


def kept_files():
    return sorted((cache_folder() / "facts").glob("*.json"))


def as_json(one):
    return one.facts.model_dump_json()


def test_an_unchanged_image_is_read_once(settled, decoded):
    first = looked(settled)
    assert len(decoded) == 8
    again = looked(settled)
    assert len(decoded) == 8
    assert [as_json(one) for one in first] == [as_json(one) for one in again]
    assert [one.pair for one in first] == [one.pair for one in again]


def test_facts_are_those_of_the_image(settled):
    looked(settled)
    one = looked(settled)[0]
    annotated = one.pair.read()
    assert one.facts.content == content_hash(annotated.image, annotated.labels)
    assert one.facts.shape == annotated.image.shape
    assert one.facts.ranges == tuple((float(plane.min()), float(plane.max())) for plane in annotated.image)
    numbers, areas = np.unique(annotated.labels[annotated.labels > 0], return_counts=True)
    assert one.facts.areas.tolist() == areas.tolist()
    assert one.facts.numbered == (numbers.tolist() == [*range(1, len(numbers) + 1)])
    assert one.facts.extents.min() >= np.sqrt(areas.min()) - 1


@pytest.mark.parametrize("which", ["image", "labels", "sidecar"])
def test_a_changed_file_is_read_again(settled, decoded, which):
    pair = open_folders([settled])[1]
    looked(settled)
    decoded.clear()
    path = getattr(pair, which)
    path.write_bytes(path.read_bytes())
    age(path, HOUR / 2)
    looked(settled)
    assert sorted(decoded) == sorted([pair.image.name, pair.labels.name])


@pytest.mark.skipif(os.name == "nt", reason="there, the times of such a file are the same")
def test_an_image_that_takes_the_place_of_another_is_read_again(settled, decoded):
    """With the size and the time of change of the other, as when a zip file is unpacked."""
    first, second = (pair.image for pair in open_folders([settled])[:2])
    for path in (first, second):
        tifffile.imwrite(path, tifffile.imread(path))
        os.utime(path, ns=(10**18, 10**18))
    looked(settled)
    decoded.clear()
    between = settled / "between"
    first.rename(between), second.rename(first), between.rename(second)
    assert first.stat().st_size == second.stat().st_size
    looked(settled)
    assert {first.name, second.name} <= set(decoded)


def test_a_file_that_was_just_written_is_not_trusted(settled, decoded):
    pair = open_folders([settled])[0]
    pair.image.touch()
    looked(settled)
    decoded.clear()
    looked(settled)
    assert decoded == [pair.image.name, pair.labels.name]


def test_a_file_that_cannot_be_read_is_tried_again(settled, decoded):
    pair = open_folders([settled])[0]
    content = pair.image.read_bytes()
    pair.image.write_bytes(content[:50])
    age(pair.image)
    for _ in range(2):
        assert [finding.code for finding in looked(settled)[0].findings()] == ["unreadable-image"]
    assert decoded.count(pair.image.name) == 2


def test_findings_and_their_places_are_the_same_again(settled):
    pair = open_folders([settled])[0]
    labels = tifffile.imread(pair.labels)
    labels[0:2, 0:2] = 999
    tifffile.imwrite(pair.labels, labels.astype(np.float32))
    age(pair.labels)
    found = examine([settled])
    assert examine([settled]) == found
    assert {"tiny-object", "decimal-labels"} <= {finding.code for finding in found}
    assert {finding.file for finding in found} >= {pair.image, pair.labels}


def test_a_folder_that_moved_is_looked_at_again_and_told_where_it_is(settled):
    pair = open_folders([settled])[0]
    pair.image.write_bytes(b"")
    examine([settled])
    moved = settled.rename(settled.with_name("moved"))
    assert all(moved in finding.file.parents for finding in examine([moved]) if finding.file)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'["1", {}]', b'["1", {"cell_00.tif": [[], {}]}]', b"\xff\xfe", b"[" * 10_000],
    ids=range(7),
)
def test_a_broken_file_of_facts_is_as_good_as_none(settled, decoded, content):
    looked(settled)
    (kept,) = kept_files()
    kept.write_bytes(content)
    decoded.clear()
    looked(settled)
    assert len(decoded) == 8
    json.loads(kept.read_bytes())


@pytest.mark.parametrize(("field", "value"), [("areas", [1, "x"]), ("areas", [2**40]), ("shape", [1]), ("new", 1)])
def test_facts_that_are_none_count_not(settled, decoded, field, value):
    looked(settled)
    (kept,) = kept_files()
    known, images = json.loads(kept.read_bytes())
    images["cell_00.tif"][1][field] = value
    kept.write_text(json.dumps([known, images]))
    decoded.clear()
    assert len(looked(settled)) == 4
    assert "cell_00.tif" in decoded


def test_facts_of_another_version_are_not_used(settled, decoded, monkeypatch):
    looked(settled)
    monkeypatch.setattr(kept_facts, "_version", lambda: "1 other")
    decoded.clear()
    looked(settled)
    assert len(decoded) == 8


def test_without_a_place_for_facts_all_works(settled, decoded):
    cache_folder().parent.mkdir(parents=True, exist_ok=True)
    cache_folder().write_text("a file where the folder should be")
    assert len(looked(settled)) == len(looked(settled)) == 4
    assert len(decoded) == 16


def test_what_is_left_in_the_middle_keeps_what_is_done(settled, decoded):
    looks = look_through(open_folders([settled]))
    next(looks), next(looks)
    looks.close()
    decoded.clear()
    looked(settled)
    assert len(decoded) == 4


def test_images_that_are_gone_are_forgotten(settled):
    looked(settled)
    for path in settled.glob("cell_00*"):
        path.unlink()
    one = open_folders([settled])[0].image
    one.touch()
    age(one, HOUR / 2)
    looked(settled)
    (kept,) = kept_files()
    _, images = json.loads(kept.read_bytes())
    assert sorted(images) == ["cell_01.tif", "cell_02.tif", "cell_03.tif"]


def test_the_oldest_folders_make_room(settled, annotation_folder, monkeypatch):
    looked(settled)
    (before,) = kept_files()
    age(before)
    other = annotation_folder("other", 2)
    for path in other.iterdir():
        age(path)
    monkeypatch.setattr(kept_facts, "MAX_BYTES", 10)
    looked(other)
    assert before not in kept_files()
    assert len(kept_files()) == 1


def test_a_training_reads_what_was_looked_at_once_more_and_no_oftener(settled, decoded, tmp_path):
    for _ in survey([settled]):
        pass
    decoded.clear()
    job = TrainingJob(name="nuclei", engine="toy", data=[settled])
    dataset = open_dataset(job, None, lambda *_: None)
    assert decoded == []
    dataset.prepare(dataset.split.training, tmp_path / "training", lambda *_: None)
    dataset.prepare(dataset.split.validation, tmp_path / "validation", lambda *_: None)
    assert len(decoded) == len(set(decoded)) == 8


def test_a_file_that_only_a_backup_touched_is_still_the_same(settled, tmp_path):
    dataset = open_dataset(TrainingJob(name="nuclei", engine="toy", data=[settled]), None, lambda *_: None)
    for path in settled.iterdir():
        path.chmod(0o600)
    assert len(dataset.prepare(dataset.split.training, tmp_path, lambda *_: None)) == len(dataset.split.training)


def test_an_image_that_changes_while_a_training_begins_is_refused(settled, tmp_path):
    dataset = open_dataset(TrainingJob(name="nuclei", engine="toy", data=[settled]), None, lambda *_: None)
    changed = dataset.side(dataset.split.training)[0].looked.pair
    changed.labels.touch()
    with pytest.raises(DataError, match="has changed since it was checked") as error:
        dataset.prepare(dataset.split.training, tmp_path, lambda *_: None)
    assert changed.image.name in str(error.value)


@pytest.mark.parametrize(
    ("labels", "numbered"),
    [([0, 1, 2], True), ([0, 0, 0], True), ([0, 1, 3], False), ([0, 2, 3], False), ([1, 2, 3], True)],
)
def test_whether_labels_are_numbered_without_gaps(make, labels, numbered):
    drawn = np.zeros((96, 96), np.int32)
    drawn[:, :90] = np.repeat(labels, 30)
    annotated = make(labels=drawn)
    assert ImageFacts.of(annotated, np.dtype(np.uint16)).numbered == numbered


def test_a_pixel_that_is_not_a_number_is_in_no_range(make):
    image = make().image.astype(np.float32)
    image[0, 0, 0] = np.nan
    facts = ImageFacts.of(make(image=image), np.dtype(np.uint16))
    assert facts.ranges[0] == (float(np.nanmin(image[0])), float(np.nanmax(image[0])))
    nothing = ImageFacts.of(make(image=np.full_like(image, np.nan)), np.dtype(np.uint16))
    assert nothing.ranges[0] is None
    assert ImageFacts.model_validate_json(nothing.model_dump_json()).ranges == nothing.ranges


def test_stamps_of_a_file_that_is_gone(settled):
    pair = open_folders([settled])[0]
    pair.image.unlink()
    assert stamps_of(pair)[0] is None
    assert look(pair).facts is None


def test_a_look_at_unchanged_images_is_cheap(settled):
    first = calls_of(lambda: looked(settled))
    assert calls_of(lambda: looked(settled)) < first / 4
