"""What a script can do; each function is what a command does.

>>> from napari_seg_trainer import train, segment
>>> run = train("annotations_nuclei", name="my-nuclei", engine="stardist", epochs=50)  # doctest: +SKIP
>>> labels = segment("my-nuclei", image)  # doctest: +SKIP
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import open_folders
from napari_seg_trainer.engines.registry import describe, engine_spec, parse_parameters
from napari_seg_trainer.errors import DataError, JobError, LibraryError, RunError
from napari_seg_trainer.evaluation.scores import ImageScore, Scores, score_image
from napari_seg_trainer.library.library import open_model
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import Failed
from napari_seg_trainer.schema.job import TrainingJob
from napari_seg_trainer.segmentation.segment import Segmenter, size_warning

StrPath = str | PathLike[str]


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
        If the file cannot be read or is no job.
    """
    try:
        job = TrainingJob.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise JobError(f"Job file '{path}' cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise JobError(f"Job file '{path}' is no training job: {describe(error)}.") from error
    parse_parameters(engine_spec(job.engine), job.hyperparameters)
    return job


def train(
    data: StrPath | Sequence[StrPath], *, name: str, engine: str = "stardist", wait: bool = True, **fields: Any
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
        raise RunError(f"Run {run.id!r} was interrupted: its process is gone. '{run.folder / 'log.txt'}' may say why.")


def segment(
    model: str | LibraryModel,
    image: NDArray[Any],
    *,
    channels: Sequence[str] | None = None,
    pixel_size: float | None = None,
    use: Sequence[str] = (),
    settings: Mapping[str, JsonValue] | None = None,
) -> NDArray[np.int32]:
    """Return the instances that a model finds in an image, computed in this process.

    Parameters
    ----------
    model : str or LibraryModel
        A name in the library, a model folder, or an opened model.
    image : NDArray, axes YX or CYX
        Intensities as they are.
    channels : sequence of str, optional
        The image's channel names; needed where it has others than the model.
    pixel_size : float, optional
        µm per pixel. Without it, or where it is far from the model's, a `UserWarning` tells so.
    use : sequence of str
        Names or numbers of the channels that feed the model, where the names differ.
    settings : mapping, optional
        Of the prediction, such as ``{"probability": 0.6}`` for StarDist; the model's own where not given.

    Returns
    -------
    NDArray of int32, axes YX

    Raises
    ------
    SegTrainerError
        If the model or a channel is missing.
    """
    pixels = np.asarray(image)
    if pixels.ndim not in (2, 3):
        raise DataError(f"The image has {pixels.ndim} axes. Give one with axes YX, or CYX with its channels first.")
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    names = [f"channel {i}" for i in range(len(pixels))] if channels is None else list(channels)
    if len(names) != len(pixels):
        raise DataError(f"The image has {len(pixels)} channel(s), but {len(names)} name(s) are given.")
    opened = _opened(model)
    doubt = size_warning(opened.card, pixel_size)
    if doubt:
        warnings.warn(doubt, stacklevel=2)
    return Segmenter(opened).segment(pixels, names, pixel_size=pixel_size, use=use, settings=settings)


def evaluate(model: str | LibraryModel, folders: StrPath | Sequence[StrPath], *, use: Sequence[str] = ()) -> Scores:
    """Score a model on annotated images, computed in this process.

    Parameters
    ----------
    model : str or LibraryModel
        As for `segment`.
    folders : path or sequence of paths
        Annotation folders.
    use : sequence of str
        As for `segment`.

    Returns
    -------
    Scores
        Per image and pooled, at IoU thresholds 0.5, 0.7, 0.9.

    Raises
    ------
    SegTrainerError
        If the model, a folder or a channel is missing, or an image is broken.
    """
    chosen = [folders] if isinstance(folders, str | PathLike) else list(folders)
    return Scores.of(score for score, _, _ in scored(_opened(model), [Path(folder) for folder in chosen], use))


def scored(
    model: LibraryModel, folders: Sequence[Path], use: Sequence[str] = ()
) -> Iterator[tuple[ImageScore, AnnotatedImage, NDArray[np.int32]]]:
    """Yield score, annotated image and prediction of each image in turn."""
    pairs = open_folders(folders)
    segmenter = Segmenter(model)
    for pair in pairs:
        annotated = pair.read()
        prediction = segmenter.segment(
            annotated.image, annotated.channels, pixel_size=annotated.pixel_size, use=use, name=str(pair.image)
        )
        yield score_image(pair.stem, annotated.labels, prediction), annotated, prediction


def compare(
    models: Sequence[str | LibraryModel], folders: StrPath | Sequence[StrPath], *, use: Sequence[str] = ()
) -> dict[str, Scores]:
    """Score several models on the same annotated images, each kind of model in a process of its own.

    Parameters
    ----------
    models : sequence of str or LibraryModel
        As for `segment`.
    folders, use
        As for `evaluate`.

    Returns
    -------
    dict of str to Scores
        By the model's name, in the order given.

    Raises
    ------
    SegTrainerError
        As for `evaluate`, or if two models have the same name.
    """
    opened = [_opened(model) for model in models]
    names = [model.name for model in opened]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LibraryError(f"Two of these models are named {twice!r}, so nobody can tell them apart. Rename one.")
    chosen = [folders] if isinstance(folders, str | PathLike) else list(folders)
    found: dict[str, Scores] = {}
    for engine in dict.fromkeys(model.card.engine for model in opened):
        own = [model for model in opened if model.card.engine == engine]
        # two frameworks in one process may crash it
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found |= pool.submit(_scores_of, own, [Path(folder) for folder in chosen], tuple(use)).result()
    return {model.name: found[model.name] for model in opened}


def _scores_of(models: Sequence[LibraryModel], folders: Sequence[Path], use: Sequence[str]) -> dict[str, Scores]:
    return {model.name: Scores.of(score for score, _, _ in scored(model, folders, use)) for model in models}


def load_annotations(folders: StrPath | Sequence[StrPath]) -> list[AnnotatedImage]:
    """Read all annotated images of one or more annotation folders.

    Raises
    ------
    DataError
        If a folder or a file cannot be used.
    """
    chosen = [folders] if isinstance(folders, str | PathLike) else list(folders)
    return [pair.read() for pair in open_folders([Path(folder) for folder in chosen])]


def _opened(model: str | LibraryModel) -> LibraryModel:
    return model if isinstance(model, LibraryModel) else open_model(model)
