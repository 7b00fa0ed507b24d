import json

import numpy as np
import pytest
import tifffile

from napari_seg_trainer.annotations.annotated_image import content_hash
from napari_seg_trainer.annotations.folder import AnnotationFolder, open_folders
from napari_seg_trainer.errors import DataError


def write_pair(folder, image, labels, sidecar=None, stem="a"):
    axes = {"axes": "CYX"[-image.ndim :]}
    tifffile.imwrite(folder / f"{stem}.tif", image, photometric="minisblack", metadata=axes)
    tifffile.imwrite(folder / f"{stem}_labelled.tif", labels)
    if sidecar is not None:
        text = sidecar if isinstance(sidecar, str) else json.dumps(sidecar)
        (folder / f"{stem}.json").write_text(text, encoding="utf-8")
    (pair,) = AnnotationFolder.open(folder)
    return pair


IMAGE, LABELS = np.ones((2, 8, 9), np.uint16), np.ones((8, 9), np.uint16)


def test_a_folder_lists_its_images(folder):
    opened = AnnotationFolder.open(folder)
    assert (opened.layout, len(opened), opened.unpaired) == ("celldetective", 6, ())
    assert [pair.stem for pair in opened] == [f"cell_{i:02}" for i in range(6)]


@pytest.mark.parametrize(
    ("sidecar", "channels", "pixel_size", "group"),
    [
        (None, ("channel 0", "channel 1"), None, "a"),
        ({}, ("channel 0", "channel 1"), None, "a"),
        ({"channels": ["dapi", "gfp"], "spatial_calibration": 0.3, "well": "A1", "x": [1]}, ("dapi", "gfp"), 0.3, "a"),
        ({"spatial_calibration": 1, "field_of_view": 7}, ("channel 0", "channel 1"), 1.0, "7"),
        ('\ufeff{"channels": ["µ", "ß"]}', ("µ", "ß"), None, "a"),
    ],
)
def test_sidecars(tmp_path, sidecar, channels, pixel_size, group):
    pair = write_pair(tmp_path, IMAGE, LABELS, sidecar)
    image = pair.read()
    assert (image.channels, image.pixel_size, image.group, pair.group) == (channels, pixel_size, group, group)


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1, 2]", "holds a list"),
        ("null", "holds a NoneType"),
        ({"channels": "dapi"}, "'channels' is not usable"),
        ({"channels": []}, "'channels' is not usable"),
        ({"channels": [None, "a"]}, "'channels.0' is not usable"),
        ({"channels": ["a"]}, "has 2 channels but 'a.json' names a"),
        ({"channels": ["a", "b", "c"]}, "has 2 channels"),
        ({"channels": ["a", "a"]}, "each channel its own name"),
        ({"spatial_calibration": 0}, "'spatial_calibration'"),
        ({"spatial_calibration": -1}, "'spatial_calibration'"),
        ({"spatial_calibration": float("nan")}, "'spatial_calibration'"),
        ({"spatial_calibration": "wide"}, "'spatial_calibration'"),
        ({"frame": "first"}, "'frame'"),
    ],
)
def test_bad_sidecars_give_one_line(tmp_path, sidecar, words):
    pair = write_pair(tmp_path, IMAGE, LABELS, sidecar)
    with pytest.raises(DataError, match=words) as caught:
        pair.read()
    assert "\n" not in str(caught.value)


def test_a_sidecar_that_is_no_text_is_refused(tmp_path):
    pair = write_pair(tmp_path, IMAGE, LABELS, {})
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(DataError, match="not valid JSON"):
        pair.read()


def test_sizes_must_agree(tmp_path):
    pair = write_pair(tmp_path, IMAGE, LABELS[:7])
    with pytest.raises(DataError, match=r"a\.tif' is 8 × 9 but its mask 'a_labelled\.tif' is 7 × 9\. Export"):
        pair.read()


def test_the_sidecars_pixel_size_wins_over_the_files(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE[0], imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    tifffile.imwrite(tmp_path / "a_labelled.tif", LABELS)
    (pair,) = AnnotationFolder.open(tmp_path)
    assert pair.read().pixel_size == 0.5
    (tmp_path / "a.json").write_text('{"spatial_calibration": 0.25}')
    (pair,) = AnnotationFolder.open(tmp_path)
    assert pair.read().pixel_size == 0.25


@pytest.mark.parametrize("layout", ["celldetective", "cellpose", "seg", "stardist"])
def test_the_same_image_in_every_layout(tmp_path, make, layout):
    item = make("a")
    places = {
        "celldetective": ("a.tif", "a_labelled.tif"),
        "cellpose": ("a_img.tif", "a_masks.tif"),
        "seg": ("a.tif", "a_seg.npy"),
        "stardist": ("images/a.tif", "masks/a.tif"),
    }[layout]
    image, labels = (tmp_path / name for name in places)
    for path in (image, labels):
        path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(image, item.image[0])
    if layout == "seg":
        np.save(labels, {"masks": item.labels.astype(np.uint16)}, allow_pickle=True)
    else:
        tifffile.imwrite(labels, item.labels.astype(np.uint16))
    (pair,) = AnnotationFolder.open(tmp_path)
    read = pair.read()
    assert (read.stem, content_hash(read.image, read.labels)) == ("a", content_hash(item.image, item.labels))


def test_crops_of_one_field_share_a_group(tmp_path, make):
    for crop in ("pos_roi_0_96_0_96", "pos_roi_96_192_0_96"):
        make(crop).write(tmp_path)
    assert {pair.group for pair in AnnotationFolder.open(tmp_path)} == {"pos"}


def test_folders_are_joined_and_each_counts_once(tmp_path, folder, make):
    make("cell_00", seed=9).write(tmp_path / "other")
    pairs = open_folders([tmp_path / "other", folder, folder / ".." / folder.name])
    assert [pair.image.parent.name for pair in pairs] == ["other"] + ["annotations_nuclei"] * 6


def test_no_folders_hold_nothing():
    assert open_folders([]) == []
