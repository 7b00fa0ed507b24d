"""Unpacking zip archives of strangers."""

import itertools
import lzma
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol
from uuid import uuid4

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.library.safe_paths import clash, is_hidden, path_problem

MODEL_SUFFIXES = frozenset({".json", ".h5", ".hdf5", ".pth", ".txt", ".md", ".png"})
MAX_BYTES = 2 << 30
MAX_RATIO = 100
MAX_FILES = 1000
_RATIO_FROM = 1 << 20  # small texts may shrink more than weights can
_CHUNK_BYTES = 1 << 20
_HEADER_BYTES = 30  # before the name, at each member
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, RuntimeError, NotImplementedError, ValueError, OverflowError),
)


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, `size` at most; none at the end."""
        ...


def copy_bytes(source: Readable, target: IO[bytes], done: Callable[[int], None]) -> None:
    """Copy a file piece by piece, and report the bytes of each."""
    while chunk := source.read(_CHUNK_BYTES):
        target.write(chunk)
        done(len(chunk))


def unpack_model(
    archive: Path,
    folder: Path,
    suffixes: Collection[str] = MODEL_SUFFIXES,
    also: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Unpack a model's zip archive into a new folder, which appears whole or not at all.

    Files of other kinds than `suffixes` (a system's own litter, anything executable) are left out. Where all files lie
    in one folder of the archive, that folder is left out too. Nothing is unpacked where any path in the archive, of
    whatever kind, is one that no honest archive has.

    Parameters
    ----------
    archive : Path
        The zip file.
    folder : Path
        The folder to make.
    suffixes : collection of str
        Which files to unpack, in small letters with the dot.
    also : collection of str
        Paths of files to unpack whatever their kind, with '/', from the archive's one folder on.
    progress : callable, optional
        Called with the bytes done, and in all.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    LibraryError
        If the archive is damaged or locked by a password, names files outside the folder, links, special files or
        devices of Windows, the same file twice, more than 1,000 files, more than 2 GiB or 100 times its own size, or
        nothing of use; if the folder is there already; if the disk is full or protected.
    """
    if folder.exists():
        raise LibraryError(f"'{folder}' is there already. Move or delete it, then try again.")
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder.with_name(f".unpacking-{uuid4().hex}")
        try:
            with _opened(archive) as opened:
                wanted = _wanted(opened, archive, suffixes, also)
                _extract(opened, wanted, unfinished, progress)
            os.rename(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def folder_in(archive: Path) -> str:
    """Return the name of the one folder that all files of a zip archive are in; without one, the archive's own name.

    Raises
    ------
    LibraryError
        If it is not a zip archive.
    """
    visible = visible_files(archive)
    tops = {name.parts[0] for name in visible if len(name.parts) > 1}
    return tops.pop() if len(tops) == 1 and all(len(name.parts) > 1 for name in visible) else archive.stem


def visible_files(archive: Path) -> list[PurePosixPath]:
    """Return the paths of all files in a zip archive but those that a system hides, or leaves behind.

    Raises
    ------
    LibraryError
        If it is not a zip archive.
    """
    with _opened(archive) as opened:
        names = [PurePosixPath(member.filename) for member in opened.infolist() if not _is_folder(member)]
    return [name for name in names if name.parts and not is_hidden(name)]


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        file = archive.open("rb")
    except OSError as error:
        raise LibraryError(f"'{archive}' cannot be read: {error.strerror}. Choose another archive.") from error
    try:
        with file:
            with _damage():
                opened = zipfile.ZipFile(file)
            with opened:
                yield opened
    except _ZIP_ERRORS as error:
        reason = " ".join(str(error).split())
        raise LibraryError(f"'{archive}' is not a readable zip file ({reason}). Download it again.") from error


@contextmanager
def _damage() -> Iterator[None]:
    """Keep what the system says of a place that an archive does not have from being taken for a problem of the disk."""
    try:
        yield
    except OSError as error:
        raise zipfile.BadZipFile(error.strerror or str(error)) from error


class _Source:
    """A file in an archive, to be read."""

    def __init__(self, opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        with _damage():
            self._file = opened.open(member)

    def read(self, size: int) -> bytes:
        with _damage():
            return self._file.read(size)


def _wanted(
    opened: zipfile.ZipFile, archive: Path, suffixes: Collection[str], also: Collection[str]
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return what to unpack, by the path to give it."""
    members = opened.infolist()
    problem = (
        _size_problem(members, archive)
        or next(filter(None, map(_member_problem, members)), "")
        or _overlap_problem(members)
    )
    if problem:
        raise LibraryError(f"'{archive}' is not unpacked: {problem}. Use an archive from a source that you trust.")
    wanted = [member for member in members if not _is_folder(member) and _is_wanted(member.filename, suffixes, also)]
    if not wanted:
        kinds = ", ".join(sorted(suffixes) or sorted(also))
        raise LibraryError(f"'{archive}' holds no model files ({kinds}). Choose another archive.")
    names = _without_common_folder([PurePosixPath(member.filename) for member in wanted])
    twice = clash(names)
    if twice is not None:
        raise LibraryError(
            f"'{archive}' is not unpacked: it names a file twice, '{twice}'. Ask its maker for a proper archive."
        )
    return dict(zip(names, wanted, strict=True))


def _extract(
    opened: zipfile.ZipFile,
    wanted: dict[PurePosixPath, zipfile.ZipInfo],
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    done, total = 0, sum(member.file_size for member in wanted.values())

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    for name, member in wanted.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = _Source(opened, member)
        with target.open("xb") as file:
            copy_bytes(source, file, tell)


def _size_problem(members: Sequence[zipfile.ZipInfo], archive: Path) -> str:
    # zipfile never gives more bytes of a member than the size that is stated for it
    total = sum(member.file_size for member in members)
    if len(members) > MAX_FILES:
        return f"it holds {len(members):,} files; {MAX_FILES:,} is the limit"
    if total > MAX_BYTES:
        return f"it holds {total / 2**30:.1f} GiB; {MAX_BYTES / 2**30:g} GiB is the limit"
    if total > max(_RATIO_FROM, MAX_RATIO * archive.stat().st_size):
        return f"it would expand to more than {MAX_RATIO} times its size"
    return ""


def _member_problem(member: zipfile.ZipInfo) -> str:
    """Return why a member may not be unpacked, or nothing."""
    # the name as it stands in the archive: zipfile cuts it at a zero byte, and on Windows turns \ into /
    name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
    problem = path_problem(name)
    if problem:
        return problem
    if not PurePosixPath(name).parts and not _is_folder(member):
        return "it has a file without a name"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"'{name}' in it is a link or a special file"
    return ""


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith("/")  # zipfile's own look fails where there is no name


def _overlap_problem(members: Sequence[zipfile.ZipInfo]) -> str:
    """Return a file whose bytes are in part another one's: a small archive of them can hold any amount."""
    for member, following in itertools.pairwise(sorted(members, key=lambda member: member.header_offset)):
        if member.header_offset + _HEADER_BYTES + member.compress_size > following.header_offset:
            return f"its files '{member.filename}' and '{following.filename}' overlap"
    return ""


def _is_wanted(name: str, suffixes: Collection[str], also: Collection[str]) -> bool:
    path = PurePosixPath(name)
    named = name in also or PurePosixPath(*path.parts[1:]).as_posix() in also
    return named or (path.suffix.lower() in suffixes and not is_hidden(path))


def _without_common_folder(names: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    tops = {name.parts[0] for name in names}
    if len(tops) == 1 and all(len(name.parts) > 1 for name in names):
        return [PurePosixPath(*name.parts[1:]) for name in names]
    return list(names)
