"""Files put together byte by byte, as no program writes them."""

import pickle
import struct
import zlib
from typing import Any

import numpy as np

PNG_MARK = b"\x89PNG\r\n\x1a\n"
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 13: "I", 16: "Q"}
_TAGS = {256: 40, 257: 40, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 40, 279: 1600}


def tiff(pixels: bytes = bytes(1600), *, following: int | None = None, **tags: Any) -> bytes:
    """A TIFF of one page, 40 × 40 pixels of 8 bits.

    ``tag_256=10`` gives a tag another value; a tuple is its type, its count and its value. `following` is where the
    next page begins, 0 none; the page itself begins behind the pixels.
    """
    entries: dict[int, Any] = _TAGS | {279: len(pixels)} | {int(name[4:]): value for name, value in tags.items()}
    start = 8 + len(pixels) + len(pixels) % 2
    behind = start + 2 + 12 * len(entries) + 4
    table, extra = b"", b""
    for tag, value in sorted(entries.items()):
        kind, count, number = value if isinstance(value, tuple) else (4, 1, value)
        if isinstance(number, bytes):
            number, extra = behind + len(extra), extra + number
        table += struct.pack("<HHII", tag, kind, count, number)
    page = struct.pack("<H", len(entries)) + table + struct.pack("<I", following or 0)
    return b"II*\0" + struct.pack("<I", start) + pixels.ljust(start - 8, b"\0") + page + extra


def described(text: bytes) -> dict[str, Any]:
    """The tag with a description, for `tiff`."""
    return {"tag_270": (2, len(text) + 1, text + b"\0")}


def endless_pages() -> bytes:
    """A TIFF whose only page names itself as the next."""
    whole = tiff()
    return tiff(following=struct.unpack("<I", whole[4:8])[0])


def big_tiff(entries: int, *tags: tuple[int, int, int, int]) -> bytes:
    """A BigTIFF that tells of so many tags but has these."""
    table = b"".join(struct.pack("<HHQQ", *tag) for tag in tags)
    return b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", entries) + table + bytes(8)


def chunk(kind: bytes, data: bytes, *, check: int | None = None) -> bytes:
    """A part of a PNG, with the checksum that it needs."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check or zlib.crc32(kind + data))


def png(
    width: int = 40,
    height: int = 40,
    pixels: bytes | None = None,
    *more: bytes,
    depth: int = 8,
    colour: int = 0,
    interlaced: int = 0,
) -> bytes:
    """A PNG with `pixels` as its compressed content, and `more` chunks before them."""
    packed = zlib.compress(bytes(41) * 40) if pixels is None else pixels
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return PNG_MARK + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def zeros(mebibytes: int) -> bytes:
    """So many zeros, deflated; made in no time."""
    packer = zlib.compressobj(9)
    first = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = ((mebibytes * 2**20) % 65521) << 16 | 1
    return first + block * (mebibytes - 1) + b"\x03\x00" + struct.pack(">I", checksum)


def npy(description: str, shape: str, data: bytes = b"", *, version: int = 1) -> bytes:
    """A .npy file with this type and shape in its header."""
    header = f"{{'descr': {description}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(header)) + header + data


def seg(content: Any = None, *, raw: bytes | None = None) -> bytes:
    """A file as Cellpose writes it, around this content or around a pickle of one's own."""
    if raw is None:
        holder = np.empty((), object)
        holder[()] = content
        raw = pickle.dumps(holder, protocol=4)
    return npy("'|O'", "()", raw)
