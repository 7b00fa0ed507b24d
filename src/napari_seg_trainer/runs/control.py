"""What can be done with a run that was started: go on with it, keep what it has, end it without a model, delete it."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import psutil
from filelock import FileLock, Timeout

from napari_seg_trainer.engines.registry import engine_spec
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.runs.checkpoint import cancelled, read_state
from napari_seg_trainer.runs.launch import check_no_rival, start_process
from napari_seg_trainer.runs.life import DEAD_SECONDS
from napari_seg_trainer.runs.process import ProcessInfo
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run, RunState
from napari_seg_trainer.schema.events import Failed, Finished, Stopped

CANCEL_SECONDS = 5.0
"""How long a training may take to obey before its process is killed."""

_KILL_SECONDS = 10.0
_POLL_SECONDS = 0.05
_log = logging.getLogger(__name__)


def resume(run: Run, *, force: bool = False) -> None:
    """Start the training process again: it goes on after the last whole epoch, or from the start without one.

    When this returns the run is starting, or has come to its end, and `Run.follow` shows it to that.

    Parameters
    ----------
    run : Run
        One that was interrupted, stopped or cancelled, or failed.
    force : bool
        Whether to take one that seems to be trained on another computer for interrupted.

    Raises
    ------
    SegTrainerError
        If the run is active or finished, the library has a model of its name by now, another run makes one, its
        checkpoint is broken, or the process cannot be started.
    """
    with _alone(run):
        state = _state(run, force)
        if state in ACTIVE_STATES:
            raise RunError(f"Run {run.id!r} is {state} already: there is nothing to resume.{_doubt(run)}")
        if state == RunState.FINISHED:
            raise RunError(
                f"Run {run.id!r} is finished: there is nothing to resume. Start a new training from its model."
            )
        if not _tell_missing_end(run, state):
            _check(run)
            _go_on(run)


def keep(run: Run, *, force: bool = False) -> None:
    """Start the training process again to make a model of the best epoch so far, without training any further.

    When this returns the run is starting, or has come to its end, and `Run.follow` shows it to that.

    Parameters
    ----------
    run : Run
        One that has ended without a model, in whatever way, after an epoch at least.
    force : bool
        Whether to take one that seems to be trained on another computer for interrupted.

    Raises
    ------
    SegTrainerError
        If the run is active or finished, no epoch had ended, or `resume` would refuse.
    """
    with _alone(run):
        state = _state(run, force)
        if state in ACTIVE_STATES:
            raise RunError(f"Run {run.id!r} is {state}. Stop it instead, which keeps its best epoch.{_doubt(run)}")
        if state == RunState.FINISHED:
            raise RunError(f"Run {run.id!r} is finished: its best epoch is a model already.")
        if _tell_missing_end(run, state):
            return
        _check(run)
        kept = read_state(run)
        if kept is None or kept.best_epoch is None:
            raise RunError(f"Run {run.id!r} has no completed epoch to keep. Resume it, or start a new training.")
        _go_on(run, wants_model=True)


def _state(run: Run, force: bool) -> RunState:
    """Return how a run stands; one that only seems to be trained counts as interrupted, where the user says so."""
    return RunState.INTERRUPTED if force and run.is_doubtful() else run.state()


def _doubt(run: Run) -> str:
    """Return what can be done with a run that only seems to be trained; empty where that is sure."""
    process = run.process()
    if process is None or not run.is_doubtful():
        return ""
    return (
        f" It is being trained on the computer {process.host!r}, which last responded less than {DEAD_SECONDS:g} "
        "seconds ago. If that computer is off, wait that long, or add --force to the command. If it is still training, "
        "that training ends and loses what it has not saved."
    )


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Keep others from starting the run's process between this one's look at its state and the start.

    The system lets go of the lock when its holder dies.
    """
    lock = FileLock(run.folder / ".resume.lock")
    with explained(run.folder, RunError):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(f"Run {run.id!r} is being resumed already.") from error
        except NotImplementedError:
            _log.warning("'%s' is on a disk without file locks: resume it from only one computer at a time", run.folder)
    try:
        yield
    finally:
        lock.release()


def _tell_missing_end(run: Run, state: RunState) -> bool:
    """Write the last event of a run that was killed when its model was in the library but not reported yet."""
    model = ModelLibrary().find(run.job.name) if state == RunState.INTERRUPTED else None
    if model is None or model.card.run != run.id:
        return False
    with explained(run.folder, RunError):
        run.append(Finished(model=model.name, best_epoch=model.card.best_epoch or 0))
    return True


def _go_on(run: Run, *, wants_model: bool = False) -> None:
    with explained(run.folder, RunError):
        if wants_model:
            run.request_stop()
        else:
            (run.folder / "stop").unlink(missing_ok=True)
        start_process(run)


def _check(run: Run) -> None:
    """Find out what the training process would refuse."""
    job, library = run.job, ModelLibrary()
    engine_spec(job.engine)
    if job.name in library:
        raise RunError(
            f"Run {run.id!r} cannot continue: the library already has a model {job.name!r}. Rename or delete that "
            "model first."
        )
    library.check_new_name(job.name)
    check_no_rival(job.name)
    read_state(run)


def cancel(run: Run, timeout: float = CANCEL_SECONDS) -> Finished | Stopped | Failed:
    """End a run without making a model; its checkpoint stays, so that it can be resumed.

    Blocks until the training has obeyed or, where it does not, its process was killed.

    Parameters
    ----------
    run : Run
        One that is starting or running.
    timeout : float
        Seconds that the training has to obey.

    Returns
    -------
    Finished, Stopped or Failed
        The run's last event: it may have come to its end a moment before.

    Raises
    ------
    RunError
        If the run is not active, or its process is out of reach: on another computer, or another user's.
    """
    state = run.state()
    if state not in ACTIVE_STATES:
        raise RunError(f"Run {run.id!r} is {state} already: there is nothing to cancel.")
    run.request_stop(keep=False)
    _wait(lambda: run.state() not in ACTIVE_STATES, timeout)
    process = run.process()
    if process is not None and run.state() in ACTIVE_STATES:
        _kill(run, process)
    last = run.outcome() or _last_word(run)
    if isinstance(last, Stopped) and last.model is None:
        for name in ("prepared", "model"):
            shutil.rmtree(run.folder / name, ignore_errors=True)
    return last


def _wait(condition: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not condition() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _kill(run: Run, info: ProcessInfo) -> None:
    if not info.is_local:
        raise RunError(
            f"Run {run.id!r} is running on the computer {info.host!r} and has not responded yet. "
            f"It ends when it reads the request, or when you end process {info.pid} there."
        )
    try:
        with suppress(psutil.NoSuchProcess):
            _kill_processes(run, info)
    except psutil.AccessDenied as error:
        raise RunError(
            f"Run {run.id!r} is being trained by another user's process ({info.pid}). Ask them to cancel it."
        ) from error
    _wait(lambda: info.find() is None, _KILL_SECONDS)


def _kill_processes(run: Run, info: ProcessInfo) -> None:
    """Suspend a process, write its last word, and kill it: who follows the run never sees it interrupted."""
    process = info.find()
    if process is None:
        return
    process.suspend()
    try:
        if run.outcome() is None:
            _last_word(run)
    finally:
        for victim in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                victim.kill()


def _last_word(run: Run) -> Stopped:
    with explained(run.folder, RunError):
        last = cancelled(run)
        run.append(last)
    return last


def check_deletable(run: Run, *, force: bool = False) -> None:
    """Raise a `RunError` if there is no such run, or it is active.

    With `force`, one that seems to be trained on another computer counts as interrupted.
    """
    if not (run.folder / "job.json").is_file():
        raise RunError(f"'{run.folder}' is not a run: it has no job.json. 'napari-seg-trainer runs' lists the runs.")
    state = _state(run, force)
    if state in ACTIVE_STATES:
        raise RunError(f"Run {run.id!r} is {state}. Stop it first, then delete it.{_doubt(run)}")


def delete_run(run: Run, *, force: bool = False) -> None:
    """Delete a run's folder for good, with its checkpoint; a model that it has made stays in the library.

    Raises
    ------
    RunError
        If there is no such run, it is active, or it may not be deleted.
    """
    check_deletable(run, force=force)
    doomed = run.folder.with_name(f".deleted-{uuid4().hex}")
    with explained(run.folder, RunError):
        os.rename(run.folder, doomed)
    try:
        shutil.rmtree(doomed)
    except OSError as error:
        _log.warning("Run '%s' is deleted, but some of its files stay in '%s': %s", run.id, doomed, error)
