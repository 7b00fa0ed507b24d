"""PNG, JPEG and BMP files that lie about themselves."""

import struct
import zlib

import numpy as np
from PIL import Image

from bad_inputs.case import Case, Spoil, array, content, good_image, good_labels
from bad_inputs.formats import PNG_MARK, chunk, png, zeros

HEADERS: dict[str, bytes] = {
    "only its first bytes": PNG_MARK,
    "zeros behind its first bytes": PNG_MARK + bytes(60),
    "a first part of 4 GiB": PNG_MARK + struct.pack(">I", 2**32 - 1) + b"IHDR" + bytes(60),
    "no width": png(width=0),
    "no height": png(height=0),
    "the largest width and height": png(2**31 - 1, 2**31 - 1),
    "400 million pixels of zeros": png(20_000, 20_000, zeros(382)),
    "numbers of 7 bits": png(depth=7),
    "an unknown kind of colour": png(colour=5),
    "a wrong checksum": PNG_MARK + chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 8, 0, 0, 0, 0), check=7),
    "no pixels": png(pixels=b""),
    "too few pixels": png(pixels=zlib.compress(bytes(90))),
    "nonsense for pixels": png(40, 40, bytes(range(256))),
    "a gibibyte of text": png(40, 40, None, chunk(b"zTXt", b"a\0\0" + zeros(1024))),
    "a thousand million frames": png(40, 40, None, chunk(b"acTL", struct.pack(">II", 10**9, 0))),
}
BMP = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54)


def bmp(width: int, height: int, bits: int = 8) -> bytes:
    return BMP + struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0) + bytes(500)


def colours(values: np.ndarray) -> np.ndarray:
    return np.stack([values.astype(np.uint8)] * 3, -1)


def animation(path):
    frames = [Image.fromarray(good_image(seed)) for seed in range(20)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def saved(make, **options) -> Spoil:
    return lambda path: make().save(path, **options)


def with_palette() -> Image.Image:
    picture = Image.fromarray(good_labels().astype(np.uint8)).convert("P")
    picture.putpalette([value for value in range(256) for _ in range(3)])
    return picture


def as_jpeg(path):
    Image.fromarray(good_labels().astype(np.uint8)).save(path.with_suffix(".jpg"))
    path.unlink()


CASES = [
    *(Case(f"PNG mask: {defect}", content(data), "mask", "png") for defect, data in HEADERS.items()),
    *(
        Case(f"PNG image: {defect}", content(HEADERS[defect]), "image", "png")
        for defect in ("the largest width and height", "400 million pixels of zeros", "a gibibyte of text")
    ),
    Case("PNG mask: colours", array(colours), "mask", "png", told="cell_01_cp_masks.png … colour picture"),
    Case("PNG mask: 20 frames", animation, "mask", "png"),
    Case("PNG image: 20 frames", animation, "image", "png"),
    Case(
        "PNG image: a table of grey values",
        saved(with_palette),
        "image",
        "png",
        usable="its grey values count",
        found="too-few-images",
    ),
    Case("JPEG mask", as_jpeg, "mask", "png", told="cell_01_cp_masks.jpg … JPEG"),
    Case("JPEG: only its first bytes", content(b"\xff\xd8\xff\xe0"), layout="jpeg"),
    Case(
        "JPEG: 65535 × 65535 pixels in its header",
        content(
            b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0"
            + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
            + bytes(60)
        ),
        layout="jpeg",
    ),
    Case("BMP: the largest width and height", content(bmp(2**31 - 1, 2**31 - 1)), layout="bmp"),
    Case("BMP: no width", content(bmp(0, 40)), layout="bmp"),
    Case("BMP: numbers of 7 bits", content(bmp(40, 40, 7)), layout="bmp"),
    Case("BMP: fewer pixels than it tells of", content(bmp(400, 400)), layout="bmp"),
]
