"""Folders as other programs and people leave them: what belongs together, and what it means."""

import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.doctor import surveyed
from napari_seg_trainer.annotations.facts import look
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.layouts import list_images, list_pairs, without_masks
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.segmentation.files import label_file, open_image

LABELS = np.zeros((60, 70), np.uint16)
for number, (top, left) in enumerate([(5, 5), (5, 40), (35, 8), (38, 45)], 1):
    LABELS[top : top + 15, left : left + 18] = number
PIXELS = (np.random.default_rng(0).normal(100, 5, LABELS.shape) + 150 * (LABELS > 0)).astype(np.uint8)


def write(folder, *names, labels=LABELS):
    """Write images, or masks where a name tells so."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_mask = any(word in name.lower() for word in ("mask", "label", "_seg"))
        if name.endswith("_seg.npy"):
            with path.open("wb") as file:
                np.save(file, {"masks": labels}, allow_pickle=True)
        elif name.endswith(".png"):
            Image.fromarray(labels if is_mask else PIXELS).save(path)
        elif name.endswith(".json"):
            path.write_text('{"channels": ["nuclei"], "spatial_calibration": 0.5}')
        else:
            tifffile.imwrite(path, labels if is_mask else PIXELS)
    return folder


def aged(path, seconds):
    """Make a file that much older."""
    status = path.stat()
    os.utime(path, (status.st_atime, status.st_mtime - seconds))


@pytest.mark.parametrize(
    "names",
    [
        ("x.ome.tif", "x_labelled.tif"),
        ("x.ome.tif", "x.ome_labelled.tif"),
        ("x.ome.tif", "x.ome_seg.npy"),
        ("x.ome.tif", "x.ome_cp_masks.png"),
        ("x.ome.tiff", "x.ome_masks.tiff"),
        ("x.tif", "x_mask.tif"),
        ("x.tif", "x_label.tif"),
        ("x.tif", "x_labels.png"),
        ("x.tif", "x-labels.tif"),
        ("x.tif", "x-mask.tif"),
        ("x.png", "x_cp_masks_cyto3.png"),
        ("x_image.tif", "x_masks.tif"),
        ("x_img.tif", "x_label.tif"),
        ("x_image.tif", "x_image_labelled.tif"),
        ("images/x.tif", "masks/x_mask.tif"),
        ("images/x_image.tif", "labels/x_labels.tif"),
        ("images/x.ome.tif", "masks/x.tif"),
        ("x.tif", "masks/x_cp_masks.tif"),
        ("x.tif", "masks/x_cp_masks.png", "outlines/x_outlines_cp_masks.png", "flows/x_flows_cp_masks.tif"),
    ],
)
def test_an_image_and_its_mask(tmp_path, names):
    (pair,) = AnnotationFolder.open(write(tmp_path, *names)).pairs
    assert pair.stem == "x"
    assert [pair.image, pair.labels] == [tmp_path / name for name in names[:2]]
    item = pair.read()
    np.testing.assert_array_equal(item.image, [PIXELS])
    np.testing.assert_array_equal(item.labels, LABELS)
    assert list_pairs(tmp_path).unpaired == ()


BY_PRODUCTS = """
x_flows.tif x_flows_cp_masks.png x_cp_flows.tif x_outlines.png x_outlines_cp_masks.png x_cp_outlines.png x_dP.tif
x_dP_cp_masks.tif x_cp_output.png x_ncolor.png x_ncolor_masks.png x_cp_ncolor_masks.png
""".split()


@pytest.mark.parametrize("left", BY_PRODUCTS)
def test_what_cellpose_leaves_beside_an_image_is_none(tmp_path, left):
    write(tmp_path, "x.tif", "x_cp_masks.tif", left)
    assert [pair.image.name for pair in list_pairs(tmp_path).pairs] == ["x.tif"]
    assert list_pairs(tmp_path).unpaired == ()
    assert [path.name for path in list_images(tmp_path)] == ["x.tif"]


@pytest.mark.parametrize("name", ["my_output.tif", "sample_dp.tif", "unmasked.tif", "labelled.tif", "maskless.tif"])
def test_an_image_that_only_sounds_like_it_is_one(tmp_path, name):
    assert [path.name for path in list_images(write(tmp_path, name))] == [name]


def test_x_and_x_ome_are_two_images(tmp_path):
    write(tmp_path, "x.tif", "x.ome.tif", "x.ome_labelled.tif")
    (pair,) = list_pairs(tmp_path).pairs
    assert pair.image.name == "x.ome.tif"
    assert [path.name for path in list_pairs(tmp_path).unpaired] == ["x.tif"]


@pytest.mark.parametrize("name", ["x.tif", "x.ome.tif", "x_img.tif", "a.b.ome.tif"])
def test_what_segment_writes_belongs_to_its_image(tmp_path, name):
    image = write(tmp_path, name) / name
    tifffile.imwrite(label_file(image, tmp_path), LABELS)
    (pair,) = list_pairs(tmp_path).pairs
    assert pair.image == image
    assert without_masks([image]) == []


@pytest.mark.parametrize(
    ("image", "sidecar"),
    [("x.tif", "x.json"), ("x.ome.tif", "x.json"), ("x.ome.tif", "x.ome.json"), ("x_img.tif", "x.json"),
     ("x_img.tif", "x_img.json")],
)  # fmt: skip
def test_training_and_segmentation_find_one_sidecar(tmp_path, image, sidecar):
    write(tmp_path, image, "x_labelled.tif", sidecar)
    (pair,) = AnnotationFolder.open(tmp_path).pairs
    opened = open_image(tmp_path / image)
    assert pair.read().channels == opened.channels == ("nuclei",)
    assert pair.read().pixel_size == opened.pixel_size == 0.5


@pytest.mark.parametrize(
    ("files", "channels"),
    [
        (["x_w1.tif", "x_w2.tif"], ("w1", "w2")),
        (["x_w1DAPI.tif", "x_w2GFP.tif"], ("DAPI", "GFP")),
        (["x_ch00.tif", "x_ch01.tif", "x_ch02.tif"], ("ch00", "ch01", "ch02")),
        (["x-C0.png", "x-C1.png"], ("C0", "C1")),
    ],
)
def test_channels_in_files_of_their_own(tmp_path, files, channels):
    write(tmp_path, *files, "x_masks.tif")
    (pair,) = AnnotationFolder.open(tmp_path).pairs
    assert [path.name for path in (pair.image, *pair.more)] == files
    item = pair.read()
    assert (item.stem, item.channels) == ("x", channels)
    np.testing.assert_array_equal(item.image, [PIXELS] * len(files))
    stamps = len(look(pair).stamps)
    assert stamps == 2 + len(files)
    assert list_pairs(tmp_path).unpaired == ()


def test_channels_of_other_sizes_are_refused(tmp_path):
    write(tmp_path, "x_w1.tif", "x_masks.tif")
    tifffile.imwrite(tmp_path / "x_w2.tif", PIXELS[:30])
    (pair,) = AnnotationFolder.open(tmp_path).pairs
    with pytest.raises(DataError, match=r"x_w2\.tif' has 1 channel\(s\) of 30 × 70, where each file of 'x'"):
        pair.read()


def test_a_mask_of_one_channel_belongs_to_it_alone(tmp_path):
    write(tmp_path, "x_w1.tif", "x_w2.tif", "x_w1_masks.tif")
    (pair,) = list_pairs(tmp_path).pairs
    assert (pair.image.name, pair.more) == ("x_w1.tif", ())


@pytest.mark.parametrize(
    ("old", "new"),
    [("x_cp_masks.png", "x_seg.npy"), ("x_seg.npy", "x_cp_masks.png"), ("x_labelled.tif", "x_masks.tif"),
     ("x_labelled.tif", "x_labelled.png")],
)  # fmt: skip
def test_the_newer_of_two_masks_counts_and_is_told(tmp_path, old, new):
    corrected = np.where(LABELS == 4, 0, LABELS).astype(np.uint16)
    write(tmp_path, "x.tif", old)
    write(tmp_path, new, labels=corrected)
    aged(tmp_path / old, 3600)
    (pair,) = AnnotationFolder.open(tmp_path).pairs
    np.testing.assert_array_equal(pair.read().labels, corrected)
    told = [finding for finding in surveyed([tmp_path]).findings if finding.code == "older-mask"]
    assert [finding.message for finding in told] == [
        f"'{new}' is newer than '{old}' and differs, so it counts. Delete the mask that is wrong."
    ]
    assert told[0].file == tmp_path / new


def test_masks_that_say_the_same_are_no_matter(tmp_path):
    write(tmp_path, "x.tif", "x_masks.tif", "x_cp_masks.png", "x_seg.npy")
    (pair,) = AnnotationFolder.open(tmp_path).pairs
    np.testing.assert_array_equal(pair.read().labels, LABELS)
    assert not [finding for finding in surveyed([tmp_path]).findings if "mask" in finding.code]


def test_of_two_masks_of_one_age_none_is_taken(tmp_path):
    write(tmp_path, "x.tif", "x_masks.tif")
    write(tmp_path, "x_seg.npy", labels=LABELS[::-1])
    (pair,) = AnnotationFolder.open(tmp_path).pairs
    with pytest.raises(DataError, match=r"'x_\w+.*' and 'x_\w+.*' of '.*x\.tif' differ, and none is newer"):
        pair.read()
    assert look(pair).facts is None


def test_a_broken_older_mask_is_passed_over(tmp_path):
    write(tmp_path, "x.tif", "x_masks.tif")
    (tmp_path / "x_seg.npy").write_bytes(b"")
    aged(tmp_path / "x_seg.npy", 3600)
    assert AnnotationFolder.open(tmp_path).pairs[0].read().labels.max() == 4


def test_a_mask_that_is_changed_is_looked_at_again(tmp_path):
    write(tmp_path, "x.tif", "x_masks.tif", "x_seg.npy")
    aged(tmp_path / "x_seg.npy", 3600)
    (pair,) = AnnotationFolder.open(tmp_path).pairs
    before = look(pair)
    write(tmp_path, "x_seg.npy", labels=LABELS[::-1])
    (pair,) = AnnotationFolder.open(tmp_path).pairs
    after = look(pair)
    assert pair.labels.name == "x_seg.npy"
    assert before.stamps != after.stamps


def test_an_export_is_the_newest(tmp_path):
    write(tmp_path, "x.tif", "x_masks.tif")
    aged(tmp_path / "x_masks.tif", 3600)
    AnnotatedImage(PIXELS[None], LABELS[::-1].astype(np.int32), ("a",), "x").write(tmp_path, overwrite=True)
    (pair,) = AnnotationFolder.open(tmp_path).pairs
    assert (pair.labels.name, [path.name for path in pair.older]) == ("x_labelled.tif", ["x_masks.tif"])
