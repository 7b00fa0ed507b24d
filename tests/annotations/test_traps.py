"""Small files that would take much time or memory: refused at once."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_seg_trainer.annotations.image_file import read_image, read_labels
from napari_seg_trainer.annotations.pixels import peek, read_header
from napari_seg_trainer.annotations.traps import MAX_PAGES
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


def with_ome(path, types="", text="c", body=""):
    """A page whose OME-XML begins with these document types, and names its channel so."""
    pixels = (
        'DimensionOrder="XYZCT" Type="uint8" SizeX="16" SizeY="16" SizeZ="1" SizeC="1" SizeT="1" ID="Pixels:0"',
        f'<Channel ID="Channel:0:0" Name="{text}"/><TiffData IFD="0" PlaneCount="1"/>',
    )
    xml = f'<Image ID="Image:0"><Pixels {pixels[0]}>{pixels[1]}</Pixels></Image>{body}'
    xml = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{xml}</OME>'
    tifffile.imwrite(
        path, np.zeros((16, 16), np.uint8), description=f'<?xml version="1.0"?>{types}{xml}', metadata=None
    )


def many_laughs(path):
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    with_ome(path, f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]>', "&a11;")


def one_long_laugh(path):
    with_ome(path, f'<!DOCTYPE x [<!ENTITY a "{"A" * 100_000}">]>', body="&a;" * 20_000)


def another_file(path):
    with_ome(path, f'<!DOCTYPE x [<!ENTITY a SYSTEM "{__file__}">]>', body="&a;")


def drawn_over_and_over(path):
    """A JPEG whose last part, which takes a hundred bytes and goes through all pixels, is there very often."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((2048, 2048), np.uint8)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last, end = content[content.rfind(b"\xff\xda") : -2], content[-2:]
    path.write_bytes(content[:-2] + last * 5000 + end)


TRAPS = {
    "laughs.ome.tif": (many_laughs, "it has a document type declaration, which is not allowed in OME-XML"),
    "laugh.ome.tif": (one_long_laugh, "it has a document type"),
    "other.ome.tif": (another_file, "it has a document type"),
    "broken.ome.tif": (lambda path: with_ome(path, text="<"), "The OME-XML in .* cannot be used: it is damaged"),
    "over.jpg": (drawn_over_and_over, "encodes its pixels more than 100 times|JPEG"),
    "grows.tif": (grows, r"has 1\.\d MB and would take 1\.1 GiB of memory\. If that is intended, save it without"),
    "pages.tif": (lambda path: of_pages(path, 1_000_000), f"has more than {MAX_PAGES} pages"),
    "circle.tif": (in_a_circle, f"has more than {MAX_PAGES} pages, or is damaged"),
    "grows.png": (picture, r"has more than \d+ million pixels, .* Save it as TIFF, or export crops"),
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


def test_a_large_picture_is_read_without_a_word(tmp_path, recwarn):
    """Pillow warns of those that have half of what it refuses."""
    picture(tmp_path / "slide.png", side=9_600)
    assert read_image(tmp_path / "slide.png").data.shape == (1, 9_600, 9_600)
    assert not recwarn.list


def test_a_progressive_picture_is_read(tmp_path):
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(tmp_path / "cells.jpg", progressive=True)
    assert read_image(tmp_path / "cells.jpg").data.shape == (1, 64, 64)
