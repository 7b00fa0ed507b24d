import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_seg_trainer.annotations.image_file import read_image, read_label_file, read_labels
from napari_seg_trainer.errors import DataError

THREE = np.random.default_rng(0).integers(1, 60_000, (3, 40, 50)).astype(np.uint16)
ONE = THREE[0]
DEFAULT = ("channel 0", "channel 1", "channel 2")


def tiff(data: np.ndarray, **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, data, **options)


def picture(data: np.ndarray, **options: Any) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(data).save(path, **options)


def pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for plane in THREE:
            writer.write(plane, contiguous=False, metadata=None)


OME = {"axes": "CYX", "PhysicalSizeX": 325, "PhysicalSizeXUnit": "nm", "Channel": {"Name": ["DAPI", "GFP", "GFP"]}}
IMAGEJ = {"axes": "CYX", "Labels": ["c:1/3 - DAPI", "c:2/3 - GFP", "actin"], "unit": "micron"}


@pytest.mark.parametrize(
    ("name", "write", "expected", "channels", "pixel_size"),
    [
        ("a.tif", tiff(ONE), ONE[None], DEFAULT[:1], None),
        ("a.TIF", tiff(ONE), ONE[None], DEFAULT[:1], None),
        ("ä µ.TIFF", tiff(ONE), ONE[None], DEFAULT[:1], None),
        ("a.tif", tiff(THREE, photometric="rgb", planarconfig="separate"), THREE, DEFAULT, None),
        ("a.tif", tiff(THREE, photometric="minisblack", metadata={"axes": "CYX"}), THREE, DEFAULT, None),
        ("a.tif", tiff(THREE, photometric="minisblack", compression="zlib", predictor=True), THREE, DEFAULT, None),
        ("a.tif", tiff(np.moveaxis(THREE[:2], 0, 2).copy(), photometric="minisblack"), THREE[:2], DEFAULT[:2], None),
        ("a.tif", tiff(ONE.astype(">u2"), byteorder=">"), ONE[None], DEFAULT[:1], None),
        ("a.tif", tiff((ONE / 7).astype(np.float32)), (ONE / 7).astype(np.float32)[None], DEFAULT[:1], None),
        ("a.tif", tiff(ONE.astype(np.float16)), ONE.astype(np.float16)[None], DEFAULT[:1], None),
        ("a.tif", tiff(ONE > 30_000), (ONE > 30_000)[None], DEFAULT[:1], None),
        ("a.tif", tiff(ONE[None, None, None], metadata={"axes": "TZCYX"}), ONE[None], DEFAULT[:1], None),
        ("a.tif", pages, THREE, DEFAULT, None),
        ("a.tif", tiff(ONE, tile=(16, 16)), ONE[None], DEFAULT[:1], None),
        ("a.tif", picture(ONE, compression="tiff_lzw"), ONE[None], DEFAULT[:1], None),
        ("a.tif", tiff(THREE, imagej=True, metadata=IMAGEJ, resolution=(2, 2)), THREE, ("DAPI", "GFP", "actin"), 0.5),
        ("a.tif", tiff(THREE, imagej=True, metadata={"axes": "CYX"}, resolution=(2, 2)), THREE, DEFAULT, None),
        ("a.ome.tif", tiff(THREE, metadata=OME), THREE, ("DAPI", "GFP", "GFP 2"), 0.325),
        ("a.png", picture(ONE), ONE[None], DEFAULT[:1], None),
        ("a.PNG", picture((ONE >> 8).astype(np.uint8)), (ONE >> 8)[None], DEFAULT[:1], None),
        ("a.bmp", picture((ONE >> 8).astype(np.uint8)), (ONE >> 8)[None], DEFAULT[:1], None),
    ],
)
def test_images_of_every_kind(tmp_path, name, write, expected, channels, pixel_size):
    write(tmp_path / name)
    image = read_image(tmp_path / name, ["as"] * len(expected))  # of untagged planes, the number is known
    np.testing.assert_array_equal(image.data, expected)
    assert image.data.dtype.isnative
    assert image.channels == channels
    assert image.pixel_size == (None if pixel_size is None else pytest.approx(pixel_size))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours_without_alpha(tmp_path, name, samples):
    data = np.random.default_rng(0).integers(0, 255, (20, 30, samples)).astype(np.uint8)
    data[..., 3:] = 255  # as of a TIFF with four different samples, these are channels
    (picture(data) if name == "a.png" else tiff(data))(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.channels == ("red", "green", "blue")
    np.testing.assert_array_equal(image.data, np.moveaxis(data[..., :3], 2, 0))


@pytest.mark.parametrize(
    ("name", "samples"), [("a.png", 3), ("a.png", 4), ("a.tif", 3), ("a.tif", 4), ("a.jpg", 3), ("a.bmp", 3)]
)
def test_three_equal_colours_are_one_channel(tmp_path, name, samples):
    grey = np.kron(np.random.default_rng(0).integers(0, 255, (3, 4)), np.ones((8, 8))).astype(np.uint8)
    data = np.dstack([grey, grey, grey, np.full_like(grey, 255)][:samples])
    (tiff(data) if name == "a.tif" else picture(data))(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.channels == ("grey",)
    assert image.data.shape == (1, 24, 32)
    if name != "a.jpg":
        np.testing.assert_array_equal(image.data[0], grey)
    three = image.called(["a", "b", "c"])  # as a file beside it may name them
    assert (three.channels, three.data.shape) == (("a", "b", "c"), (3, 24, 32))
    assert image.called(["nuclei"]).channels == ("nuclei",)
    assert image.called(["a", "b"]) is image


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        ((7, 40, 50), "TYX", "time lapse of 7 frames.*single frames"),
        ((7, 40, 50), "ZYX", "stack of 7 slices.*single slices"),
        ((2, 3, 40, 50), "TCYX", "time lapse of 2 frames"),
        ((2, 3, 4, 40, 50), "TZCYX", "time lapse of 2 frames"),
        ((20, 40, 50), None, "stack of 20 planes"),
        ((2, 3, 40, 50), None, "4 axes"),
    ],
)
def test_stacks_are_refused(tmp_path, shape, axes, words):
    options = {} if axes is None else {"metadata": {"axes": axes}}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint16), photometric="minisblack", **options)
    with pytest.raises(DataError, match=words):
        read_image(tmp_path / "a.tif")


def huge(path: Path) -> None:
    tifffile.imwrite(path, ONE)
    with tifffile.TiffFile(path, mode="r+") as tif:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tif.pages.first.tags[tag].overwrite(60_000)


def huge_compressed(path: Path) -> None:
    tifffile.imwrite(path, ONE, compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tif:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tif.pages.first.tags[tag].overwrite(30_000)


def several(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(ONE, metadata=None)
        writer.write(np.zeros((80, 90), np.uint16), metadata=None)


def animation(path: Path) -> None:
    frames = [Image.fromarray(np.full((20, 30), i * 10, np.uint8)) for i in range(20)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.tif", lambda path: path.write_bytes(b""), "is empty"),
        ("a.tif", lambda path: path.write_bytes(b"hello world"), "not a TIFF image"),
        ("a.tif", lambda path: path.write_bytes(b"II*\0"), "TIFF"),
        ("a.tif", lambda path: path.write_bytes(b"II*\0" + bytes(200)), "TIFF"),
        ("a.tif", lambda path: path.write_bytes(b"MM\0*" + b"\xff" * 200), "TIFF"),
        ("a.tif", lambda path: picture(ONE)(path.with_suffix(".png")) or path.with_suffix(".png").rename(path), "PNG"),
        ("a.png", lambda path: tiff(ONE)(path.with_suffix(".tif")) or path.with_suffix(".tif").rename(path), "TIFF"),
        ("a.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50)), "broken"),
        ("a.xyz", lambda path: path.write_bytes(b"II*\0"), "an unknown file type"),
        ("a.tif", lambda path: None, "does not exist"),
        ("a.tif", lambda path: path.mkdir(), "is not a file"),
        ("a.tif", lambda path: path.symlink_to(path), "a.tif"),
        ("a.tif", tiff(np.zeros((8, 8), complex)), "complex"),
        ("a.tif", huge, "GiB|cut short"),
        ("a.tif", huge_compressed, "MiB|cut short"),
        ("a.tif", several, "holds 2 images"),
        ("a.png", animation, "stack of 20 planes|3 axes"),
    ],
)
def test_bad_files_give_one_line(tmp_path, name, write, words):
    write(tmp_path / name)
    for read in (read_image, read_labels):
        with pytest.raises(DataError, match=words) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", ONE)
    (tmp_path / "a.tif").chmod(0)
    with pytest.raises(DataError, match="permission"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.tif", tiff(THREE, photometric="minisblack")),
        ("a.tif", tiff(THREE, photometric="minisblack", compression="zlib")),
        ("a.tif", tiff(THREE, imagej=True, metadata=IMAGEJ)),
        ("a.ome.tif", tiff(THREE, metadata=OME)),
        ("a.tif", pages),
        ("a.png", picture(ONE)),
    ],
)
def test_a_cut_file_is_refused_or_complete(tmp_path, name, write):
    write(tmp_path / name)
    whole, expected = (tmp_path / name).read_bytes(), read_image(tmp_path / name, DEFAULT).data
    for part in range(0, len(whole), max(1, len(whole) // 150)):
        (tmp_path / name).write_bytes(whole[:part])
        try:
            data = read_image(tmp_path / name, DEFAULT).data
        except DataError:
            continue
        # only what is not pixels was cut off
        np.testing.assert_array_equal(data, expected)


def test_damaged_headers_raise_nothing_else(tmp_path):
    path, rng = tmp_path / "a.tif", np.random.default_rng(0)
    tifffile.imwrite(path, THREE, imagej=True, metadata=IMAGEJ)
    whole = path.read_bytes()
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(0, 400, 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_image(path)
        except DataError as error:
            refused += "\n" not in str(error)
    assert refused > 50


def test_the_logger_of_tifffile_is_quiet_only_while_we_read(tmp_path, caplog):
    tifffile.imwrite(tmp_path / "a.tif", THREE, imagej=True)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:6000])
    with pytest.raises(DataError, match="cut short"):
        read_image(tmp_path / "a.tif")
    assert caplog.records == []
    logging.getLogger("tifffile").error("from somebody else")
    assert [record.message for record in caplog.records] == ["from somebody else"]


def test_labels_are_int32_whatever_the_file_keeps(tmp_path):
    labels = (ONE % 7).astype(np.int32)
    for dtype in ("uint8", "uint16", "int32", "uint32", "int64", "float32"):
        tifffile.imwrite(tmp_path / "a.tif", labels.astype(dtype))
        file = read_label_file(tmp_path / "a.tif")
        assert (file.labels.dtype, file.stored) == (np.int32, dtype)
        np.testing.assert_array_equal(file.labels, labels)


def test_an_empty_mask_and_a_black_and_white_one_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "empty.tif", np.zeros((8, 8), np.uint16))
    assert not read_labels(tmp_path / "empty.tif").any()
    tifffile.imwrite(tmp_path / "bool.tif", np.eye(8, dtype=bool))
    np.testing.assert_array_equal(read_labels(tmp_path / "bool.tif"), np.eye(8))


def test_labels_in_a_palette_png_are_its_indices(tmp_path):
    indices = np.arange(48, dtype=np.uint8).reshape(6, 8)
    image = Image.fromarray(indices).convert("P")
    image.putpalette(np.random.default_rng(0).integers(0, 255, 768).astype(np.uint8).tobytes())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), indices)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.tif", tiff(np.full((8, 8), 0.5, np.float32)), "not whole"),
        ("a.tif", tiff(np.full((8, 8), np.nan, np.float32)), "not whole"),
        ("a.tif", tiff(np.full((8, 8), -2, np.int16)), "negative labels"),
        ("a.tif", tiff(np.full((8, 8), -3, np.float32)), "negative labels"),
        ("a.tif", tiff(np.full((8, 8), 2**31, np.uint32)), "limit"),
        ("a.tif", tiff(np.full((8, 8), 1e30, np.float64)), "limit"),
        ("a.tif", tiff(np.zeros((8, 8, 3), np.uint8)), "colour picture"),
        ("a.png", picture(np.zeros((8, 8, 3), np.uint8)), "colour picture"),
        ("a.tif", tiff(THREE, photometric="minisblack", metadata={"axes": "CYX"}), "3 axes"),
        ("a.tif", tiff(THREE, metadata={"axes": "ZYX"}, photometric="minisblack"), "stack of 3"),
        ("a.jpg", picture(np.zeros((8, 8), np.uint8)), "JPEG"),
    ],
)
def test_masks_that_are_none(tmp_path, name, write, words):
    write(tmp_path / name)
    with pytest.raises(DataError, match=words) as caught:
        read_labels(tmp_path / name)
    assert name in str(caught.value)
