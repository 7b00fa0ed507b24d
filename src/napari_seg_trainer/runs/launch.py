"""Starts the training process, detached from whoever asked for it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from napari_seg_trainer.engines.registry import check_installed, engine_spec
from napari_seg_trainer.errors import JobError, RunError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.priority import environment
from napari_seg_trainer.runs import event_file
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run, list_runs
from napari_seg_trainer.schema.job import AUTOMATIC, TrainingJob

# glibc hands large blocks back to the system after each step and takes them again; the page faults slow down a
# training on a CPU. With these it keeps them.
_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


def launch(job: TrainingJob) -> Run:
    """Start a training in a process that outlives this one.

    Parameters
    ----------
    job : TrainingJob

    Returns
    -------
    Run
        To follow and to stop.

    Raises
    ------
    SegTrainerError
        If the name is taken, the engine unknown or not installed, or the process cannot be started.
    """
    check_installed(engine_spec(job.engine))
    library = ModelLibrary()
    library.check_new_name(job.name)
    check_no_rival(job.name)
    run = Run.create(_absolute(job, library))
    start_process(run)
    return run


def check_no_rival(model: str) -> None:
    """Raise a JobError if a run is making a model of this name now."""
    rival = next((run for run in list_runs() if run.makes(model) and run.state() in ACTIVE_STATES), None)
    if rival is not None:
        raise JobError(f"Run {rival.id!r} is making a model named {model!r} already. Choose another name.")


def _absolute(job: TrainingJob, library: ModelLibrary) -> TrainingJob:
    """Return the job with paths that hold in any folder."""
    pretrained = job.pretrained
    if pretrained and pretrained != AUTOMATIC and pretrained not in library and os.path.exists(pretrained):
        pretrained = str(Path(pretrained).absolute())
    return job.replace(
        data=[folder.absolute() for folder in job.data],
        validation_data=[folder.absolute() for folder in job.validation_data],
        test_data=[folder.absolute() for folder in job.test_data],
        pretrained=pretrained,
    )


def start_process(run: Run) -> None:
    """Start the process that trains `run`, from its checkpoint if it has one; its output goes to ``log.txt``."""
    begin = event_file.size(run.events_file)
    command = [sys.executable, "-m", "napari_seg_trainer.runs", str(run.folder)]
    flags = 0
    if sys.platform == "win32":
        flags = (
            subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        )
    try:
        with (run.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_ALLOCATOR | environment() | {"PYTHONUNBUFFERED": "1"},
                cwd=Path.home() if Path.home().is_dir() else None,
                start_new_session=True,
                creationflags=flags,
            )
    except OSError as error:
        raise RunError(f"The training process of {run.id!r} cannot be started: {error.strerror}.") from error
    run.claim(process.pid, begin)  # as the process itself does a little later; by then the state is asked for
    # takes its exit status when it comes, so that it does not stay behind as a zombie while this process lives
    threading.Thread(target=process.wait, name=f"wait for {run.id}", daemon=True).start()
