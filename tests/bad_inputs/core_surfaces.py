"""The data check and a training, as a user meets them."""

import contextlib
import io
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot  # noqa: F401 - imported here, each case need not
import skimage.measure  # noqa: F401
import tifffile  # noqa: F401

from bad_inputs.case import Case
from napari_seg_trainer.api import make_job
from napari_seg_trainer.cli.app import main
from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.paths import HOME_VARIABLE
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Failed
from testkit import drawing


def check_and_train(case: Case, root: Path) -> dict[str, Any]:
    """What both tell of a bad input."""
    os.environ[HOME_VARIABLE] = str(root / "home")
    folder = case.make(root)
    # only names can make a difference between what people and programs are told, and what is drawn
    if case.part in {"folder", "sidecar"}:
        return check(folder, "--json") | check(folder) | train(folder, root)
    with drawing.left_out():
        return check(folder, "--json") | train(folder, root)


def warm_up(root: Path) -> None:
    """Do once what is slow the first time."""
    check_and_train(Case("good", lambda path: None), root)


def check(folder: Path, *options: str) -> dict[str, Any]:
    """What the command says, to people or to programs."""
    status, out, err = _command("check", str(folder), *options)
    if not options:
        return {"status of the table": status, "table": out, "errors of the table": err}
    return {"status": status, "findings": json.loads(out)["findings"] if out else [], "errors": err}


def train(folder: Path, root: Path) -> dict[str, Any]:
    """How a training ends, and what it leaves behind."""
    logging.getLogger("napari_seg_trainer").propagate = False  # its tracebacks belong into a log
    noise = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        # the process of a training sends there, or rather to a log, what is printed from C
        os.dup2(nothing.fileno(), 2)
        told = _trained(folder)
    os.dup2(noise, 2)
    models = root / "home" / "models"
    return told | {"library": sorted(os.listdir(models)) if models.is_dir() else []}


def _trained(folder: Path) -> dict[str, Any]:
    try:
        run = Run.create(
            make_job(name="nuclei", engine="toy", data=(folder,), hyperparameters={"epochs": 1, "batch_size": 1})
        )
        last = train_run(run)
    except SegTrainerError as error:
        last = Failed(message=str(error))
    return {"ended": last.type, "message": last.message if isinstance(last, Failed) else ""}


def _command(*words: str) -> tuple[int, str, str]:
    sys.argv = ["napari-seg-trainer", *words]
    # strict as a terminal is: what cannot be encoded cannot be shown
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as leaving:
            status = int(leaving.code or 0)
    return status, *(stream.buffer.getvalue().decode() for stream in (out, err))
