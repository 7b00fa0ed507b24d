"""What the benchmarks share: running both sides in processes of their own, and telling about the machine."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from napari_seg_trainer.api import make_job, wait_for
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import EpochEnded, Evaluated, Started

HERE = Path(__file__).parent


def machine() -> dict[str, Any]:
    """Describe the machine, the day and the versions."""
    return {
        "date": str(date.today()),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("stardist", "tensorflow", "numpy")},
    }


def train_ours(home: Path, name: str, **fields: Any) -> tuple[Run, dict[str, float]]:
    """Train with this project, in the process that a user's training runs in.

    Returns
    -------
    Run, dict
        ``train_seconds``: from the first step to the last epoch's end, as `StarDist2D.train` is timed.
        ``total_seconds``: from the command to the model in the library.
    """
    os.environ["NAPARI_SEG_TRAINER_HOME"] = str(home)
    began = time.perf_counter()
    run = launch(make_job(name=name, engine="stardist", **fields))
    wait_for(run)
    total = time.perf_counter() - began
    events = run.events()
    started = next(event for event in events if isinstance(event, Started))
    last = [event for event in events if isinstance(event, EpochEnded)][-1]
    return run, {"train_seconds": (last.time - started.time).total_seconds(), "total_seconds": total}


def steps_of(run: Run) -> int:
    """Return how many steps an epoch of a run has."""
    return next(event.steps_per_epoch for event in run.events() if isinstance(event, Started))


def validation_scores(run: Run) -> dict[str, float]:
    """Return the scores on the validation images."""
    return next(event.scores for event in run.events() if isinstance(event, Evaluated))


def train_plain(arguments: Sequence[str]) -> dict[str, Any]:
    """Train plain StarDist with `plain_stardist.py`; its last line is the result."""
    command = [sys.executable, str(HERE / "plain_stardist.py"), *arguments]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"total_seconds": time.perf_counter() - began}
