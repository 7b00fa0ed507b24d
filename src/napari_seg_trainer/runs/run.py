"""A run is a folder.

=======================  ==================================================================
``job.json``             what was asked for (`TrainingJob`)
``process.json``         which process trains, on which machine, and where its events begin
``alive.lock``           locked by that process as long as it lives; ``heartbeat`` is touched every few seconds
``split.json``           which images are for training and which for validation
``baseline.json``        the scores of the baseline on the validation images
``learning_curve.json``  how well models of a half and a quarter of the images do
``events.jsonl``         what happened, one event a line (`napari_seg_trainer.schema.events`)
``checkpoint/``          ``state.json`` and the folders of the last and the best epoch
``previews/``            a few images that validate, and what is found in them after some epochs
``stop``                 exists once somebody asked the training to stop: ``keep`` or ``discard``
``log.txt``              what the frameworks print, and tracebacks
``model/``               the model until it has moved into the library
=======================  ==================================================================

::

    starting ──> running ──> finished
                    │ ├────> stopped
                    │ └────> failed
                    └──────> interrupted  (no last word, and the process is gone)

    stopped, failed, interrupted ──> starting  (resumed, with a process of its own)

What one process writes is an attempt. A terminal event is written once in an attempt and is its last; a run that is
resumed begins another attempt behind it. How the run stands is reported by the latest attempt alone.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError

from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.files import read_bytes, write_text
from napari_seg_trainer.library.problems import disk_problem, explained
from napari_seg_trainer.paths import runs_folder
from napari_seg_trainer.runs import event_file
from napari_seg_trainer.runs.life import PROCESS_FILE, Life, beats, is_held, read_process
from napari_seg_trainer.runs.process import ProcessInfo
from napari_seg_trainer.schema.events import TERMINAL_EVENTS, Event, Failed, Finished, Progress, Stopped
from napari_seg_trainer.schema.job import TrainingJob

START_SECONDS = 60.0
"""A run without a process for longer than this did not start."""
KEEP: Literal["keep"] = "keep"
DISCARD: Literal["discard"] = "discard"


class RunState(StrEnum):
    """Where a run stands."""

    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


ACTIVE_STATES = (RunState.STARTING, RunState.RUNNING)
_LAST_STATES = {Finished: RunState.FINISHED, Stopped: RunState.STOPPED, Failed: RunState.FAILED}


@dataclass(frozen=True)
class Run:
    """One training, as recorded in its folder."""

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
                raise RunError(disk_problem(error, path)) from error
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
            return TrainingJob.model_validate_json(read_bytes(path))
        except (OSError, ValidationError) as error:
            raise RunError(f"Run {self.id!r} cannot be read: {str(path)!r} is missing or broken.") from error

    def keep(self, **settled: Any) -> None:
        """Write into the job what it left open and is fixed now: the same job then gives the same model.

        Parameters
        ----------
        **settled
            Of the job's fields; ``hyperparameters`` are added to those there are.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        path, job = self.folder / "job.json", self.job
        begun = path.stat()
        more = settled.pop("hyperparameters", {})
        job = job.replace(hyperparameters=job.hyperparameters | more, **settled)
        with explained(self.folder, RunError):
            write_text(path, job.model_dump_json(indent=2))
            os.utime(path, ns=(begun.st_atime_ns, begun.st_mtime_ns))  # it shows when the run began

    def makes(self, model: str) -> bool:
        """Whether its job names this model; not so for a run whose job cannot be read."""
        try:
            return self.job.name == model
        except RunError:
            return False

    @property
    def split(self) -> Split:
        """Which images are for training and which for validation; known once the data is prepared.

        Raises
        ------
        RunError
            If ``split.json`` is missing or broken.
        """
        path = self.folder / "split.json"
        try:
            return Split.model_validate_json(read_bytes(path))
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
        """Write an event; called by the training process, and for it by who ended it."""
        event_file.append_event(self.events_file, event)

    def read_events(self, offset: int = 0) -> tuple[list[Event], int]:
        """Return the whole events from byte `offset` on, and the offset to read on from."""
        with self._events_told():
            return event_file.read_events(self.events_file, offset)

    def events(self) -> list[Event]:
        """Return all events so far, of all attempts."""
        return self.read_events()[0]

    def attempt_begin(self) -> int:
        """Return the byte of the events at which the latest attempt begins."""
        process = self.process()
        return 0 if process is None else process.events_from

    def last_event(self) -> Event | None:
        """Return the last event of the latest attempt."""
        return self._last_event(self.attempt_begin())

    def _last_event(self, since: int) -> Event | None:
        with self._events_told():
            return event_file.last_event(self.events_file, since)

    @contextmanager
    def _events_told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"The events of run {self.id!r} cannot be read: {error.strerror} ('{self.events_file}'). Restore that "
                "file, or delete the run."
            ) from error

    def outcome(self) -> Finished | Stopped | Failed | None:
        """Return how the latest attempt ended; None while it lasts, or where it was interrupted."""
        last = self.last_event()
        return last if isinstance(last, TERMINAL_EVENTS) else None

    def state(self) -> RunState:
        """Return where the run stands."""
        process = self.process()
        alive = self.is_alive()  # asked first: what it wrote before it died is then read
        last = None
        with suppress(RunError):  # lists show it all the same
            last = self._last_event(0 if process is None else process.events_from)
        if isinstance(last, TERMINAL_EVENTS):
            return _LAST_STATES[type(last)]
        if not alive:
            fresh = process is None and abs(time.time() - modified(self.folder)) < START_SECONDS
            return RunState.STARTING if fresh else RunState.INTERRUPTED
        return RunState.STARTING if last is None else RunState.RUNNING

    def process(self) -> ProcessInfo | None:
        """Return the process that trains, if one has begun."""
        return read_process(self.folder)

    def is_alive(self) -> bool:
        """Whether a process trains it, as far as can be seen from here."""
        held, process = is_held(self.folder), self.process()
        if held or process is None:
            return bool(held)
        if process.is_local and process.locks and held is not None:
            return False
        if process.find() is not None:
            return True
        has_begun = not process.is_local or process.locks is not None
        return has_begun and beats(self.folder)  # another computer's locks may not reach here

    def is_doubtful(self) -> bool:
        """Whether it only seems to be trained, on another computer, as its heart has beaten lately."""
        process = self.process()
        return not is_held(self.folder) and process is not None and not process.is_local and self.is_alive()

    def is_lost(self) -> bool:
        """Whether it was given to another process meanwhile; asked by the one that trains."""
        return False

    def claim(self, pid: int | None = None, events_from: int | None = None, locks: bool | None = None) -> None:
        """Write down that an attempt begins.

        Parameters
        ----------
        pid : int, optional
            The process that trains; this one by default.
        events_from : int, optional
            The byte at which its events begin; the end of those there are by default.
        locks : bool, optional
            Whether that process holds the run's lock; None where it is not known yet.
        """
        begin = event_file.size(self.events_file) if events_from is None else events_from
        info = ProcessInfo.of(os.getpid() if pid is None else pid, begin, locks)
        write_text(self.folder / PROCESS_FILE, info.model_dump_json())

    def request_stop(self, keep: bool = True) -> None:
        """Ask the training to stop and keep its best epoch as a model, or else to make none.

        Raises
        ------
        RunError
            If the wish cannot be written down.
        """
        try:
            write_text(self.folder / "stop", KEEP if keep else DISCARD)
        except OSError as error:
            raise RunError(
                f"Run {self.id!r} cannot be asked to stop: {error.strerror} ({str(self.folder)!r}). Check the disk."
            ) from error

    def stop_requested(self) -> Literal["keep", "discard"] | None:
        """Return whether, and how, somebody asked the training to stop."""
        try:
            wish = read_bytes(self.folder / "stop")
        except OSError:  # not there, or being written at this moment
            return None
        return DISCARD if wish == DISCARD.encode() else KEEP

    def follow(self, poll: float = 0.2, offset: int = 0) -> Iterator[Event | None]:
        """Yield all events, then the new ones as they come, to the last; None at each `poll` (seconds) without news.

        Ends when the latest attempt does, with a terminal event or because it is interrupted; `outcome` returns which.
        Terminal events of earlier attempts may come before.

        Parameters
        ----------
        poll : float
            Seconds between two looks.
        offset : int
            The byte of the events to begin at, such as `attempt_begin`.
        """
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


class OwnRun(Run):
    """A run as the process that trains it has it: what it writes is kept in memory, and not read back.

    Progress is not: it comes many times an epoch.
    """

    def __init__(self, folder: Path, life: Life | None = None) -> None:
        super().__init__(folder)
        self._life = life
        self._events = [event for event in super().events() if not isinstance(event, Progress)]

    def append(self, event: Event) -> None:
        """Write an event, and keep it."""
        super().append(event)
        if not isinstance(event, Progress):
            self._events.append(event)

    def events(self) -> list[Event]:
        """Return all events so far, of all attempts, apart from progress."""
        return list(self._events)

    def is_lost(self) -> bool:
        """Whether it was given to another process meanwhile."""
        return self._life is not None and self._life.is_replaced


def modified(path: Path) -> float:
    """Return when a file or folder was changed, 0 where it is not there (any more)."""
    try:
        return path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return 0.0


def list_runs(folder: Path | None = None) -> list[Run]:
    """Return all runs, the newest first."""
    base = folder or runs_folder()
    if not base.is_dir():
        return []
    # a folder that begins with a dot is being deleted
    made = {path: modified(path / "job.json") for path in base.iterdir() if path.name[0] != "."}
    return [Run(path) for path in sorted(made, key=lambda path: made[path], reverse=True) if made[path]]


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
