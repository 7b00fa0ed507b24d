"""Which built-in model a training starts from, where nobody chooses.

Run as a program, it reads a job from its standard input and tells in one line of JSON from what a training would start:
docks ask so, as they import no framework.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.findings import counted
from napari_seg_trainer.annotations.selection import within_budget
from napari_seg_trainer.engines.protocol import Engine, EngineSpec
from napari_seg_trainer.engines.registry import engine_spec, load_engine
from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.evaluation.scores import score_image
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.pretrained import fetch
from napari_seg_trainer.runs.dataset import Dataset, OnStage, open_dataset
from napari_seg_trainer.schema.job import TrainingJob

MOST_IMAGES, MOST_PIXELS = 4, 1 << 20
"""What is looked at of the training images."""
MOST_RATIO = 3.0
"""How many times larger or smaller than what a model knows objects may be."""
LEAST_FOUND = 0.1
"""Part of the drawn objects that a model must find at IoU 0.5."""
_Seen = tuple[NDArray[np.float32], NDArray[np.int32]]


@dataclass(frozen=True)
class Start:
    """What a training starts from, and why.

    Attributes
    ----------
    model : LibraryModel, optional
        None for a start from scratch.
    reason : str
        One sentence.
    found : float, optional
        Which part of the objects drawn in a few images the model finds.
    """

    model: LibraryModel | None
    reason: str
    found: float | None = None


def choose_start(job: TrainingJob, spec: EngineSpec, dataset: Dataset, engine: Engine, progress: OnStage) -> Start:
    """Return the engine's starter that finds most of the objects drawn in a few training images.

    Parameters
    ----------
    job : TrainingJob
    spec : EngineSpec
    dataset : Dataset
        As it is without a model to start from.
    engine : Engine
    progress : callable
        Told the stage, how many looks are done, and how many there are.
    """
    if any(job.hyperparameters.get(name) is not None for name in spec.architecture):
        return Start(None, "Starts from scratch, as the shape of the network is given.")
    channels, size = len(dataset.channels), float(np.median(dataset.object_sizes()[0]))
    starters = [fetch(model, spec) for model in spec.pretrained if model.is_starter]
    fit = [model for model in starters if len(model.card.channels) == channels and _is_alike(model, size)]
    if not fit:
        return Start(None, f"Starts from scratch: no built-in model knows {_kind(channels)} like these.")
    images, found = _images(dataset), list[int]()
    drawn, where = _drawn(images)
    for model in fit:
        progress("looking for a model to start from", len(found), len(fit))
        found.append(_found(engine, model, images))
    progress("looking for a model to start from", len(found), len(fit))
    best = int(np.argmax(found))
    if found[best] < max(1, LEAST_FOUND * drawn):
        return Start(None, f"Starts from scratch: {fit[best].name} finds only {found[best]} {where}.")
    return Start(fit[best], f"Starts from {fit[best].name}, which finds {found[best]} {where}.", found[best] / drawn)


def look_at_start(model: LibraryModel, dataset: Dataset, engine: Engine) -> Start:
    """Return a model that was chosen to start from, with what it finds; the images are as it takes them."""
    images = _images(dataset)
    drawn, where = _drawn(images)
    found = _found(engine, model, images)
    return Start(model, f"Starts from {model.name}, which finds {found} {where}.", found / max(1, drawn))


def _is_alike(model: LibraryModel, size: float) -> bool:
    known = model.card.object_diameter
    return known is None or 1 / MOST_RATIO <= size / known <= MOST_RATIO


def _kind(channels: int) -> str:
    return "images" if channels == 1 else f"images of {channels} channels"


def _images(dataset: Dataset) -> list[_Seen]:
    return within_budget(list(dataset.samples(MOST_IMAGES)), MOST_PIXELS)


def _drawn(images: Sequence[_Seen]) -> tuple[int, str]:
    """Return how many objects are drawn, and that in words."""
    drawn = sum(int(np.count_nonzero(np.unique(labels))) for _, labels in images)
    return drawn, f"of {counted(drawn, 'object')} drawn in {counted(len(images), 'training image')}"


def _found(engine: Engine, model: LibraryModel, images: Sequence[_Seen]) -> int:
    """Return how many of the drawn objects a model finds."""
    predictor = engine.load(model.folder)
    scores = [score_image("", labels, predictor.predict(pixels)) for pixels, labels in images]
    return sum(score.half.true_positive for score in scores)


def main() -> None:
    """Answer one job."""
    with redirect_stdout(sys.stderr):  # frameworks print
        told = _answer(TrainingJob.model_validate_json(sys.stdin.read()))
    sys.stdout.write(json.dumps(told) + "\n")


def _answer(job: TrainingJob) -> dict[str, Any]:
    try:
        spec = engine_spec(job.engine)
        dataset = open_dataset(job, None, lambda *_: None, spec.channels[1] if spec.free_channels else None)
        start = choose_start(job, spec, dataset, load_engine(spec), lambda *_: None)
    except SegTrainerError as error:
        return {"reason": str(error), "card": None}
    card = start.model.card.model_dump(mode="json") if start.model else None
    return {"reason": start.reason, "card": card, "found": start.found}


if __name__ == "__main__":
    main()
