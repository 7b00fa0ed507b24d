"""One training at a time on a computer: a later one waits for those that began before it."""

import os
import time

import psutil

from napari_seg_trainer.runs.context import RunReporter
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run, list_runs

POLL_SECONDS = 0.5
_DEVICES = "CUDA_VISIBLE_DEVICES"


def wait_for_turn(run: Run, context: RunReporter) -> bool:
    """Wait until no training that began earlier uses the same devices; called by the training process.

    A training that was given other GPUs with ``CUDA_VISIBLE_DEVICES`` is not waited for.

    Returns
    -------
    bool
        Whether the user wants the run to stop, so that it waits no longer.
    """
    named = ""
    while (other := _earlier(run)) is not None:
        if other.id != named:
            named = other.id
            context.log(f"Run {other.id!r} is running on this computer. This run starts when it ends.")
            context.progress(f"waiting for {other.id}", 0, 1)
        if context.obey():
            return True
        time.sleep(POLL_SECONDS)
    return False


def _earlier(run: Run) -> Run | None:
    """Return a run that has been training for longer on this computer and these devices."""
    own = run.process()
    for other in list_runs(run.folder.parent):
        process = other.process()
        if own is None or process is None or not process.is_local:
            continue
        if process.age < own.age and other.state() in ACTIVE_STATES:
            found = process.find()
            if found is not None and _devices(found) == os.environ.get(_DEVICES):
                return other
    return None


def _devices(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(_DEVICES)
    except psutil.Error:  # another user's, or just gone
        return os.environ.get(_DEVICES)
