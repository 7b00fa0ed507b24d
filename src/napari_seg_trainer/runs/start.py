"""What a training starts from: which built-in model, where nobody chooses, and what a model finds to begin with.

Run as a program, it reads a job from its standard input and prints in a line of JSON what a training would start from:
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
from napari_seg_trainer.engines.protocol import Engine, EngineSpec, Predictor, TrainingData
from napari_seg_trainer.engines.registry import engine_spec, load_engine
from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.evaluation.scores import score_image
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.pretrained import fetch, resolve_pretrained
from napari_seg_trainer.runs.dataset import Dataset, OnStage, open_dataset
from napari_seg_trainer.schema.job import AUTOMATIC, TrainingFacts, TrainingJob

MOST_IMAGES, MOST_PIXELS = 4, 1 << 20
"""What is looked at of the training images."""
MOST_RATIO = 3.0
"""How many times larger or smaller than what a model knows objects may be."""
LEAST_FOUND = 0.1
"""Part of the drawn objects that a model must find at IoU 0.5."""
MOST_FOUND = 0.5
"""Part of the drawn objects from which on the negatives of the images are not tried."""
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
    inverted : bool
        Whether it finds them in the negatives of the images.
    """

    model: LibraryModel | None
    reason: str
    found: float | None = None
    inverted: bool = False

    def facts(self, data: TrainingData) -> TrainingFacts:
        """Return what the parameters of a training that starts so are chosen by."""
        return data.facts(pretrained=self.model is not None, found=self.found, inverted=self.inverted)


@dataclass(frozen=True)
class _Look:
    """How many of the drawn objects a model finds, and whether in the negatives of the images."""

    found: int
    inverted: bool


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
        Called with the stage, how many looks are done, and how many there are.
    """
    if any(job.hyperparameters.get(name) is not None for name in spec.architecture):
        return Start(None, "Starts from scratch, because the network architecture is set.")
    channels, size = len(dataset.channels), float(np.median(dataset.object_sizes()[0]))
    starters = [fetch(model, spec) for model in spec.pretrained if model.is_starter]
    fit = [model for model in starters if len(model.card.channels) == channels and _is_alike(model, size)]
    if not fit:
        return Start(None, f"Starts from scratch: no built-in model fits {_kind(channels)}.")
    images, looks = _images(dataset), list[_Look]()
    drawn, where = _drawn(images)
    for model in fit:
        progress("choosing the model to start from", len(looks), len(fit))
        looks.append(_look(engine.load(model.folder), images, drawn, _ways(job, spec)))
    progress("choosing the model to start from", len(looks), len(fit))
    best = max(range(len(fit)), key=lambda place: looks[place].found)
    if looks[best].found < max(1, LEAST_FOUND * drawn):
        return Start(None, f"Starts from scratch: {fit[best].name} finds only {looks[best].found} {where}.")
    return _start(fit[best], looks[best], drawn, where)


def look_at_start(model: LibraryModel, job: TrainingJob, spec: EngineSpec, dataset: Dataset, engine: Engine) -> Start:
    """Return a model that was chosen to start from, with what it finds; the images are as it takes them.

    Where there are more or fewer channels than it knows, nothing is known.
    """
    if len(model.card.channels) != len(dataset.channels):
        return Start(model, "")
    images = _images(dataset)
    drawn, where = _drawn(images)
    return _start(model, _look(engine.load(model.folder), images, drawn, _ways(job, spec)), drawn, where)


def _start(model: LibraryModel, look: _Look, drawn: int, where: str) -> Start:
    negative = ", after inverting the contrast" if look.inverted else ""
    reason = f"Starts from {model.name}, which finds {look.found} {where}{negative}."
    return Start(model, reason, look.found / max(1, drawn), look.inverted)


def _ways(job: TrainingJob, spec: EngineSpec) -> tuple[bool, ...]:
    """Return whether images are shown to a model as their negatives: no, yes, or the one and then the other."""
    given = job.hyperparameters.get("inverted")
    if not spec.inverts:
        return (False,)
    return (False, True) if given is None else (bool(given),)


def _is_alike(model: LibraryModel, size: float) -> bool:
    known = model.card.object_diameter
    return known is None or 1 / MOST_RATIO <= size / known <= MOST_RATIO


def _kind(channels: int) -> str:
    return "these images" if channels == 1 else f"images of {channels} channels"


def _images(dataset: Dataset) -> list[_Seen]:
    return within_budget(list(dataset.samples(MOST_IMAGES)), MOST_PIXELS)


def _drawn(images: Sequence[_Seen]) -> tuple[int, str]:
    """Return how many objects are drawn, and that in words."""
    drawn = sum(int(np.count_nonzero(np.unique(labels) > 0)) for _, labels in images)
    return drawn, f"of {counted(drawn, 'object')} drawn in {counted(len(images), 'training image')}"


def _look(predictor: Predictor, images: Sequence[_Seen], drawn: int, ways: Sequence[bool]) -> _Look:
    """Return how a model finds most of the drawn objects."""
    looks: list[_Look] = []
    for inverted in ways:
        shown = [(1 - pixels if inverted else pixels, labels) for pixels, labels in images]
        scores = [score_image("", labels, predictor.predict(pixels)) for pixels, labels in shown]
        looks.append(_Look(sum(score.half.true_positive for score in scores), inverted))
        if looks[-1].found >= MOST_FOUND * drawn:
            break
    return max(looks, key=lambda look: look.found)


def main() -> None:
    """Answer one job."""
    with redirect_stdout(sys.stderr):  # frameworks print
        told = _answer(TrainingJob.model_validate_json(sys.stdin.read()))
    sys.stdout.write(json.dumps(told) + "\n")


def _answer(job: TrainingJob) -> dict[str, Any]:
    try:
        spec = engine_spec(job.engine)
        model = None if job.pretrained in (None, AUTOMATIC) else resolve_pretrained(str(job.pretrained), job.engine)
        channels = spec.channels[1] if spec.free_channels else None
        dataset = open_dataset(job, model.card if model else None, lambda *_: None, channels)
        if model is None:
            start = choose_start(job, spec, dataset, load_engine(spec), lambda *_: None)
        else:
            start = look_at_start(model, job, spec, dataset, load_engine(spec))
    except SegTrainerError as error:
        return {"reason": str(error), "card": None}
    card = start.model.card.model_dump(mode="json") if start.model else None
    return {"reason": start.reason, "card": card, "found": start.found, "inverted": start.inverted}


if __name__ == "__main__":
    main()
