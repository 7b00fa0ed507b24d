"""Small files that would take much time or memory: refused at once."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile

from napari_seg_trainer.annotations.image_file import read_image, read_labels
from napari_seg_trainer.annotations.pixels import MAX_PAGES, peek, read_header
from napari_seg_trainer.errors import DataError

SIDE = 33 * 1024
"""More than 1 GiB of pixels of 8 bits."""


def grows(path, tile=1024, side=SIDE):
    """One page of zeros, all of whose tiles are the same thousand bytes."""
    packed = zlib.compress(bytes(tile * tile), 9)
    with tifffile.TiffWriter(path) as writer:
        tiles = (packed for _ in range((side // tile) ** 2))
        writer.write(tiles, shape=(side, side), dtype=np.uint8, compression="zlib", tile=(tile, tile))


def of_pages(path, pages):
    """Pages that are copies of the first one's tags, one after the other."""
    tifffile.imwrite(path, np.zeros((32, 32), np.uint8), metadata=None)
    content = path.read_bytes()
    (first,) = struct.unpack("<I", content[4:8])
    (tags,) = struct.unpack("<H", content[first : first + 2])
    entry = content[first : first + 2 + 12 * tags]
    end = len(content) + len(content) % 2
    content = content.ljust(end, b"\0")
    places = [end + page * (len(entry) + 4) for page in range(pages - 1)]
    chain = [*places, 0]
    content = content[: first + len(entry)] + struct.pack("<I", chain[0]) + content[first + len(entry) + 4 :]
    path.write_bytes(content + b"".join(entry + struct.pack("<I", following) for following in chain[1:]))


def in_a_circle(path):
    """A page that is followed by itself."""
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8))
    content = bytearray(path.read_bytes())
    (first,) = struct.unpack("<I", content[4:8])
    (tags,) = struct.unpack("<H", content[first : first + 2])
    end = first + 2 + 12 * tags
    content[end : end + 4] = struct.pack("<I", first)
    path.write_bytes(content)


def picture(path, side=14_000):
    """A PNG of zeros, larger than Pillow takes."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


TRAPS = {
    "grows.tif": (grows, r"has 1\.\d MB and would take 1\.1 GiB of memory\. If that is meant, save it without"),
    "pages.tif": (lambda path: of_pages(path, 1_000_000), f"has more than {MAX_PAGES} pages"),
    "circle.tif": (in_a_circle, f"has more than {MAX_PAGES} pages, or is damaged"),
    "grows.png": (picture, "is broken|would take"),
}


@pytest.fixture(params=TRAPS)
def trap(request, tmp_path):
    make, words = TRAPS[request.param]
    make(tmp_path / request.param)
    return tmp_path / request.param, words


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_a_trap_is_refused_with_little_memory(trap, read):
    path, words = trap
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=words):
            read(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**28


def test_nobody_is_caught_by_a_look(trap):
    path, words = trap
    peek(path)
    if path.suffix == ".tif":
        with pytest.raises(DataError, match=words):
            read_header(path)


def test_what_has_shrunk_much_and_is_small_is_read(tmp_path):
    grows(tmp_path / "mask.tif", side=4096)
    assert read_labels(tmp_path / "mask.tif").shape == (4096, 4096)


def test_a_file_of_many_pages_is_told_for_what_it_is(tmp_path):
    of_pages(tmp_path / "stack.tif", 200)
    with pytest.raises(DataError, match="is a stack of 200 planes"):
        read_image(tmp_path / "stack.tif")
