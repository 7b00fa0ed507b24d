"""Whether a training lives: a lock on the run's folder, and a heartbeat.

The system lets go of a lock when its holder dies, whatever the clock says by then. Where locks do not reach, such as
from another computer or on disks without them, a file helps that is touched every few seconds.
"""

import errno
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from napari_seg_trainer.files import read_bytes
from napari_seg_trainer.runs.process import ProcessInfo

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE, HEART_FILE, PROCESS_FILE = "alive.lock", "heartbeat", "process.json"
BEAT_SECONDS = 5.0
"""How often the heart beats."""
DEAD_SECONDS = 120.0
"""Without a beat for so long, a training has ended."""
_LOOKS, _LOOK_SECONDS = 100, 0.05
"""How often a training tries to take the lock, which whoever looks at it may hold for a moment."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class TakenError(Exception):
    """Another process holds the lock."""


class Life:
    """What a training does to be seen alive, as long as its context lasts.

    Parameters
    ----------
    folder : Path
        Of the run.

    Attributes
    ----------
    locks : bool
        Whether the disk has locks.
    is_replaced : bool
        Whether the run has been given to another process meanwhile, such as on another computer, which took this one
        for dead while it slept. Then nothing may be written any more.

    Raises
    ------
    TakenError
        If another process trains the run; raised as the context is entered.
    OSError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._over = threading.Event()
        self._own = ProcessInfo.of(os.getpid())
        self.locks = self.is_replaced = False

    def __enter__(self) -> Self:
        """Take the lock, and begin to beat."""
        self._file = os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._let_go)  # a child that outlives the training holds no lock
        try:
            self.locks = _take(self._file)
            (self._folder / HEART_FILE).touch()
        except BaseException:
            self._let_go()
            raise
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        self._over.set()
        self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with suppress(OSError):  # the folder may be gone, or out of reach for a while
                now = read_process(self._folder)
                self.is_replaced = now is not None and not now.is_same(self._own)
                if not self.is_replaced:
                    os.utime(self._folder / HEART_FILE)


def read_process(folder: Path) -> ProcessInfo | None:
    """Return the process that a run's folder names, if one has begun."""
    try:
        return ProcessInfo.model_validate_json(read_bytes(folder / PROCESS_FILE))
    except (OSError, ValidationError):
        return None


def is_held(folder: Path) -> bool | None:
    """Return whether a living process holds the lock of a run's folder; None where that is unknown."""
    try:
        file = os.open(folder / LOCK_FILE, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:  # another user's
        return None
    try:
        return _is_taken(file)
    finally:
        os.close(file)


def beats(folder: Path) -> bool:
    """Return whether a run's heart has beaten lately.

    Its last beat is compared with a file that is made in the same folder now: both have the time of one clock, that of
    the computer whose disk it is.
    """
    try:
        last = (folder / HEART_FILE).stat().st_mtime
        return _now(folder) - last < DEAD_SECONDS
    except OSError:
        return False


def _now(folder: Path) -> float:
    try:
        handle, name = mkstemp(dir=folder, prefix=".now-")
    except OSError:  # not ours to write
        return time.time()
    try:
        os.utime(name)
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        with suppress(OSError):
            os.unlink(name)


if sys.platform == "win32":

    def _take(file: int) -> bool:
        for _ in range(_LOOKS):
            with suppress(OSError):
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
                return True
            time.sleep(_LOOK_SECONDS)
        raise TakenError

    def _is_taken(file: int) -> bool | None:
        for _ in range(3):  # somebody else may be looking at this moment
            with suppress(OSError):
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
                os.lseek(file, 0, os.SEEK_SET)
                msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
                return False
            time.sleep(_LOOK_SECONDS / 5)
        return True

else:

    def _take(file: int) -> bool:
        """Take the lock for good; return whether there are locks."""
        for _ in range(_LOOKS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOOK_SECONDS)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    return False
                raise
            else:
                return True
        raise TakenError

    def _is_taken(file: int) -> bool | None:
        """Return whether somebody holds it; those who only look share it, and are not in each other's way."""
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return None
            raise
        return False
