"""The probability and overlap thresholds that suit the validation images best."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from stardist.utils import optimize_threshold

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.region import counted_only
from napari_seg_trainer.annotations.selection import within_budget
from napari_seg_trainer.engines.chance import is_clearly_better

OVERLAPS = (0.3, 0.4, 0.5)
MAX_PIXELS = 2 * 1024 * 1024
MAX_CANDIDATES = 0.3
DEFAULTS = {"prob": 0.5, "nms": 0.4}
"""Where a model has none, as in StarDist itself."""
USUAL = {"prob": 0.5, "nms": 0.3}
"""What suits most models; the overlap is that of 2D_versatile_fluo and 2D_versatile_he."""


Look = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""From an image (CYX) to the probability (YX) and the distances (YXR) on the grid."""
Find = Callable[[tuple[int, int], NDArray[np.float32], NDArray[np.float32], dict[str, float]], NDArray[np.int32]]
"""From an image's shape, probability, distances and thresholds to the instances (YX)."""


def optimize_thresholds(
    look: Look, find: Find, images: Sequence[PreparedImage], progress: Callable[[int, int], None]
) -> dict[str, float]:
    """Return the thresholds with the best matching at IoU 0.3, 0.5 and 0.7, as `StarDist2D.optimize_thresholds` does.

    What suits a few images best is chance: the usual thresholds stay where no others are clearly better.

    It looks at two million pixels at most, and at no probability threshold that more than 3 of 10 pixels pass: a
    network that has learned little proposes an object at every pixel, and comparing all with all takes many minutes.

    Parameters
    ----------
    look, find : callable
    images : sequence of PreparedImage
        Validation images; taken evenly among them.
    progress : callable
        Called with how many stages are done, and of how many.

    Returns
    -------
    dict
        ``prob`` and ``nms``.
    """
    chosen = within_budget(images, MAX_PIXELS)
    stages = len(chosen) + len(OVERLAPS)
    predictions: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for image, _ in chosen:
        progress(len(predictions), stages)
        predictions.append(look(image))
    highest = max(float(probability.max()) for probability, _ in predictions)
    lowest = max(float(np.quantile(probability, 1 - MAX_CANDIDATES)) for probability, _ in predictions)
    bracket = min(max(highest / 2, lowest), 0.99 * highest), highest
    drawn = [labels for _, labels in chosen]
    # for StarDist's own matching, all pixels count
    true = [np.maximum(labels, 0) for labels in drawn]
    model = _Model(find, {id(seen[0]): labels for seen, labels in zip(predictions, drawn, strict=True)})
    best, best_score = USUAL, 0.0
    for i, overlap in enumerate(OVERLAPS):
        progress(len(chosen) + i, stages)
        threshold, score = optimize_threshold(
            true, predictions, model, nms_thresh=overlap, bracket=bracket, maxiter=12, verbose=0
        )
        if score > best_score:
            best, best_score = {"prob": float(np.clip(threshold, *bracket)), "nms": overlap}, score
    progress(stages, stages)
    if USUAL["prob"] < lowest:
        return best
    usual, other = (
        [model.found(labels.shape, *seen, thresholds) for labels, seen in zip(true, predictions, strict=True)]
        for thresholds in (USUAL, best)
    )
    return best if is_clearly_better(true, usual, other) else dict(USUAL)


class _Model:
    """What `stardist.utils.optimize_threshold` asks of a model: what it finds, less what lies where nobody has drawn.

    Parameters
    ----------
    find : callable
    drawn : dict
        The labels (YX) that belong to a probability, by its `id`.
    """

    def __init__(self, find: Find, drawn: Mapping[int, NDArray[np.int32]]) -> None:
        self._find = find
        self._drawn = drawn

    def found(
        self,
        shape: tuple[int, int],
        probability: NDArray[np.float32],
        distances: NDArray[np.float32],
        thresholds: dict[str, float],
    ) -> NDArray[np.int32]:
        """Return the instances (YX) that count."""
        labels = self._find(shape, probability, distances, thresholds)
        return counted_only(self._drawn[id(probability)], labels)[1]

    def _instances_from_prediction(
        self,
        shape: tuple[int, int],
        probability: NDArray[np.float32],
        distances: NDArray[np.float32],
        *,
        prob_thresh: float,
        nms_thresh: float,
    ) -> tuple[NDArray[np.int32]]:
        return (self.found(shape, probability, distances, {"prob": prob_thresh, "nms": nms_thresh}),)
