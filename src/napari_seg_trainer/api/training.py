"""Training, as a script calls it."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from napari_seg_trainer.engines.registry import DEFAULT_ENGINE, describe, engine_spec, parse_parameters
from napari_seg_trainer.errors import JobError, RunError
from napari_seg_trainer.files import read_bytes
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import Failed
from napari_seg_trainer.schema.job import TrainingJob

StrPath = str | PathLike[str]
MOST_JOB_BYTES = 1 << 20
"""Of a job file."""


def make_job(**fields: Any) -> TrainingJob:
    """Return a checked job; see `TrainingJob` for the fields.

    Raises
    ------
    JobError
        If a field is impossible, or a hyperparameter is not the engine's.
    EngineError
        If there is no such engine.
    """
    try:
        job = TrainingJob.model_validate(fields)
    except ValidationError as error:
        raise JobError(f"{describe(error)}.") from error
    parse_parameters(engine_spec(job.engine), job.hyperparameters)
    return job


def read_job(path: StrPath) -> TrainingJob:
    """Return the job in a JSON file.

    Raises
    ------
    JobError
        If the file cannot be read or is not a job.
    """
    try:
        job = TrainingJob.model_validate_json(read_bytes(Path(path), MOST_JOB_BYTES))
    except OSError as error:
        raise JobError(f"Job file '{path}' cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise JobError(f"Job file '{path}' is not a training job: {describe(error)}.") from error
    parse_parameters(engine_spec(job.engine), job.hyperparameters)
    return job


def train(
    data: StrPath | Sequence[StrPath], *, name: str, engine: str = DEFAULT_ENGINE, wait: bool = True, **fields: Any
) -> Run:
    """Train a model in a process of its own.

    Parameters
    ----------
    data : path or sequence of paths
        Annotation folders.
    name : str
        Name of the model in the library; must be new.
    engine : str
        Id of the engine.
    wait : bool
        Return when the training is over; else at once, with a run to follow.
    **fields
        Other fields of `TrainingJob`; what it does not know is a hyperparameter, such as ``epochs=50``.

    Returns
    -------
    Run

    Raises
    ------
    SegTrainerError
        If the job is impossible, or (where waited for) the training failed.
    """
    folders = [data] if isinstance(data, str | PathLike) else list(data)
    own = {key: value for key, value in fields.items() if key in TrainingJob.model_fields}
    hyperparameters = {key: value for key, value in fields.items() if key not in own}
    paths = tuple(Path(folder).absolute() for folder in folders)
    run = launch(make_job(data=paths, name=name, engine=engine, hyperparameters=hyperparameters, **own))
    if wait:
        wait_for(run)
    return run


def wait_for(run: Run) -> None:
    """Return when a run has ended.

    Raises
    ------
    RunError
        If it failed or was interrupted.
    """
    for _ in run.follow():
        pass
    last = run.outcome()
    if isinstance(last, Failed):
        raise RunError(last.message)
    if last is None:
        raise RunError(f"Run {run.id!r} was interrupted: its process ended. '{run.folder / 'log.txt'}' may show why.")
