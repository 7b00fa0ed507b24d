"""What the benchmarks share: running both sides in processes of their own, and telling about the machine."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.api import make_job, wait_for
from napari_seg_trainer.evaluation.scores import Scores, score_image
from napari_seg_trainer.runs.checkpoint import epoch_folder
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import EpochEnded, Evaluated, Started

HERE = Path(__file__).parent
CELLPOSE3 = "cellpose==3.1.1.3"
_PACKAGES = ("stardist", "tensorflow", "cellpose", "torch", "numpy")


def machine() -> dict[str, Any]:
    """Describe the machine, the day and the versions."""
    return {
        "date": str(date.today()),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: found for package in _PACKAGES if (found := _version(package))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def train_ours(
    home: Path, name: str, engine: str = "stardist", kept: Path | None = None, **fields: Any
) -> tuple[Run, dict[str, float]]:
    """Train with this project, in the process that a user's training runs in.

    Parameters
    ----------
    home : Path
        Of the run and of the library.
    name, engine : str
    kept : Path, optional
        Folder for the weights of all epochs, each in a folder that is called after the seconds since the first step.
    fields
        Of the job.

    Returns
    -------
    Run, dict
        ``train_seconds``: from the first step to the last epoch's end, as `StarDist2D.train` is timed.
        ``total_seconds``: from the command to the model in the library.
    """
    os.environ["NAPARI_SEG_TRAINER_HOME"] = str(home)
    began = time.perf_counter()
    run = launch(make_job(name=name, engine=engine, **fields))
    if kept is not None:
        keep_epochs(run, kept)
    wait_for(run)
    total = time.perf_counter() - began
    events = run.events()
    started = next(event for event in events if isinstance(event, Started))
    last = [event for event in events if isinstance(event, EpochEnded)][-1]
    return run, {"train_seconds": (last.time - started.time).total_seconds(), "total_seconds": total}


def keep_epochs(run: Run, folder: Path) -> None:
    """Copy the weights of each epoch while a training runs: only those of the best and the last one stay."""
    began = None
    for event in run.follow():
        if isinstance(event, Started):
            began = event.time
        if isinstance(event, EpochEnded) and began is not None:
            target = folder / f"{(event.time - began).total_seconds():09.2f}"
            with suppress(OSError):  # the next epoch has ended already
                shutil.copytree(epoch_folder(run, event.epoch), target)


def first_that_has(wanted: float, kept: Path, score: Callable[[Path], float]) -> float | None:
    """Return after how many seconds the kept weights first score as well as wanted; None where none do."""
    for path in sorted(kept.iterdir()):
        if score(path) >= wanted:
            return float(path.name.split(".weights")[0])
    return None


def steps_of(run: Run) -> int:
    """Return how many steps an epoch of a run has."""
    return next(event.steps_per_epoch for event in run.events() if isinstance(event, Started))


def validation_scores(run: Run) -> dict[str, float]:
    """Return the scores on the validation images."""
    return next(event.scores for event in run.events() if isinstance(event, Evaluated))


def cellpose3(python: Path | None) -> Path:
    """Return the Python of an environment with cellpose 3, which is made beside the project unless one is given."""
    folder = HERE.parent / ".venv-cellpose3"
    found = python or folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not found.exists():
        sys.stderr.write(f"Making an environment with {CELLPOSE3} in {folder}; this takes minutes, once.\n")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(found), "-m", "pip", "install", "--quiet", CELLPOSE3], check=True)
    return found


def plain_cellpose(python: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Train, or only predict, with plain cellpose 3 by `plain_cellpose.py`; its last line is the result."""
    command = [str(python), str(HERE / "plain_cellpose.py"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def scores_of(folder: Path, truth: Path) -> dict[str, float]:
    """Return AP, pooled over all images of an annotation folder, of the label files that lie in another folder."""
    scores = [
        score_image(pair.stem, pair.read().labels, np.load(folder / f"{pair.stem}.npy").astype(np.int32))
        for pair in AnnotationFolder.open(truth)
    ]
    return {name: value for name, value in Scores.of(scores).pooled.items() if name in ("ap50", "ap70", "ap90")}


def train_plain(arguments: Sequence[str]) -> dict[str, Any]:
    """Train plain StarDist with `plain_stardist.py`; its last line is the result."""
    command = [sys.executable, str(HERE / "plain_stardist.py"), *arguments]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"total_seconds": time.perf_counter() - began}
