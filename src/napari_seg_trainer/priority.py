"""How much of the computer a process asks for."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

NICENESS = 10


def yield_to_others() -> None:
    """Lower this process's priority, so that a viewer on the same machine stays fluid."""
    if sys.platform == "win32":
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        with suppress(OSError):
            os.nice(NICENESS)
        _yield_as_session()


def _yield_as_session() -> None:
    # Desktop Linux shares the processor between sessions first, and niceness counts within one only. A training leads
    # a session of its own, which has a niceness, too (sched(7), "The autogroup feature").
    if sys.platform == "linux" and os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(NICENESS))
