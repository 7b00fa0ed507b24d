"""What goes wrong on disk, in one line for the user."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_seg_trainer.errors import LibraryError, SegTrainerError
from napari_seg_trainer.paths import HOME_VARIABLE, home

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}


def disk_problem(error: OSError, folder: Path) -> str:
    """Return what is wrong with writing to `folder`, and the way out."""
    way_out = _elsewhere(folder)
    if error.errno in _FULL:
        return f"There is no space left on the disk of '{folder}'. Free some space and try again."
    if error.errno in _FORBIDDEN:
        return f"You have no permission to write to '{folder}'. Change its permissions, or {way_out}."
    if error.errno == errno.EROFS:
        return f"'{folder}' is on a disk that cannot be written. {way_out[0].upper()}{way_out[1:]}."
    if error.errno == errno.ENOENT:
        return f"'{folder}', or a file in it, is not there. Check the path, and whether another program has moved it."
    if error.errno in _NO_FOLDER:
        return f"'{folder}' cannot be made: a file of that name, or of a folder above it, is in the way. Remove it."
    return f"'{folder}' cannot be used: {error.strerror or error}. Check the disk and try again."


def _elsewhere(folder: Path) -> str:
    with suppress(OSError):
        if folder.absolute().is_relative_to(home()):
            return f"set {HOME_VARIABLE} to another folder"
    return "choose another folder"


@contextmanager
def explained(folder: Path, kind: type[SegTrainerError] = LibraryError) -> Iterator[None]:
    """Turn an OSError into an error that a user understands; `folder` is where something was to be written."""
    try:
        yield
    except OSError as error:
        raise kind(disk_problem(error, folder)) from error
