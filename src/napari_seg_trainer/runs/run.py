"""A run is a folder.

======================  ==================================================================
``job.json``            what was asked for (`TrainingJob`)
``process.json``        which process trains, on which machine
``split.json``          which images teach and which validate
``events.jsonl``        what happened, one event a line (`napari_seg_trainer.schema.events`)
``checkpoint/``         ``state.json`` and the folders of the last and the best epoch
``stop``                exists once somebody asked the training to stop
``log.txt``             what the frameworks print, and tracebacks
``model/``              the model until it has moved into the library
======================  ==================================================================

::

    starting ──> running ──> finished
                    │ ├────> stopped
                    │ └────> failed
                    └──────> interrupted  (no last word, and the process is gone)
"""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

import psutil
from pydantic import ValidationError

from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.files import write_text
from napari_seg_trainer.paths import runs_folder
from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.events import TERMINAL_EVENTS, Event, Failed, Finished, Stopped, parse_event
from napari_seg_trainer.schema.job import TrainingJob

START_SECONDS = 60.0
"""A run without a process for longer than this did not start."""


class RunState(StrEnum):
    """Where a run stands."""

    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


TAIL_BYTES = 64 * 1024
"""More than the longest event."""

ACTIVE_STATES = (RunState.STARTING, RunState.RUNNING)
_LAST_STATES = {Finished: RunState.FINISHED, Stopped: RunState.STOPPED, Failed: RunState.FAILED}


class ProcessInfo(FrozenModel):
    """A process, told apart from a later one with the same number by when it began."""

    pid: int
    created: float
    host: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Describe a process of this machine."""
        return cls(pid=pid, created=psutil.Process(pid).create_time(), host=socket.gethostname())

    def is_alive(self) -> bool:
        """Whether it still runs; a process of another machine is taken to."""
        if self.host != socket.gethostname():
            return True
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Run:
    """One training, as its folder tells it."""

    folder: Path

    @classmethod
    def create(cls, job: TrainingJob, folder: Path | None = None) -> Self:
        """Make a run's folder with its job.

        Parameters
        ----------
        job : TrainingJob
        folder : Path, optional
            The folder of all runs; the user's by default.

        Raises
        ------
        RunError
            If the folder cannot be made.
        """
        base = (folder or runs_folder()) / f"{job.name}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
        for attempt in range(100):
            path = base if attempt == 0 else base.with_name(f"{base.name}-{attempt + 1}")
            try:
                path.mkdir(parents=True)
                write_text(path / "job.json", job.model_dump_json(indent=2))
            except FileExistsError:
                continue
            except OSError as error:
                raise RunError(
                    f"The run's folder {str(path)!r} cannot be written: {error.strerror}. "
                    "Free some space, or set NAPARI_SEG_TRAINER_HOME to another folder."
                ) from error
            return cls(path)
        raise RunError(f"The folder {str(base.parent)!r} holds too many runs named {base.name!r}. Delete some.")

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def job(self) -> TrainingJob:
        """What was asked for.

        Raises
        ------
        RunError
            If ``job.json`` is missing or broken.
        """
        path = self.folder / "job.json"
        try:
            return TrainingJob.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise RunError(f"Run {self.id!r} cannot be read: {str(path)!r} is missing or broken.") from error

    def makes(self, model: str) -> bool:
        """Whether its job names this model; not so for a run whose job cannot be read."""
        try:
            return self.job.name == model
        except RunError:
            return False

    @property
    def split(self) -> Split:
        """Which images teach and which validate; there once the data is prepared.

        Raises
        ------
        RunError
            If ``split.json`` is missing or broken.
        """
        path = self.folder / "split.json"
        try:
            return Split.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise RunError(f"Run {self.id!r} has no split yet: {str(path)!r} is missing or broken.") from error

    @property
    def events_file(self) -> Path:
        """Where the events are."""
        return self.folder / "events.jsonl"

    @property
    def checkpoint_folder(self) -> Path:
        """Where the weights of the last and the best epoch are."""
        return self.folder / "checkpoint"

    def append(self, event: Event) -> None:
        """Write an event; called by the training process only."""
        with self.events_file.open("a", encoding="utf-8") as file:
            file.write(event.model_dump_json() + "\n")

    def read_events(self, offset: int = 0) -> tuple[list[Event], int]:
        """Return the whole events from byte `offset` on, and the offset to read on from."""
        try:
            with self.events_file.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return [], offset
        whole = data[: data.rfind(b"\n") + 1]
        return [event for event in map(_parse, whole.splitlines()) if event is not None], offset + len(whole)

    def events(self) -> list[Event]:
        """Return all events so far."""
        return self.read_events()[0]

    def last_event(self) -> Event | None:
        """Return the last event so far; reads the end of the file only, as this is asked for often."""
        try:
            size = self.events_file.stat().st_size
        except FileNotFoundError:
            return None
        events, _ = self.read_events(max(0, size - TAIL_BYTES))
        return events[-1] if events else None

    def state(self) -> RunState:
        """Return where the run stands."""
        last = self.last_event()
        if isinstance(last, TERMINAL_EVENTS):
            return _LAST_STATES[type(last)]
        process = self.process()
        if process is None:
            fresh = time.time() - self.folder.stat().st_mtime < START_SECONDS
            return RunState.STARTING if fresh else RunState.INTERRUPTED
        if not process.is_alive():
            return RunState.INTERRUPTED
        return RunState.STARTING if last is None else RunState.RUNNING

    def process(self) -> ProcessInfo | None:
        """Return the process that trains, if one has begun."""
        try:
            return ProcessInfo.model_validate_json((self.folder / "process.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def claim(self, pid: int | None = None) -> None:
        """Write down which process trains; this one by default."""
        info = ProcessInfo.of(os.getpid() if pid is None else pid)
        write_text(self.folder / "process.json", info.model_dump_json())

    def request_stop(self) -> None:
        """Ask the training to stop and keep its best epoch."""
        (self.folder / "stop").touch()

    def stop_requested(self) -> bool:
        """Whether somebody asked the training to stop."""
        return (self.folder / "stop").exists()

    def follow(self, poll: float = 0.2) -> Iterator[Event | None]:
        """Yield all events, then the new ones as they come, to the last; None at each `poll` (seconds) without news.

        Ends after a terminal event, or when the run is interrupted.
        """
        offset = 0
        while True:
            # the state is asked for before the events: what ended the run is then among them
            active = self.state() in ACTIVE_STATES
            events, offset = self.read_events(offset)
            yield from events
            if not active:
                return
            if not events:
                yield None
                time.sleep(poll)


def _parse(line: bytes) -> Event | None:
    try:
        return parse_event(line)
    except ValidationError:  # half a line, left by a process that was killed and went on later
        return None


def list_runs(folder: Path | None = None) -> list[Run]:
    """Return all runs, the newest first."""
    base = folder or runs_folder()
    if not base.is_dir():
        return []
    found = [path for path in base.iterdir() if (path / "job.json").is_file()]
    return [Run(path) for path in sorted(found, key=lambda path: (path / "job.json").stat().st_mtime, reverse=True)]


def find_run(text: str, folder: Path | None = None) -> Run:
    """Return the run with this id, folder, or model name (the newest of that name).

    Raises
    ------
    RunError
        If there is none.
    """
    if os.path.isfile(Path(text) / "job.json"):  # pathlib's own raises for a text that is too long for a path
        return Run(Path(text).absolute())
    runs = list_runs(folder)
    found = next((run for run in runs if run.id == text), None) or next((run for run in runs if run.makes(text)), None)
    if found is not None:
        return found
    raise RunError(f"There is no run {text!r}. 'napari-seg-trainer runs' lists them.")
