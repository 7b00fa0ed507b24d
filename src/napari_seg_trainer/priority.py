"""How much of the computer a process asks for."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

NICENESS_VARIABLE = "NAPARI_SEG_TRAINER_NICENESS"
NICENESS = 10
VARIABLES: Mapping[str, str] = {"GOMP_SPINCOUNT": "2000"}
"""Variables of processes that compute, where the user has not set them.

Threads of OpenMP that wait for others do so asleep after a moment. By themselves they stay awake for long, and take the
processor from the very one that they wait for wherever another program computes as well: beside two busy processes on
two cores a step takes eight times as long then, and is no faster on idle ones. See GOMP_SPINCOUNT in the manual of
GCC's libgomp.
"""


def niceness() -> int:
    """By how much trainings and predictions step back: ``NAPARI_SEG_TRAINER_NICENESS``, from 0 to 19, or 10."""
    chosen = os.environ.get(NICENESS_VARIABLE, "")
    return min(int(chosen), 19) if chosen.isdecimal() else NICENESS


def environment() -> dict[str, str]:
    """Return this process's environment with `VARIABLES`, for a new process."""
    return {**VARIABLES, **os.environ}


def set_variables() -> None:
    """Have `VARIABLES` in this process, before it imports a framework."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)


def yield_to_others() -> None:
    """Lower this process's priority, so that a viewer on the same machine stays fluid."""
    step = niceness()
    if step == 0:
        return
    if sys.platform == "win32":
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        with suppress(OSError):
            os.nice(step)
        _yield_as_session(step)


def _yield_as_session(step: int) -> None:
    # Desktop Linux shares the processor between sessions first, and niceness counts within one only. A training leads
    # a session of its own, which has a niceness, too (sched(7), "The autogroup feature").
    if sys.platform == "linux" and os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(step))
