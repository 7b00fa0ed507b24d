"""How good a finished model is on whole images."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.selection import evenly
from napari_seg_trainer.engines.protocol import Engine
from napari_seg_trainer.evaluation.report import Example
from napari_seg_trainer.evaluation.scores import ImageScore, Scores, score_image

MOST_IMAGES = 50
"""At most this many validation images are scored."""
MAX_EXAMPLES = 6


def scored_images(images: Sequence[PreparedImage]) -> list[PreparedImage]:
    """Return the images that are scored, evenly among those that validate."""
    return evenly(images, MOST_IMAGES)


def score_model(
    engine: Engine,
    folder: Path,
    images: Sequence[PreparedImage],
    progress: Callable[[int, int], object],
    keep: Callable[[str, NDArray[np.int32]], object] = lambda name, labels: None,
) -> tuple[Scores, list[Example]]:
    """Return how good a model is, and the images with the lowest average precision.

    Parameters
    ----------
    engine : Engine
    folder : Path
        The model's.
    images : sequence of PreparedImage
    progress : callable
        Called with how many images are done, and how many there are.
    keep : callable, optional
        Handed the name of each image and what the model finds in it (YX).
    """
    predictor = engine.load(folder)
    scores: list[ImageScore] = []
    worst: list[tuple[float, Example]] = []  # these show most
    for done, prepared in enumerate(images, 1):
        prediction = predictor.predict(prepared.image)
        keep(prepared.name, prediction)
        scores.append(score_image(prepared.name, prepared.labels, prediction))
        example = Example(prepared.name, prepared.image[0], prepared.labels, prediction)
        worst.append((scores[-1].scores["ap50"], example))
        worst = sorted(worst, key=lambda one: one[0])[:MAX_EXAMPLES]
        progress(done, len(images))
    return Scores.of(scores), [example for _, example in worst]
