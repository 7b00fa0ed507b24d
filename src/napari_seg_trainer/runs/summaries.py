"""What the list of runs shows, read from the disk."""

import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.engines.registry import engine_specs
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.runs.checkpoint import read_state
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run, RunState, list_runs
from napari_seg_trainer.schema.events import EpochEnded, Progress, Started, Stopped

REFRESH_SECONDS = 2.0
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class RunSummary:
    """What the list shows of a run.

    Attributes
    ----------
    run : Run
    model, engine : str
        The name of the model that it makes, and the engine's title.
    state : RunState
    done, epochs : int
        How many epochs are over, of how many; 0 as long as it is not known.
    began : datetime
        In local time.
    """

    run: Run
    model: str
    engine: str
    state: RunState
    done: int
    epochs: int
    began: datetime

    @property
    def text(self) -> str:
        """Two lines for the list."""
        progress = f"{self.done} of {self.epochs} epochs" if self.epochs else f"{self.done} epochs"
        return f"{self.model} · {_day(self.began)} {self.began:%H:%M}\n{self.engine} · {self.state} · {progress}"


def summarize(run: Run, specs: Mapping[str, EngineSpec]) -> RunSummary:
    """Read what the list shows of a run.

    Parameters
    ----------
    run : Run
    specs : mapping of str to EngineSpec
        Of the engines, by id.

    Raises
    ------
    OSError
        If the run has just been deleted.
    """
    began = datetime.fromtimestamp((run.folder / "job.json").stat().st_mtime)
    try:
        job, state = run.job, read_state(run)
        used = job.hyperparameters if state is None else job.hyperparameters | state.hyperparameters
        asked = used.get("epochs")
        if state is None and asked is None:
            asked = next((event.epochs for event in run.events() if isinstance(event, Started)), None)
    except RunError:
        return RunSummary(run, run.id, "cannot be read", run.state(), 0, 0, began)
    spec = specs.get(job.engine)
    epochs = asked if isinstance(asked, int) else 0
    done = 0 if state is None else state.last.epoch
    return RunSummary(run, job.name, spec.title if spec else job.engine, run.state(), done, epochs, began)


def how_stopped(event: Stopped) -> str:
    """Return why a training was stopped, as a sentence."""
    if event.reason.startswith(("stopped", "cancelled")):
        return f"{event.reason[0].upper()}{event.reason[1:]}."
    return f"Stopped: {event.reason}."


def active_run() -> Run | None:
    """Return the newest run that is starting or running."""
    return next((run for run in list_runs() if run.state() in ACTIVE_STATES), None)


@dataclass(frozen=True)
class ActiveTraining:
    """The newest training that has not ended.

    Attributes
    ----------
    summary : RunSummary
    end : float, optional
        When it is expected to end, in seconds since 1970; None where that is not known.
    """

    summary: RunSummary
    end: float | None = None


def watch_active(leave: threading.Event) -> Generator[ActiveTraining | None, None, None]:
    """Yield the newest training that is active, or None, every now and then."""
    summary, told, again = None, None, 0.0
    for summaries in watch_runs(leave):
        if summaries is not None:
            summary = next((one for one in summaries if one.state in ACTIVE_STATES), None)
        if summary is None:
            told = None
        elif summaries is not None or time.monotonic() >= again:
            told, again = ActiveTraining(summary, _end_of(summary.run)), time.monotonic() + REFRESH_SECONDS
        yield told


def _end_of(run: Run) -> float | None:
    try:
        last = run.last_event()
    except RunError:
        return None
    if isinstance(last, EpochEnded | Progress) and last.seconds_left is not None:
        return last.time.timestamp() + last.seconds_left
    return None


def watch_runs(leave: threading.Event) -> Generator[list[RunSummary] | None, None, None]:
    """Yield all runs, the newest first, whenever something about them has changed, else None now and then."""
    specs = engine_specs()
    told: list[RunSummary] | None = None
    known: dict[Run, _Known] = {}
    while not leave.is_set():
        runs = list_runs()
        known = {run: known[run] for run in runs if run in known}
        for run in runs:
            _look(run, known, specs)
            if leave.is_set():
                return
        now = [known[run].summary for run in runs if run in known]
        yield None if now == told else now
        told = now
        again = time.monotonic() + REFRESH_SECONDS
        while time.monotonic() < again and not leave.wait(POLL_SECONDS):
            yield None


@dataclass(frozen=True)
class _Known:
    """When a run's files were last changed, and what was read then."""

    stamp: tuple[float, ...]
    summary: RunSummary


def _look(run: Run, known: dict[Run, _Known], specs: Mapping[str, EngineSpec]) -> None:
    """Read a run anew where it may have changed."""
    try:
        stamp = tuple(_changed(run.folder / name) for name in ("events.jsonl", "process.json", "job.json"))
        before = known.get(run)
        # an active run's process may have died without a word
        if before is None or before.stamp != stamp or before.summary.state in ACTIVE_STATES:
            known[run] = _Known(stamp, summarize(run, specs))
    except OSError:  # somebody has just deleted it
        known.pop(run, None)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _day(time: datetime) -> str:
    days = (datetime.now().date() - time.date()).days
    return {0: "today", 1: "yesterday"}.get(days, f"{time:%Y-%m-%d}")
