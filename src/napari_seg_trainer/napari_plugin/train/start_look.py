"""Asks, in a process of its own, from which built-in model a training would start, and what a chosen one finds."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from napari_seg_trainer.engines.registry import engine_spec
from napari_seg_trainer.errors import JobError
from napari_seg_trainer.napari_plugin.parts.background import in_background, lent_thread
from napari_seg_trainer.priority import environment
from napari_seg_trainer.schema.job import TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard

PAUSE = 500
"""Milliseconds without a change after which is asked."""
PATIENCE = 300.0
"""Seconds that the look may take."""


@dataclass(frozen=True)
class Proposal:
    """What a training would start from.

    Attributes
    ----------
    reason : str
        Why, in one sentence; or why that is not known.
    card : ModelCard, optional
        Of the model; None for a start from scratch.
    found : float, optional
        Which part of the objects drawn in a few images it finds.
    inverted : bool
        Whether it finds them where the images' contrast is inverted.
    is_known : bool
        Whether that is known already.
    """

    reason: str
    card: ModelCard | None = None
    found: float | None = None
    inverted: bool = False
    is_known: bool = True


LOOKING = Proposal("Testing which starter model finds your objects…", is_known=False)


class StartLook(QWidget):
    """Asks anew where what it depends on has changed; emits ``found(proposal)``. It is never shown."""

    found = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.hide()
        self._key: dict[str, JsonValue] | None = None
        self._job: TrainingJob | None = None
        self._process: list[subprocess.Popen[str]] = []
        self._ask_soon = qdebounced(self._ask, PAUSE, parent=self)
        self.destroyed.connect(_Ender(self._process))

    def follow(self, job: TrainingJob | None, images: int = 0) -> None:
        """Ask for this job, soon, unless that was done with as many images; None for no question."""
        key = None if job is None else _key(job) | {"images": images}
        if key != self._key:
            self._key, self._job = key, job
            _end(self._process)
            if job is not None:
                self._ask_soon()
                self.found.emit(LOOKING)

    def _ask(self) -> None:
        job, key = self._job, self._key
        if job is None:
            return

        def done(proposal: Proposal) -> None:
            if key == self._key:
                self.found.emit(proposal)

        def failed(problem: str) -> None:
            done(Proposal(problem, is_known=False))

        in_background(self, lambda: look(job, self._process), done, failed)


class _Ender:
    """Ends the process when the widget is gone; refers to no widget."""

    def __init__(self, process: list[subprocess.Popen[str]]) -> None:
        self._process = process

    def __call__(self, _gone: object = None) -> None:
        _end(self._process)


def look(job: TrainingJob, running: list[subprocess.Popen[str]]) -> Proposal:
    """Return what a training would start from; the process is among those that are `running` as long as it lasts.

    Raises
    ------
    JobError
        If it does not answer.
    """
    command = [sys.executable, "-m", "napari_seg_trainer.runs.start"]
    how: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    how["env"] = environment()
    how["creationflags"] = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    try:
        with lent_thread(), subprocess.Popen(command, text=True, encoding="utf-8", **how) as process:
            running.append(process)
            try:
                told, _ = process.communicate(job.model_dump_json(), timeout=PATIENCE)
            finally:
                process.kill()
                running.remove(process)
        answer = json.loads(told.splitlines()[-1])
        card = answer.get("card")
        found, inverted = answer.get("found"), bool(answer.get("inverted"))
        return Proposal(answer["reason"], card and ModelCard.model_validate(card), found, inverted)
    except (subprocess.TimeoutExpired, OSError, ValueError, IndexError, KeyError) as error:
        raise JobError("The start model is chosen when the training begins.") from error


def _end(running: list[subprocess.Popen[str]]) -> None:
    for process in list(running):
        process.kill()


def _key(job: TrainingJob) -> dict[str, JsonValue]:
    """Return what the answer depends on."""
    images = {"data", "builtin", "validation_data", "channels", "pixel_size", "validation_split", "seed"}
    given = {name: job.hyperparameters.get(name) for name in (*engine_spec(job.engine).architecture, "inverted")}
    return job.model_dump(mode="json", include=images | {"engine", "pretrained"}) | given
