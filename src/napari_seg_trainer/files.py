"""Reading a whole file; writing one so that a reader sees the old or the new, never a half; temporary files.

Temporary files do not stay.
"""

import errno
import os
import shutil
import socket
import stat
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from tempfile import mkdtemp, mkstemp
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPORARY_PREFIX = "napari-seg-trainer-"
_HOST_LETTERS = 12
_VARIABLES = ("TMPDIR", "TEMP", "TMP")


MOST_BYTES = 64 << 20
"""More than any list, description or table that this program writes has."""
MOST_ARRAY_BYTES = 2 << 30
"""The same for numbers."""


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return what is in a file.

    Raises
    ------
    OSError
        If it cannot be read, has more than `most` bytes, or is a pipe or a device: reading one may never end.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"It has {size} bytes, and {most} are the limit", str(path))
        return file.read()


def open_file(path: Path) -> BufferedReader:
    """Open a file to read its bytes.

    Raises
    ------
    OSError
        If it cannot be read, or is a folder, a pipe or a device.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "It is a folder", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "It is a pipe or a device", str(path))
    return path.open("rb")


def read_arrays(path: Path, most: int = MOST_ARRAY_BYTES) -> "dict[str, NDArray[Any]]":
    """Return the arrays in a file of NumPy's (.npz), of any axes, by their names.

    Raises
    ------
    OSError
        If it cannot be read, or is a pipe or a device.
    ValueError, zipfile.BadZipFile, zlib.error
        If it is damaged, holds anything but numbers, or more than `most` bytes, in itself or unpacked.
    """
    import numpy as np  # what only lists files goes without

    with open_file(path) as file:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > most:
            raise ValueError(f"{path.name} declares {size:,} bytes of numbers; {most:,} is the limit")
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` beside `path` and move it into place.

    Raises
    ------
    OSError
        If it cannot be written; what was there before is untouched.
    """
    handle, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes files that nobody else can read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def flush(folder: Path) -> None:
    """Have all files of a folder on the disk, and not only on their way: they are then there after a power failure."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def prune(folder: Path, pattern: str, most: int, keep: Collection[Path]) -> None:
    """Remove the files that were not used for longest, until what is left has at most `most` bytes.

    Parameters
    ----------
    folder : Path
    pattern : str
        Such as ``"*.npy"``; other files do not count.
    most : int
    keep : collection of Path
        Never removed.

    Raises
    ------
    OSError
        If the folder cannot be read, or a file not removed.
    """
    found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    excess = sum(path.stat().st_size for path in found) - most
    for path in found:
        if excess <= 0:
            break
        if path not in keep:
            excess -= path.stat().st_size
            path.unlink()


def owner_mark() -> str:
    """Return the part of a file name that identifies which process of which computer made it: ``HOST-PID``."""
    host = "".join(letter for letter in socket.gethostname() if letter.isalnum())[:_HOST_LETTERS]
    return f"{host or 'host'}-{os.getpid()}"


def is_forgotten(mark: str) -> bool:
    """Whether an `owner_mark` is that of a process of this computer that is gone."""
    host, _, pid = mark.partition("-")
    return pid.isdecimal() and host == owner_mark().partition("-")[0] and not psutil.pid_exists(int(pid))


def make_temporary_folder() -> str:
    """Make a folder for the temporary files of a process, and remove those of processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{TEMPORARY_PREFIX}*"):
        if is_forgotten(path.name.removeprefix(TEMPORARY_PREFIX).rpartition("-")[0]):
            shutil.rmtree(path, ignore_errors=True)
    return mkdtemp(prefix=f"{TEMPORARY_PREFIX}{owner_mark()}-")


def temporary_variables(folder: str | Path) -> dict[str, str]:
    """Return the environment variables with which a process keeps its temporary files in `folder`."""
    return dict.fromkeys(_VARIABLES, str(folder))


@contextmanager
def own_temporary_folder() -> Iterator[Path]:
    """Keep the temporary files of this process, and of those that it starts, in a folder that is removed in the end.

    Frameworks write code that they generate there, and leave what Python compiles of it.
    """
    before, kept = {name: os.environ.get(name) for name in _VARIABLES}, tempfile.tempdir
    folder = make_temporary_folder()
    os.environ.update(temporary_variables(folder))
    tempfile.tempdir = folder
    try:
        yield Path(folder)
    finally:
        tempfile.tempdir = kept
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)
