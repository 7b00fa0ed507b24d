"""Unpacking zip archives of strangers."""

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from uuid import uuid4

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.problems import explained

MODEL_SUFFIXES = frozenset({".json", ".h5", ".hdf5", ".txt", ".md", ".png"})
MAX_BYTES = 2 << 30
MAX_RATIO = 100
MAX_FILES = 1000
_RATIO_FROM = 1 << 20  # small texts may shrink more than weights can
_CHUNK_BYTES = 1 << 20
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


def unpack_model(archive: Path, folder: Path, suffixes: Collection[str] = MODEL_SUFFIXES) -> Path:
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
            with zipfile.ZipFile(archive) as opened:
                _unpack(opened, archive, unfinished, suffixes)
            os.rename(unfinished, folder)
        except _ZIP_ERRORS as error:
            raise LibraryError(f"'{archive}' is no readable zip file ({error}). Fetch it again.") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _unpack(opened: zipfile.ZipFile, archive: Path, folder: Path, suffixes: Collection[str]) -> None:
    members = opened.infolist()
    problem = _size_problem(members, archive) or next(filter(None, map(_member_problem, members)), "")
    if problem:
        raise LibraryError(f"'{archive}' is not unpacked: {problem}. Use an archive from a source that you trust.")
    wanted = [member for member in members if not member.is_dir() and _is_wanted(member.filename, suffixes)]
    if not wanted:
        raise LibraryError(f"'{archive}' holds no model files ({', '.join(sorted(suffixes))}). Choose another archive.")
    names = _without_common_folder([PurePosixPath(member.filename) for member in wanted])
    if len({str(name).lower() for name in names}) < len(names):
        raise LibraryError(f"'{archive}' is not unpacked: it names a file twice. Ask its maker for a proper archive.")
    for member, name in zip(wanted, names, strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as source, target.open("xb") as file:
            shutil.copyfileobj(source, file, _CHUNK_BYTES)


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


def _is_wanted(name: str, suffixes: Collection[str]) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in suffixes and not hidden


def _without_common_folder(names: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    tops = {name.parts[0] for name in names}
    if len(tops) == 1 and all(len(name.parts) > 1 for name in names):
        return [PurePosixPath(*name.parts[1:]) for name in names]
    return list(names)
