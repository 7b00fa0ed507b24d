import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage, content_hash
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.errors import DataError


def test_write_and_read_give_the_same_image(tmp_path, make):
    written = make(
        "zelle µ_01",
        pixel_size=0.325,
        field_of_view="A1/pos 3",
        frame=4,
        sources=("DAPI", "corrected"),
        channels=("DAPI",),
    )
    written.write(tmp_path)
    (pair,) = AnnotationFolder.open(tmp_path)
    read = pair.read()
    assert (read.stem, read.channels, read.pixel_size) == ("zelle µ_01", ("DAPI",), 0.325)
    assert (read.field_of_view, read.frame, read.sources) == ("A1/pos 3", 4, ("DAPI", "corrected"))
    assert read.image.dtype == written.image.dtype
    assert content_hash(read.image, read.labels) == content_hash(written.image, written.labels)


def test_files_are_celldetectives(tmp_path, make):
    image, labels, sidecar = make("a", pixel_size=0.5).write(tmp_path)
    assert [path.name for path in (image, labels, sidecar)] == ["a.tif", "a_labelled.tif", "a.json"]
    with tifffile.TiffFile(image) as tif:
        assert tif.series[0].axes == "CYX"
    assert json.loads(sidecar.read_text(encoding="utf-8")) == {"channels": ["dapi"], "spatial_calibration": 0.5}


@pytest.mark.parametrize(("highest", "dtype"), [(0, "uint16"), (65_535, "uint16"), (65_536, "uint32")])
def test_labels_take_the_smallest_type_that_fits(tmp_path, make, highest, dtype):
    labels = np.zeros((8, 8), np.int32)
    labels[2, 2] = highest
    _, path, _ = make(labels=labels).write(tmp_path)
    assert tifffile.imread(path).dtype == dtype


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int32", "uint64", "float32", "float64"])
def test_every_real_type_survives(tmp_path, make, dtype):
    image = (make().image > 200).astype(dtype)
    make(image=image).write(tmp_path)
    (pair,) = AnnotationFolder.open(tmp_path)
    np.testing.assert_array_equal(pair.read().image, image)


def test_nothing_is_overwritten_unasked(tmp_path, make):
    make(seed=1).write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataError, match="already exists"):
        make(seed=2).write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_overwriting_replaces_all_and_leaves_nothing_else(tmp_path, make):
    make(seed=1).write(tmp_path)
    second = make(seed=2)
    second.write(tmp_path, overwrite=True)
    (pair,) = AnnotationFolder.open(tmp_path)
    np.testing.assert_array_equal(pair.read().image, second.image)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("failing", range(6))
def test_a_failing_disk_leaves_all_or_nothing(tmp_path, make, monkeypatch, existing, failing):
    if existing:
        make(seed=1).write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    replace, calls = os.replace, iter(range(100))

    def failing_replace(source: Path, target: Path) -> None:
        if next(calls) == failing:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing_replace)
    if failing >= (6 if existing else 3):
        make(seed=2).write(tmp_path, overwrite=True)
        return
    with pytest.raises(DataError, match="No space left"):
        make(seed=2).write(tmp_path, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("killed_at", range(6))
def test_a_kill_never_leaves_a_wrong_pair(tmp_path, make, monkeypatch, existing, killed_at):
    old, new = make(seed=1), make(seed=2, labels=make().labels[::-1].copy())
    if existing:
        old.write(tmp_path)
    replace, calls = os.replace, iter(range(100))

    def killed(source: Path, target: Path) -> None:
        if next(calls) == killed_at:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    try:
        new.write(tmp_path, overwrite=True)
    except KeyboardInterrupt:
        pass
    try:
        pairs = AnnotationFolder.open(tmp_path).pairs
    except DataError:
        return
    found = {content_hash(read.image, read.labels) for read in (pair.read() for pair in pairs)}
    assert found <= {content_hash(item.image, item.labels) for item in (old, new)}


@pytest.mark.parametrize(
    "stem",
    [
        "",
        " ",
        ".hidden",
        "a/b",
        "a\\b",
        "a:b",
        "a\nb",
        "ends.",
        "a_labelled",
        "a_masks",
        "a_seg",
        "x" * 300,
        "aux",
        "Con",
        "nul.x",
        "b" * 248,
    ],
)
def test_bad_stems_are_refused(tmp_path, make, stem):
    with pytest.raises(DataError) as caught:
        make(stem).write(tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(tmp_path, make):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(DataError, match="Choose another folder"):
        make().write(tmp_path / "taken")


GOOD: dict[str, Any] = {
    "image": np.ones((2, 8, 9)), "labels": np.zeros((8, 9), np.int32), "channels": ("a", "b"), "stem": "x",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": np.ones((8, 9))}, "channels × height × width"),
        ({"image": np.ones((2, 0, 9))}, "channels × height × width"),
        ({"image": np.ones((2, 8, 9), complex)}, "complex"),
        ({"image": np.full((2, 8, 9), None)}, "object"),
        ({"labels": np.zeros((8, 9))}, "labels of type float64"),
        ({"labels": np.zeros((9, 8), np.int32)}, "8 × 9 but its mask is 9 × 8"),
        ({"channels": ("a",)}, "2 channels but 1 channel names"),
        ({"channels": ("a", "a")}, "one name"),
        ({"pixel_size": 0.0}, "positive"),
        ({"pixel_size": float("nan")}, "positive"),
    ],
)
def test_parts_must_fit(changes, words):
    with pytest.raises(DataError, match=words):
        AnnotatedImage(**(GOOD | changes))


def test_negative_labels_are_not_written(tmp_path, make):
    with pytest.raises(DataError, match="negative"):
        make(labels=np.full((8, 8), -2, np.int32)).write(tmp_path)


@pytest.mark.parametrize(
    ("stem", "field_of_view", "group"),
    [
        ("a", None, "a"),
        ("a_roi_0_9_0_9", None, "a"),
        ("a_roi_0_9_0_9", "pos 1", "pos 1"),
        ("_roi_0_9", None, "_roi_0_9"),
    ],
)
def test_group(make, stem, field_of_view, group):
    assert make(stem, field_of_view=field_of_view).group == group


def test_content_hash_sees_pixels_shape_and_type_but_not_how_labels_are_stored(make):
    image, labels = make().image, make().labels
    reference = content_hash(image, labels)
    assert content_hash(image.astype(">u2"), labels.astype(np.uint16)) == reference
    assert len({reference, content_hash(image + 1, labels), content_hash(image.astype("u4"), labels),
                content_hash(image, labels * 2), content_hash(image.reshape(1, 48, 192), labels)}) == 5  # fmt: skip
