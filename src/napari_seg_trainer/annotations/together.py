"""Several files that appear together or not at all, also where the process is killed in between.

They are written into a hidden folder. Once that is renamed it is certain that they are to come; whoever opens the
folder next does what a killed process has left undone.
"""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from napari_seg_trainer.files import is_forgotten, owner_mark

PATIENCE_SECONDS = 60.0
"""A process of another computer is taken for dead after so long; moving a few files takes a moment."""

_WRITING, _SETTLED = ".new-", ".settled-"
_OLD = "old"


@contextmanager
def together(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Have files appear in `folder` together.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        Of the files, in the order in which they are moved; files of these names that are there are replaced.

    Yields
    ------
    Path
        A hidden folder to write them into.

    Raises
    ------
    OSError
        If one cannot be written or moved; all is then as it was before.
    """
    mark = f"{owner_mark()}-{uuid4().hex[:8]}"
    writing, settled = folder / f"{_WRITING}{mark}", folder / f"{_SETTLED}{mark}"
    try:
        writing.mkdir()
        yield writing
        (writing / _OLD).mkdir()
        writing.rename(settled)
        try:
            _set_aside(folder, settled, names)
            _place(folder, settled, names)
        except BaseException:
            if settled.is_dir():  # else somebody has taken this process for dead, and has finished
                _undo(folder, settled, names)
                raise
    finally:
        for path in (writing, settled):
            shutil.rmtree(path, ignore_errors=True)


def finish_interrupted(folder: Path, entries: Sequence[str]) -> bool:
    """Do what a process was about to do in `folder` when it was killed; return whether anything was to be done.

    Parameters
    ----------
    folder : Path
    entries : sequence of str
        The names of what is in it.
    """
    left = [folder / name for name in entries if name.startswith((_WRITING, _SETTLED))]
    dead = [path for path in left if not _is_at_work(path)]
    for path in dead:
        with suppress(OSError):  # somebody else does the same, or the folder is protected
            if path.name.startswith(_SETTLED):
                _place(folder, path, [name for name in os.listdir(path) if name != _OLD])
            shutil.rmtree(path, ignore_errors=True)
    return bool(dead)


def _set_aside(folder: Path, settled: Path, names: Sequence[str]) -> None:
    for name in reversed(names):
        if os.path.lexists(folder / name):
            os.replace(folder / name, settled / _OLD / name)


def _place(folder: Path, settled: Path, names: Sequence[str]) -> None:
    for name in names:
        if os.path.lexists(settled / name):
            os.replace(settled / name, folder / name)


def _undo(folder: Path, settled: Path, names: Sequence[str]) -> None:
    for name in reversed(names):
        if not os.path.lexists(settled / name):
            (folder / name).unlink(missing_ok=True)
    for name in names:
        if os.path.lexists(settled / _OLD / name):
            os.replace(settled / _OLD / name, folder / name)


def _is_at_work(path: Path) -> bool:
    """Return whether the process that made a hidden folder may still be moving its files."""
    try:
        _, host, pid, _ = path.name.split("-")
        if is_forgotten(f"{host}-{pid}"):
            return False
        return time.time() - path.stat().st_mtime < PATIENCE_SECONDS
    except (OSError, ValueError):
        return True
