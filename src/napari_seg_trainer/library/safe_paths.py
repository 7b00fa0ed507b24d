"""The paths that strangers give to the files of a model, and whether every system can have them."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath

from napari_seg_trainer.schema.names import is_reserved

MAX_LENGTH = 200
"""Characters in a path. Windows takes 260, with those of the folder that it is put into."""


def path_problem(name: str) -> str:
    """Return why no file may be given a path, or nothing.

    Parameters
    ----------
    name : str
        Relative, with '/'.

    Returns
    -------
    str
        A half sentence, such as ``"it names a file outside its folder, '../a'"``.
    """
    parts = PurePosixPath(name).parts
    # the drive letters and streams of Windows have a colon
    if name.startswith("/") or "\\" in name or ":" in name or ".." in parts:
        return f"it names a file outside its folder, {_short(name)}"
    if any(unicodedata.category(character).startswith("C") for character in name):
        return f"the name {_short(name)} in it has invisible characters"
    if any(is_reserved(part) or part.endswith((".", " ")) for part in parts):
        return f"Windows does not allow the file name {_short(name)}"
    if len(name) > MAX_LENGTH or any(len(part.encode()) > MAX_LENGTH for part in parts):
        return f"the path {_short(name)} in it is longer than {MAX_LENGTH} characters"
    return ""


def is_hidden(path: PurePath) -> bool:
    """Return whether a path is what a system leaves behind, or hides."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def clash(paths: Sequence[PurePosixPath]) -> PurePosixPath | None:
    """Return a path that is the same as another one, or leads through it, on some system; None where there is none.

    Systems differ in whether capitals count, and in how they write an accent.
    """
    keys = [PurePosixPath(_plain(str(path))) for path in paths]
    times = Counter(keys)
    folders = {folder for key in keys for folder in key.parents}
    return next((path for path, key in zip(paths, keys, strict=True) if times[key] > 1 or key in folders), None)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _short(name: str) -> str:
    return repr(name if len(name) <= MAX_LENGTH else f"{name[:40]}…")
