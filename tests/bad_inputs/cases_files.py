"""Files that are no files of their kind, or are cut short, in every layout."""

import os

from bad_inputs.case import Case, Spoil, combined, content, cut, replaced
from bad_inputs.formats import PNG_MARK

PICTURES = {
    "image": ("celldetective", "image"),
    "mask": ("celldetective", "mask"),
    "Cellpose mask": ("cellpose", "mask"),
    "PNG image": ("png", "image"),
    "PNG mask": ("png", "mask"),
    "JPEG image": ("jpeg", "image"),
    "BMP image": ("bmp", "image"),
    "StarDist mask": ("stardist", "mask"),
}
SEG = {"seg": ("seg", "mask")}
SIDECAR = {"sidecar": ("celldetective", "sidecar")}
IMAGE_AND_MASK = {name: PICTURES[name] for name in ("image", "mask")}
ONE_OF_EACH_LAYOUT = {name: PICTURES[name] for name in ("mask", "PNG mask", "StarDist mask")} | SEG

CONTENT: dict[str, Spoil] = {
    "no bytes": content(b""),
    "text": content("not an image"),
    "cut to half": cut(0.5),
}

CUTS: dict[str, Spoil] = {
    "cut to three bytes": cut(0.002),
    "cut in the header": cut(0.03),
    "its last bytes missing": cut(-40),
}

OTHER_CONTENT: dict[str, Spoil] = {
    "zeros": content(bytes(500)),
    "a ZIP file": content(b"PK\x03\x04" + bytes(500)),
    "a HDF5 file": content(b"\x89HDF\r\n\x1a\n" + bytes(500)),
}


def into_itself(path):
    path.symlink_to(path)


def to_nowhere(path):
    path.symlink_to(path.with_name("nowhere"))


def to(target) -> Spoil:
    return lambda path: path.symlink_to(target)


def without_permission(path):
    path.chmod(0)


NO_FILE: dict[str, Spoil] = {
    "a link to nowhere": replaced(to_nowhere),
    "a link to itself": replaced(into_itself),
}
SPECIAL: dict[str, Spoil] = {
    "a pipe": replaced(os.mkfifo) if hasattr(os, "mkfifo") else content(b""),
    "a device without end": replaced(to("/dev/zero")),
    "a disk that cannot be read": replaced(to("/proc/self/mem")),
}
FOLDER: dict[str, Spoil] = {"a folder": replaced(os.mkdir)}
LEFT_OUT = {"usable": "what has no partner is left out", "found": "unpaired-file"}

CASES = [
    *combined(CONTENT, PICTURES | SEG | SIDECAR),
    *combined(CUTS, {name: PICTURES[name] for name in ("image", "PNG image", "JPEG image")} | SEG),
    *combined(OTHER_CONTENT, {name: PICTURES[name] for name in ("image", "PNG mask")} | SEG),
    *combined(NO_FILE, IMAGE_AND_MASK | SEG | SIDECAR, linux=True),
    *combined(SPECIAL, IMAGE_AND_MASK | SEG | SIDECAR, linux=True),
    *combined(FOLDER, {"image": PICTURES["image"]} | ONE_OF_EACH_LAYOUT, **LEFT_OUT),
    *combined(FOLDER, SIDECAR),
    *combined({"without permission": without_permission}, IMAGE_AND_MASK | SEG | SIDECAR, locked=True),
    Case("image: a PNG by its content", content(PNG_MARK + bytes(500)), told="cell_01.tif … PNG"),
    Case("PNG image: a TIFF by its content", content(b"II*\0" + bytes(500)), layout="png", told="cell_01.png … TIFF"),
    Case("JPEG image: a PNG by its content", content(PNG_MARK + bytes(500)), layout="jpeg"),
]
