"""Unpacking zip archives of strangers."""

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO
from uuid import uuid4

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.problems import explained

MODEL_SUFFIXES = frozenset({".json", ".h5", ".hdf5", ".pth", ".txt", ".md", ".png"})
MAX_BYTES = 2 << 30
MAX_RATIO = 100
MAX_FILES = 1000
_RATIO_FROM = 1 << 20  # small texts may shrink more than weights can
_CHUNK_BYTES = 1 << 20
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


def copy_bytes(source: IO[bytes], target: IO[bytes], done: Callable[[int], None]) -> None:
    """Copy a file piece by piece, and tell the bytes of each."""
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
    in one folder of the archive, that folder is left out too.

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
        Is told the bytes done, and in all.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    LibraryError
        If the archive is damaged or locked by a password, names files outside the folder, links or special files, the
        same file twice, more than 1,000 files, more than 2 GiB or 100 times its own size, or nothing of use; if the
        folder is there already; if the disk is full or protected.
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
        If it is no zip archive.
    """
    with _opened(archive) as opened:
        names = [PurePosixPath(member.filename) for member in opened.infolist() if not member.is_dir()]
    visible = [name for name in names if not _is_hidden(name)]
    tops = {name.parts[0] for name in visible if len(name.parts) > 1}
    return tops.pop() if len(tops) == 1 and all(len(name.parts) > 1 for name in visible) else archive.stem


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        file = archive.open("rb")
    except OSError as error:
        raise LibraryError(f"'{archive}' cannot be read: {error.strerror}. Choose another archive.") from error
    try:
        with file, zipfile.ZipFile(file) as opened:
            yield opened
    except _ZIP_ERRORS as error:
        raise LibraryError(f"'{archive}' is no readable zip file ({error}). Fetch it again.") from error


def _wanted(
    opened: zipfile.ZipFile, archive: Path, suffixes: Collection[str], also: Collection[str]
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return what to unpack, by the path to give it."""
    members = opened.infolist()
    problem = _size_problem(members, archive) or next(filter(None, map(_member_problem, members)), "")
    if problem:
        raise LibraryError(f"'{archive}' is not unpacked: {problem}. Use an archive from a source that you trust.")
    wanted = [member for member in members if not member.is_dir() and _is_wanted(member.filename, suffixes, also)]
    if not wanted:
        kinds = ", ".join(sorted(suffixes) or sorted(also))
        raise LibraryError(f"'{archive}' holds no model files ({kinds}). Choose another archive.")
    names = _without_common_folder([PurePosixPath(member.filename) for member in wanted])
    if len({str(name).lower() for name in names}) < len(names):
        raise LibraryError(f"'{archive}' is not unpacked: it names a file twice. Ask its maker for a proper archive.")
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
        with opened.open(member) as source, target.open("xb") as file:
            copy_bytes(source, file, tell)


def _size_problem(members: Sequence[zipfile.ZipInfo], archive: Path) -> str:
    # zipfile never gives more bytes of a member than the size that is stated for it
    total = sum(member.file_size for member in members)
    if len(members) > MAX_FILES:
        return f"it holds {len(members):,} files; {MAX_FILES:,} is the limit"
    if total > MAX_BYTES:
        return f"it holds {total / 2**30:.1f} GiB; {MAX_BYTES / 2**30:g} GiB is the limit"
    if total > max(_RATIO_FROM, MAX_RATIO * archive.stat().st_size):
        return f"it would grow to more than {MAX_RATIO} times its size"
    return ""


def _member_problem(member: zipfile.ZipInfo) -> str:
    """Return why a member may not be unpacked, or nothing."""
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    # the drive letters and streams of Windows have a colon
    if name.startswith("/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
        return f"it names a file outside its folder, '{name}'"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"'{name}' in it is a link or a special file"
    return ""


def _is_wanted(name: str, suffixes: Collection[str], also: Collection[str]) -> bool:
    path = PurePosixPath(name)
    named = name in also or PurePosixPath(*path.parts[1:]).as_posix() in also
    return named or (path.suffix.lower() in suffixes and not _is_hidden(path))


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _without_common_folder(names: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    tops = {name.parts[0] for name in names}
    if len(tops) == 1 and all(len(name.parts) > 1 for name in names):
        return [PurePosixPath(*name.parts[1:]) for name in names]
    return list(names)
