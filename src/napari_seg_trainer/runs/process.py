"""Which process trains a run, and which process it was before."""

import socket
import time
from typing import Self

import psutil

from napari_seg_trainer.schema._base import FrozenModel


class ProcessInfo(FrozenModel):
    """A process, told apart from a later one with the same number by when it began.

    Attributes
    ----------
    pid : int
    created : float
        When it began, in seconds of the epoch.
    host : str
        The computer that it runs on.
    events_from : int
        The byte of ``events.jsonl`` at which its events begin; what stands before is of earlier attempts.
    """

    pid: int
    created: float
    host: str
    events_from: int = 0

    @classmethod
    def of(cls, pid: int, events_from: int = 0) -> Self:
        """Describe a process of this machine; one that is over already counts as begun now, and is not alive."""
        try:
            created = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            created = time.time()
        return cls(pid=pid, created=created, host=socket.gethostname(), events_from=events_from)

    @property
    def is_local(self) -> bool:
        """Whether it runs on this computer."""
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether it still runs; a process of another machine is taken to."""
        return not self.is_local or self.find() is not None

    def find(self) -> psutil.Process | None:
        """Return the process, where it still runs on this computer."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 1.0
            return process if self.is_local and same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None
