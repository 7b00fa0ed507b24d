import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_seg_trainer.annotations.image_file import read_labels
from napari_seg_trainer.annotations.seg_npy import read_seg_npy
from napari_seg_trainer.errors import DataError

MASKS = np.arange(48, dtype=np.uint16).reshape(6, 8)


def save(path: Path, content: object) -> Path:
    np.save(path, content, allow_pickle=True)
    return path


def test_a_file_as_cellpose_writes_it(tmp_path):
    content = {
        "masks": MASKS,
        "outlines": MASKS.astype(bool),
        "filename": Path("/home/me/a.tif"),
        "flows": [np.zeros((6, 8, 3), np.uint8), [1, None]],
        "diameter": np.float64(30.0),
        "est_diam": np.float32(30),
        "ismanual": np.zeros(3, bool),
        "manual_changes": [],
        "colors": np.zeros((4, 3), np.uint8),
        "normalize_params": {"lowhigh": None, "percentile": [1.0, 99.0], "normalize": True},
    }
    labels = read_labels(save(tmp_path / "a_seg.npy", content))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, MASKS)


@pytest.mark.parametrize(
    "masks",
    [MASKS.astype(t) for t in ("uint8", "int32", "uint32", "int64", ">u2", "float32")]
    + [np.asfortranarray(MASKS), MASKS[::-1, ::2], MASKS[np.newaxis], MASKS > 20],
    ids=lambda masks: f"{masks.dtype.str}{masks.shape}",
)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_way_of_storing_masks(tmp_path, masks, protocol):
    path = tmp_path / "a_seg.npy"
    container = np.empty((), object)
    container[()] = {"masks": masks}
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": ()})
    path.write_bytes(buffer.getvalue() + pickle.dumps(container, protocol=protocol))
    np.testing.assert_array_equal(read_seg_npy(path), masks.reshape(masks.shape[-2:]))


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_nothing_in_a_file_is_run(tmp_path):
    path = save(tmp_path / "a_seg.npy", {"masks": MASKS, "extra": Bomb(tmp_path / "exploded")})
    with pytest.raises(DataError, match="wants to run"):
        read_seg_npy(path)
    assert not (tmp_path / "exploded").exists()


def test_no_room_is_made_for_values_that_are_not_there(tmp_path):
    path = save(tmp_path / "a_seg.npy", {"masks": MASKS})
    head = path.read_bytes()[:128]
    path.write_bytes(head + b"\x80\x02Nr\xff\xff\xff\x7f.")  # the value None, with the number two thousand million
    with pytest.raises(DataError, match="more values than it can hold"):
        read_seg_npy(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (MASKS, "plain array"),
        ([1, 2], "plain array"),
        ({"outlines": MASKS}, "no masks"),
        ({"masks": [1, 2]}, "no masks"),
        ({"masks": np.zeros((3, 4, 5), np.uint16)}, "stack"),
        ({"masks": np.zeros((0, 5), np.uint16)}, "without pixels"),
        ({"masks": np.array([["a"]])}, "not numbers"),
        ({"masks": np.array([[None]])}, "not numbers"),
        ({"masks": np.zeros((2, 2), complex)}, "not numbers"),
        ({"masks": np.zeros((2, 2), [("a", "u2")])}, "not numbers"),
    ],
)
def test_other_content_is_refused(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        read_seg_npy(save(tmp_path / "a_seg.npy", content))


@pytest.mark.parametrize("part", [0, 5, 60, 130, 200, -1])
def test_cut_files_are_refused(tmp_path, part):
    path = save(tmp_path / "a_seg.npy", {"masks": MASKS})
    path.write_bytes(path.read_bytes()[:part])
    with pytest.raises(DataError, match=r"a_seg\.npy"):
        read_seg_npy(path)


def test_negative_masks_are_refused(tmp_path):
    with pytest.raises(DataError, match="negative"):
        read_labels(save(tmp_path / "a_seg.npy", {"masks": MASKS.astype(int) - 3}))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_seg_npy(tmp_path / "a_seg.npy")
