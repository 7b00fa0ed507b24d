"""TIFFs that lie about themselves."""

import os
import struct
import zlib

import numpy as np
import tifffile

from bad_inputs.case import Case, Spoil, array, content, good_image, write_array
from bad_inputs.formats import big_tiff, described, endless_pages, tiff, zeros

BIG = 2**32 - 1
ZLIB = {"tag_259": 8}

HEADERS: dict[str, bytes] = {
    "only the first four bytes": b"II*\0",
    "its page behind its end": b"II*\0" + struct.pack("<I", 10**6) + bytes(500),
    "its page in its header": b"II*\0" + struct.pack("<I", 0) + bytes(500),
    "a page without tags": b"II*\0" + struct.pack("<IH", 8, 0) + bytes(500),
    "a page of 65535 tags": b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(500),
    "pages without end": endless_pages(),
    "big-endian by its mark alone": b"MM\0*" + tiff()[4:],
    "no width": tiff(tag_256=0),
    "no height": tiff(tag_257=0, tag_278=0),
    "the largest width": tiff(tag_256=BIG),
    "the largest width and height": tiff(tag_256=BIG, tag_257=BIG, tag_278=BIG),
    "terabytes, deflated": tiff(zlib.compress(bytes(1600)), tag_256=10**6, tag_257=10**6, tag_278=10**6, **ZLIB),
    "terabytes in small tiles": tiff(tag_256=10**6, tag_257=10**6, tag_322=16, tag_323=16, tag_324=8, tag_325=256),
    "a height that its pixels have not": tiff(tag_257=4000, tag_278=4000),
    "no bits": tiff(tag_258=0),
    "numbers of 128 bits": tiff(tag_258=128),
    "60000 samples": tiff(tag_277=60000),
    "an unknown compression": tiff(tag_259=60001),
    "an unknown kind of number": tiff(tag_339=77),
    "pixels behind its end": tiff(tag_273=10**6),
    "no place of its pixels": tiff(tag_273=0),
    "a thousand million places of its pixels": tiff(tag_273=(4, 10**9, 8), tag_279=(4, 10**9, 8)),
    "a description of 4 GiB": tiff(tag_270=(2, BIG, 8)),
    "a name for its tag alone": tiff(tag_256=(2, 4, 40)),
    "nonsense, deflated": tiff(bytes(range(256)) * 6, **ZLIB),
    "too little, deflated": tiff(zlib.compress(bytes(90)), **ZLIB),
    "nonsense in LZW": tiff(bytes(range(256)) * 6, tag_259=5),
    "nonsense in JPEG": tiff(bytes(range(256)) * 6, tag_259=7),
    "3 GiB of zeros for 40 × 40 pixels": tiff(zeros(3072), **ZLIB),
    "a palette without colours": tiff(tag_262=3, tag_320=(3, 0, 0)),
    "a big one of its header alone": big_tiff(0)[:16],
    "a big one of 2**60 tags": big_tiff(2**60),
    "a big one with a tag of 2**60 numbers": big_tiff(1, (256, 4, 2**60, 16)),
    "a big one whose page is far away": b"II+\0" + struct.pack("<HHQ", 8, 0, 2**63) + bytes(500),
    "a big one of another offset size": b"II+\0" + struct.pack("<HHQ", 4, 0, 16) + bytes(500),
}

OME = (
    '<?xml version="1.0"?>{entity}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="40" SizeY="40" SizeC="{c}" SizeZ="1" SizeT="{t}">'
    "{data}</Pixels></Image></OME>"
)
ENTITIES = "<!DOCTYPE OME [<!ENTITY a0 'ha'>{}]>".format(
    "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 12))
)


def ome(*, c: int = 1, t: int = 1, data: str = "<TiffData/>", entity: str = "") -> bytes:
    return tiff(**described(OME.format(c=c, t=t, data=data, entity=entity).encode()))


DESCRIPTIONS: dict[str, bytes] = {
    "a thousand million frames by its OME-XML": ome(t=10**9),
    "a thousand million channels by its OME-XML": ome(c=10**9),
    "a thousand million planes by ImageJ's words": tiff(
        **described(b"ImageJ=1.53\nimages=1000000000\nframes=1000000000")
    ),
    "entities that grow in its OME-XML": ome(entity=ENTITIES, data="&a11;"),
}


def image_in_a_pipe(path):
    """Tell in OME-XML that the pixels are in another file, which is a pipe that nobody writes to."""
    os.mkfifo(path.with_name("other.ome.tif"))
    part = '<TiffData IFD="0" FirstC="0"><UUID FileName="other.ome.tif">urn:uuid:1</UUID></TiffData>'
    path.write_bytes(ome(data=part))


def several(path):
    with tifffile.TiffWriter(path) as writer:
        writer.write(good_image(), metadata=None)
        writer.write(np.zeros((80, 90), np.uint8), metadata=None)


def frames(count: int, **options) -> Spoil:
    return array(lambda pixels: np.stack([pixels] * count), **options)


def compressed(path):
    """Spoil the pixels of a deflated TIFF, which only shows when they are unpacked."""
    write_array(path, good_image(), compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as tif:
        place = tif.pages.first.dataoffsets[0]
    whole = bytearray(path.read_bytes())
    whole[place + 40 : place + 80] = bytes(40)
    path.write_bytes(whole)


CASES = [
    *(Case(f"TIFF: {defect}", content(data)) for defect, data in HEADERS.items()),
    *(Case(f"TIFF: {defect}", content(data)) for defect, data in DESCRIPTIONS.items()),
    *(
        Case(f"TIFF mask: {defect}", content(HEADERS[defect]), "mask")
        for defect in ("no width", "the largest width and height", "3 GiB of zeros for 40 × 40 pixels")
    ),
    Case("TIFF: damage within deflated pixels", compressed),
    Case("TIFF: several images", several, told="cell_01.tif … holds 2 images"),
    Case("TIFF: 30 pages", frames(30), told="cell_01.tif … stack of 30"),
    Case("TIFF mask: 30 pages", frames(30), "mask"),
    Case("TIFF: a time lapse", frames(3, metadata={"axes": "TYX"}), told="cell_01.tif … time lapse of 3 frames"),
    Case("TIFF: a mask of two planes", frames(2), "mask"),
    Case("TIFF: pixels in a file that is a pipe", image_in_a_pipe, linux=True),
    Case(
        "TIFF: terabytes by its JSON",
        content(tiff(**described(b'{"shape": [1000000, 1000000]}'))),
        usable="the page knows better how large it is",
        found="constant-channel",
    ),
    Case(
        "TIFF: no samples",
        content(tiff(tag_277=0)),
        usable="there is at least one",
        found="constant-channel",
    ),
    Case(
        "TIFF: a description that is no text",
        content(tiff(**described(b"\xff\xfe\x80" * 20))),
        usable="the description of an image does not matter",
        found="constant-channel",
    ),
]
