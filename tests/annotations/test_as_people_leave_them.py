"""Folders as other programs and people leave them: what belongs together, and what it means."""

import json
import os

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.doctor import surveyed
from napari_seg_trainer.annotations.facts import look
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.image_file import read_image, read_labels
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
        f"'{new}' is newer than '{old}' and differs, so it is used. Delete the wrong mask."
    ]
    assert told[0].file == tmp_path / new


def test_what_holds_for_many_images_is_told_once(tmp_path):
    for name in "xyz":
        write(tmp_path, f"{name}.tif", f"{name}_cp_masks.png")
        aged(tmp_path / f"{name}_cp_masks.png", 3600)
        write(tmp_path, f"{name}_seg.npy", labels=np.where(LABELS == 4, 0, LABELS).astype(np.uint16))
    (told,) = [finding for finding in surveyed([tmp_path]).findings if finding.code == "older-mask"]
    assert told.message.endswith("Delete the wrong mask. The same holds for 2 other images.")
    for name in "xyz":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.stack([PIXELS] * 3), photometric="minisblack")
    (told,) = surveyed([tmp_path]).findings
    assert (told.code, told.message.endswith("The same holds for 2 other images.")) == ("untold-planes", True)


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


# pixels


def test_of_a_colour_png_all_sixteen_bits_count(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4096, (40, 50, 3)).astype(np.uint16)
    imagecodecs.imwrite(tmp_path / "a.png", pixels)
    image = read_image(tmp_path / "a.png")
    assert (image.data.dtype, image.channels) == (np.uint16, ("red", "green", "blue"))
    np.testing.assert_array_equal(image.data, np.moveaxis(pixels, 2, 0))
    imagecodecs.imwrite(tmp_path / "b.png", np.dstack([pixels[..., 0]] * 3))
    grey = read_image(tmp_path / "b.png")
    assert (grey.data.shape, grey.channels) == ((1, 40, 50), ("grey",))
    assert len(np.unique(grey.data)) == len(np.unique(pixels[..., 0]))
    imagecodecs.imwrite(tmp_path / "c.png", np.dstack([pixels, np.full((40, 50), 65535, np.uint16)]))
    np.testing.assert_array_equal(read_image(tmp_path / "c.png").data, np.moveaxis(pixels, 2, 0))
    imagecodecs.imwrite(tmp_path / "d.png", np.dstack([pixels[..., 0], np.full((40, 50), 65535, np.uint16)]))
    np.testing.assert_array_equal(read_image(tmp_path / "d.png").data, pixels[..., 0][None])


def test_a_cut_png_of_sixteen_bits_is_told(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4096, (40, 50, 3)).astype(np.uint16)
    imagecodecs.imwrite(tmp_path / "a.png", pixels)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^PNG file '.*a\.png' is broken \([^\n]*$"):
        read_image(tmp_path / "a.png")


def test_four_channels_are_four_and_transparency_is_none(tmp_path):
    four = np.random.default_rng(0).integers(0, 255, (40, 50, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", four)
    image = read_image(tmp_path / "a.tif")
    assert image.channels == ("channel 0", "channel 1", "channel 2", "channel 3")
    np.testing.assert_array_equal(image.data, np.moveaxis(four, 2, 0))
    four[..., 3] = 255
    tifffile.imwrite(tmp_path / "b.tif", four)
    assert read_image(tmp_path / "b.tif").channels == ("red", "green", "blue")


def test_a_palette_shows_colours_in_an_image_and_numbers_in_a_mask(tmp_path):
    colours = np.dstack([PIXELS, 255 - PIXELS, np.full_like(PIXELS, 90)])
    Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.channels == ("red", "green", "blue")
    assert np.abs(image.data.astype(int) - np.moveaxis(colours, 2, 0)).mean() < 5
    mask = Image.fromarray(LABELS.astype(np.uint8), "P")
    mask.putpalette([value for _ in range(256) for value in (7, 200, 99)])
    mask.save(tmp_path / "a_masks.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a_masks.png"), LABELS)


@pytest.mark.parametrize("compression", ["lzw", "zstd", "zlib", "packbits", "lzma"])
@pytest.mark.parametrize("axes", ["ZYX", "CYX"])
def test_what_is_compressed_is_read_like_what_is_not(tmp_path, compression, axes):
    stack = np.stack([PIXELS, PIXELS // 2, PIXELS // 3])
    tifffile.imwrite(
        tmp_path / "a.tif", stack, compression=compression, photometric="minisblack", metadata={"axes": axes}
    )
    if axes == "CYX":
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, stack)
    else:
        with pytest.raises(DataError, match="is a stack of 3 slices"):
            read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("dpi", [72, 300, 96])
def test_the_resolution_of_a_print_is_no_pixel_size(tmp_path, dpi):
    how = {"resolution": (dpi, dpi)}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, metadata={"unit": "inch", "axes": "YX"}, **how)
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, resolutionunit="INCH", **how)
    tifffile.imwrite(tmp_path / "c.tif", PIXELS, imagej=True, metadata={"unit": "um", "axes": "YX"}, resolution=(2, 2))
    sizes = [read_image(tmp_path / f"{name}.tif").pixel_size for name in "abc"]
    assert sizes == [None, None, 0.5]


@pytest.mark.parametrize("planes", [2, 5, 16])
@pytest.mark.parametrize("how", [{}, {"metadata": None}])
def test_planes_of_which_nobody_knows_what_they_are_are_refused(tmp_path, planes, how):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([PIXELS] * planes), photometric="minisblack", **how)
    write(tmp_path, "a_masks.tif")
    told = (
        f"has {planes} planes without information on what they are. If they are channels, .* 'channels.json' next to it"
    )
    with pytest.raises(DataError, match=f"{told}.*; if they are slices or frames, export single ones"):
        read_image(tmp_path / "a.tif")
    (finding,) = surveyed([tmp_path]).findings
    assert (finding.code, "without information on what they are" in finding.message) == ("untold-planes", True)
    names = [f"stain {place}" for place in range(planes)]
    (tmp_path / "channels.json").write_text(json.dumps(names))
    assert AnnotationFolder.open(tmp_path).pairs[0].read().channels == tuple(names)
    assert open_image(tmp_path / "a.tif").channels == tuple(names)
    (tmp_path / "a.json").write_text(json.dumps({"channels": names[::-1]}))  # the image's own come first
    assert AnnotationFolder.open(tmp_path).pairs[0].read().channels == tuple(names[::-1])


def test_a_folders_names_are_those_of_all_its_images(tmp_path):
    write(tmp_path, "x.tif", "x_masks.tif")
    (tmp_path / "channels.json").write_text('["nuclei"]')
    assert AnnotationFolder.open(tmp_path).pairs[0].read().channels == ("nuclei",)
    assert list_pairs(tmp_path).unpaired == ()


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[]", '["a", "a"]', '[" "]', "[1, 2]", '"ab"'])
def test_a_folders_names_that_are_none_are_told_in_one_line(tmp_path, text):
    write(tmp_path, "x.tif", "x_masks.tif")
    (tmp_path / "channels.json").write_text(text)
    with pytest.raises(DataError, match=r"^'.*channels\.json' must contain [^\n]*Correct it\.$"):
        AnnotationFolder.open(tmp_path).pairs[0].read()
