"""How a network of StarDist begins, and what it is shown; the same for both ways to compute."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_seg_trainer.annotations.patches import Patch, PatchPlan, draw_patch
from napari_seg_trainer.annotations.selection import spread
from napari_seg_trainer.engines.protocol import TrainingData, TrainingTask
from napari_seg_trainer.engines.stardist.design import adopt, describe
from napari_seg_trainer.engines.stardist.files import CONFIG, StarDistConfig, opening, read_description
from napari_seg_trainer.engines.stardist.spec import StarDistParameters
from napari_seg_trainer.errors import JobError

MAX_VALIDATION_PATCHES = 100


def begin(
    task: TrainingTask, data: TrainingData, known: Mapping[str, Any] | None, checkpoint: Path | None
) -> tuple[StarDistParameters, dict[str, Any]]:
    """Return the completed parameters, and what stands in the model's ``config.json``.

    Parameters
    ----------
    task : TrainingTask
    data : TrainingData
    known : mapping, optional
        The configuration of the model that the training starts from.
    checkpoint : Path, optional
        The epoch from which it goes on: the network stays as it was begun.

    Raises
    ------
    JobError
        If that model does not suit the job.
    LibraryError
        If the epoch's configuration cannot be read.
    """
    given = task.parameters
    if not isinstance(given, StarDistParameters):
        raise TypeError(f"StarDist cannot be trained with {type(given).__name__}")
    facts = data.facts(pretrained=known is not None)
    if known is None:
        parameters = given.completed(facts)
    else:
        _check_pretrained(known, task)
        parameters = adopt(given.completed(facts), known, facts)
    if checkpoint is not None:
        with opening(checkpoint):
            known = read_description(checkpoint / CONFIG, StarDistConfig).arguments()
    return parameters, describe(task.channels, parameters, known)


def patch_plan(task: TrainingTask, parameters: StarDistParameters) -> PatchPlan:
    """Return how patches are drawn."""
    side = parameters.patch_side
    return PatchPlan((side, side), parameters.batch_size, parameters.augmentation, parameters.foreground, task.seed)


def validation_patches(data: TrainingData, plan: PatchPlan) -> Iterator[list[Patch]]:
    """Yield one fixed patch for each validation image, a hundred at most, in batches."""
    rng = np.random.default_rng(plan.seed)
    patches = [draw_patch(data.validation[i], plan, rng) for i in spread(len(data.validation), MAX_VALIDATION_PATCHES)]
    for start in range(0, len(patches), plan.batch_size):
        yield patches[start : start + plan.batch_size]


def _check_pretrained(known: Mapping[str, Any], task: TrainingTask) -> None:
    if known["n_channel_in"] != task.channels:
        raise JobError(
            f"The pretrained model takes {known['n_channel_in']} channel(s), the job gives {task.channels}. "
            "Choose as many channels as the pretrained model has."
        )
    if known.get("n_classes") is not None:
        raise JobError(
            "The pretrained model predicts object classes, which is not supported here. Choose another model."
        )
