from pathlib import Path

import pytest

from napari_seg_trainer.annotations.layouts import list_pairs
from napari_seg_trainer.errors import DataError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def found(folder: Path) -> list[tuple[str, str, str | None]]:
    return [
        (
            pair.image.relative_to(folder).as_posix(),
            pair.labels.relative_to(folder).as_posix(),
            pair.sidecar.relative_to(folder).as_posix() if pair.sidecar else None,
        )
        for pair in list_pairs(folder).pairs
    ]


@pytest.mark.parametrize(
    ("names", "layout", "pairs"),
    [
        (["a.tif", "a_labelled.tif", "a.json"], "celldetective", [("a.tif", "a_labelled.tif", "a.json")]),
        (["a.tif", "a_labelled.tif"], "celldetective", [("a.tif", "a_labelled.tif", None)]),
        (["A.TIF", "A_LABELLED.TIFF"], "celldetective", [("A.TIF", "A_LABELLED.TIFF", None)]),
        (["ä b µ.tif", "ä b µ_labelled.tif"], "celldetective", [("ä b µ.tif", "ä b µ_labelled.tif", None)]),
        (["a.ome.tif", "a_labelled.tif"], "celldetective", [("a.ome.tif", "a_labelled.tif", None)]),
        (["a.tif", "a.png", "a_labelled.tif"], "celldetective", [("a.tif", "a_labelled.tif", None)]),
        (["a.b.tif", "a.b_labelled.tif"], "celldetective", [("a.b.tif", "a.b_labelled.tif", None)]),
        (["a.tif", "a_masks.tif"], "cellpose", [("a.tif", "a_masks.tif", None)]),
        (["a.png", "a_cp_masks.png"], "cellpose", [("a.png", "a_cp_masks.png", None)]),
        (["a_img.png", "a_masks.png"], "cellpose", [("a_img.png", "a_masks.png", None)]),
        (["a.tif", "a_seg.npy"], "cellpose", [("a.tif", "a_seg.npy", None)]),
        (["a.tif", "a_seg.npy", "a_masks.tif"], "cellpose", [("a.tif", "a_masks.tif", None)]),
        (["a.tif", "a_cp_masks.tif", "a_masks.tif"], "cellpose", [("a.tif", "a_masks.tif", None)]),
        (["a.tif", "a_seg.npy", "a_flows.tif", "a_cp_output.png"], "cellpose", [("a.tif", "a_seg.npy", None)]),
        (["images/a.tif", "masks/a.tif"], "stardist", [("images/a.tif", "masks/a.tif", None)]),
        (
            ["images/a.png", "masks/a.tif", "images/a.json"],
            "stardist",
            [("images/a.png", "masks/a.tif", "images/a.json")],
        ),
        (["Images/a.tif", "Labels/a.tif"], "stardist", [("Images/a.tif", "Labels/a.tif", None)]),
        (
            ["a.tif", "a_labelled.tif", "b.tif", "b_labelled.tif", "c.tif", "c_seg.npy"],
            "celldetective",
            [("a.tif", "a_labelled.tif", None), ("b.tif", "b_labelled.tif", None), ("c.tif", "c_seg.npy", None)],
        ),
        (
            ["a.tif", "a_labelled.tif", "images/b.tif", "masks/b.tif"],
            "celldetective",
            [("a.tif", "a_labelled.tif", None), ("images/b.tif", "masks/b.tif", None)],
        ),
    ],
)
def test_layouts(tmp_path, names, layout, pairs):
    touch(tmp_path, *names)
    assert found(tmp_path) == pairs
    assert list_pairs(tmp_path).layout == layout
    assert list_pairs(tmp_path).unpaired == ()


def test_stems_are_those_of_the_names(tmp_path):
    touch(tmp_path, "b.ome.tif", "b_labelled.tif", "a_img.png", "a_masks.png", "images/c.tif", "masks/c.tif")
    assert [pair.stem for pair in list_pairs(tmp_path).pairs] == ["a", "b", "c"]


def test_what_is_left_over_is_told(tmp_path):
    touch(tmp_path, "a.tif", "a_labelled.tif", "b.tif", "c_labelled.tif", "d_seg.npy", "images/e.tif", "masks/f.tif")
    touch(tmp_path, "notes.txt", "config.json")
    listing = list_pairs(tmp_path)
    assert [pair.stem for pair in listing.pairs] == ["a"]
    assert {path.name for path in listing.unpaired} == {"b.tif", "c_labelled.tif", "d_seg.npy", "e.tif", "f.tif"}


def test_hidden_and_temporary_files_do_not_count(tmp_path):
    touch(tmp_path, "a.tif", "a_labelled.tif", "._a.tif", ".new-1.tif", "b.tif~", "c.tif.tmp", "d.tif.part")
    assert found(tmp_path) == [("a.tif", "a_labelled.tif", None)]
    assert list_pairs(tmp_path).unpaired == ()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "is empty"),
        ([".hidden"], "is empty"),
        (["notes.txt"], "no image with its mask. Expected are"),
        (
            ["a.tif", "b.tif"],
            "2 images or masks without a partner.*Name the mask of 'a.tif' 'a_labelled.tif'",
        ),
        (["a_seg.npy"], "Put the image that 'a_seg.npy' belongs to beside it, called 'a.tif'"),
        (["train/a.tif", "train/a_labelled.tif"], "its folder 'train' does"),
        (["images/notes.txt", "masks/notes.txt"], "no image with its mask"),
        (["a.tif", "a.tiff", "a_labelled.png"], "several images"),
        (["a.tif", "a_labelled.tif", "images/a.tif", "masks/a.tif"], "several images"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, names, words):
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=words) as caught:
        list_pairs(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "words"), [("missing", "does not exist"), ("file.txt", "is a file"), ("a\0b", "cannot be read")]
)
def test_what_is_no_folder(tmp_path, path, words):
    touch(tmp_path, "file.txt")
    with pytest.raises(DataError, match=words):
        list_pairs(tmp_path / path)
