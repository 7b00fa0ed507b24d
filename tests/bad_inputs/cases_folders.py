"""Folders that are none, names that are hard to show, and images that do not go together."""

import os
import shutil
from pathlib import Path

from bad_inputs.case import FOLDER, STEMS, Case, Spoil, content, good_image, good_labels, part_of, write_array

LONG = "ä" * 100  # of 2 bytes each; 255 are the limit, and the mask's name is longer


def without(*patterns: str) -> Spoil:
    def spoil(folder: Path) -> None:
        for pattern in patterns:
            for path in folder.glob(pattern):
                path.unlink()

    return spoil


def gone(folder):
    shutil.rmtree(folder)


def instead(make: Spoil) -> Spoil:
    """Remove the folder, and put something else in its place."""

    def spoil(folder: Path) -> None:
        gone(folder)
        make(folder)

    return spoil


def beside(name: str, make: Spoil) -> Spoil:
    """Put something more into the folder, or in the place of what is there."""

    def spoil(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(exist_ok=True)
        make(path)

    return spoil


def copied(source: str, target: str) -> Spoil:
    return lambda folder: shutil.copy(folder / source, folder / target)


def nested(folder):
    shutil.move(folder, folder.with_name("inner"))
    folder.mkdir()
    shutil.move(folder.with_name("inner"), folder / "inner")


def renamed(stem: str | bytes, mask: str | bytes | None = None, *, broken: bool = False) -> Spoil:
    """Give image and mask of the middle one another stem."""

    def spoil(folder: Path) -> None:
        (folder / "cell_01.json").unlink()
        for name, new in (("cell_01.tif", stem), ("cell_01_labelled.tif", stem if mask is None else mask)):
            ending = os.fsencode(name.removeprefix("cell_01"))
            os.rename(folder / name, os.path.join(os.fsencode(folder), os.fsencode(new) + ending))
        for path in folder.glob("*") if broken else ():
            if path.stem not in STEMS and "_labelled" not in path.stem:
                path.write_bytes(b"")
        for path in folder.glob("*.json"):
            path.write_text("{}")

    return spoil


def every(part: str, spoil: Spoil, layout: str = "celldetective") -> Spoil:
    def all_of_them(folder: Path) -> None:
        for stem in STEMS:
            spoil(part_of(folder, layout, part, stem))

    return all_of_them


def empty_mask(path):
    write_array(path, good_labels() * 0)


def same_image(folder):
    for stem in STEMS:
        write_array(folder / f"{stem}.tif", good_image())


def one_field(folder):
    for stem in STEMS:
        (folder / f"{stem}.json").write_text('{"channels": ["dapi"], "field_of_view": "A1"}')


def holding(*names: str) -> Spoil:
    def spoil(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).touch()

    return spoil


def two_formats(folder):
    write_array(folder / "cell_01.png", good_image())
    (folder / "cell_01_labelled.tif").rename(folder / "cell_01_labelled.tiff")


def lone_image_without_text(folder):
    Path(os.fsdecode(os.fsencode(folder) + b"/cell\xff.tif")).write_bytes(b"")


def make_pipe(path):
    os.mkfifo(path)


def _is_odd(name: str) -> bool:
    """Whether other systems refuse such a name, or have no such file."""
    return any(word in name for word in ("lines", "terminal", "no text", "spelt", "pipe", "link"))


REFUSED: list[tuple[str, Spoil, str]] = [
    ("gone", gone, "does not exist"),
    ("a file", instead(content("a file")), "is a file"),
    ("empty", instead(os.mkdir), "is empty"),
    ("hidden files only", instead(holding(".hidden")), "is empty"),
    ("text only", instead(holding("notes.txt")), "holds no image with its mask"),
    ("a link to itself", instead(lambda folder: folder.symlink_to(folder)), "cannot be read"),
    ("a link to nowhere", instead(lambda folder: folder.symlink_to("nowhere")), "does not exist"),
    ("no masks", without("*_labelled.tif"), "3 images or masks without a partner"),
    ("no images", without("cell_??.tif"), "3 images or masks without a partner"),
    ("one image", without("cell_00*", "cell_02*"), "only one annotated image"),
    ("one level too high", nested, "its folder 'inner' does"),
    (
        "a newer mask that is not what it seems",
        copied("cell_01_labelled.tif", "cell_01_labelled.png"),
        "cell_01_labelled.png … a TIFF file, not PNG",
    ),
    ("an image in two formats", two_formats, "cell_01.png … Keep one"),
    ("all masks empty", every("mask", empty_mask), "All 3 masks"),
    ("one field of view", one_field, "one field of view"),
    ("the same image three times", same_image, "one field of view"),
    ("a name of two lines", renamed("ce\nll", broken=True), "ce\\nll.tif"),
    ("a name that colours a terminal", renamed("\x1b[31mcell", broken=True), "\\x1b[31mcell.tif"),
    ("a name that is no text", renamed(b"cell\xff"), "cell\\udcff.tif"),
    ("a long name", renamed(LONG, broken=True), f"{LONG}.tif"),
    ("a name in Chinese", renamed("细胞", broken=True), "细胞.tif"),
]

STARDIST: list[tuple[str, Spoil, str]] = [
    ("images that are a file", beside("images", content("a file")), "holds no image with its mask"),
    ("masks that are a file", beside("masks", content("a file")), "holds no image with its mask"),
    ("images without files", beside("images", os.mkdir), "holds no image with its mask"),
    ("images that are a link to themselves", beside("images", lambda path: path.symlink_to(path)), "holds no image"),
    (
        "a newer mask that is not what it seems",
        copied("masks/cell_01.tif", "masks/cell_01.png"),
        "cell_01.png … a TIFF file, not PNG",
    ),
]

USABLE: list[tuple[str, Spoil, str, str]] = [
    ("two masks of a stem", copied("cell_01_labelled.tif", "cell_01_masks.tif"), "they say the same", ""),
    ("a mask without image", without("cell_01.tif"), "two images are left", "unpaired-file"),
    ("an image without mask", without("cell_01_labelled.tif"), "two images are left", "unpaired-file"),
    ("good files with a name of two lines", renamed("ce\nll"), "a name is a name", "too-few-images"),
    ("good files with a long name", renamed(LONG), "a name is a name", "too-few-images"),
    (
        "a mask whose name is spelt otherwise",
        renamed("zellkörper", "zellko\u0308rper"),
        "two are left",
        "unpaired-file",
    ),
    ("a folder in itself", beside("again", lambda path: path.symlink_to("..")), "folders are passed over", ""),
    ("hidden and half-written files", holding("._cell_03.tif", "a.tif~", "b.tif.part"), "they do not count", ""),
    ("a lone image whose name is no text", lone_image_without_text, "it has no mask", "unpaired-file"),
    ("a pipe of no use", beside("notes.txt", make_pipe), "its name is not that of an image", ""),
]

CASES = [
    *(Case(f"folder: {name}", spoil, "folder", told=told, linux=_is_odd(name)) for name, spoil, told in REFUSED),
    *(Case(f"StarDist folder: {name}", spoil, "folder", "stardist", told) for name, spoil, told in STARDIST),
    *(
        Case(f"folder: {name}", spoil, "folder", usable=why, found=found or "too-few-images", linux=_is_odd(name))
        for name, spoil, why, found in USABLE
    ),
    Case("folder: a pipe", instead(make_pipe), "folder", told="is a file", linux=True),
    Case(
        "folder: its own name of two lines",
        lambda folder: None,
        "folder",
        folder=f"{FOLDER}\n\x1b[31mred",
        usable="a name is a name",
        found="too-few-images",
        linux=True,
    ),
    Case("image: in a folder of two lines", content(b""), folder=f"{FOLDER}\n\x1b[31mred", linux=True),
    Case(
        "folder: its own name no text",
        lambda folder: None,
        "folder",
        told="not valid UTF-8",
        folder=f"{FOLDER}\udcff",
        linux=True,
    ),
    Case("folder: without permission", lambda folder: folder.chmod(0), "folder", told="ermission", locked=True),
]
