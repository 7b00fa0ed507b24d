"""Which process trains a run, and which process it was before."""

import socket
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Self

import machineid
import psutil

from napari_seg_trainer.schema._base import FrozenModel

_BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 19
"""Of ``/proc/PID/stat``, behind the name: when it began, in ticks since the computer did (proc(5))."""


class ProcessInfo(FrozenModel):
    """A process, distinguished from a later one with the same number by when it began.

    Attributes
    ----------
    pid : int
    created : float
        When it began, in seconds of the epoch.
    host : str
        Name of the computer that it runs on, for people.
    events_from : int
        The byte of ``events.jsonl`` at which its events begin; what stands before is of earlier attempts.
    machine, boot : str
        That computer, whatever it is called, and since when it has been running, on Linux; empty where that is unknown.
    ticks : int, optional
        When the process began, by a clock that nobody sets; on Linux.
    locks : bool, optional
        Whether it holds the lock of the run's folder as long as it lives; None where it has not come so far.
    """

    pid: int
    created: float
    host: str
    events_from: int = 0
    machine: str = ""
    boot: str = ""
    ticks: int | None = None
    locks: bool | None = None

    @classmethod
    def of(cls, pid: int, events_from: int = 0, locks: bool | None = None) -> Self:
        """Describe a process of this machine; one that is over already counts as begun now, and is not alive."""
        try:
            created = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            created = time.time()
        return cls(
            pid=pid,
            created=created,
            host=socket.gethostname(),
            events_from=events_from,
            machine=this_machine(),
            boot=this_boot(),
            ticks=_ticks(pid),
            locks=locks,
        )

    @property
    def is_local(self) -> bool:
        """Whether it runs on this computer, and that was not started anew meanwhile."""
        if not self.machine:  # written by an earlier version, or without an id
            return self.host == socket.gethostname()
        return (self.machine, self.boot) == (this_machine(), this_boot())

    def is_same(self, other: "ProcessInfo") -> bool:
        """Whether both describe one process."""
        return (self.pid, self.machine, self.boot, self.ticks) == (other.pid, other.machine, other.boot, other.ticks)

    @property
    def age(self) -> tuple[float, int]:
        """What orders the processes of this computer by when they began."""
        return float(self.created if self.ticks is None else self.ticks), self.pid

    def find(self) -> psutil.Process | None:
        """Return the process, where it still runs on this computer."""
        if not self.is_local:
            return None
        try:
            process = psutil.Process(self.pid)
            ticks = _ticks(self.pid)
            # the time of the epoch at which it began changes when the clock is set
            same = abs(process.create_time() - self.created) < 1.0 if self.ticks is None else ticks == self.ticks
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@cache
def this_machine() -> str:
    """Return what identifies this computer, whatever it is called; empty where it has nothing like that."""
    with suppress(machineid.MachineIdNotFound, OSError):
        return str(machineid.hashed_id("napari-seg-trainer"))
    return ""


@cache
def this_boot() -> str:
    """Return what distinguishes this computer from itself before its last start; empty but on Linux."""
    with suppress(OSError):
        return _BOOT_FILE.read_text(encoding="ascii").strip()
    return ""


def _ticks(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    with suppress(OSError, ValueError, IndexError):
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(told.rpartition(")")[2].split()[_START_FIELD])
    return None
