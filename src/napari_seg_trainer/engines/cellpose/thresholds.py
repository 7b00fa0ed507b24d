"""The thresholds that suit the validation images best."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from cellpose.metrics import average_precision
from numpy.typing import NDArray

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.region import counted_only
from napari_seg_trainer.annotations.selection import within_budget
from napari_seg_trainer.engines.cellpose.prediction import CellposePredictor
from napari_seg_trainer.engines.cellpose.spec import CELL_THRESHOLD, FLOW_THRESHOLD, CellposeSettings
from napari_seg_trainer.engines.chance import is_clearly_better

IOUS = (0.5, 0.6, 0.7, 0.8)
"""At 0.9, what counts is how exactly somebody has drawn."""
FLOW_THRESHOLDS = (0.6, 0.8)
CELL_THRESHOLDS = (-1.0, -0.5, 0.5, 1.0)
LEAST_OBJECTS = 20
"""Of fewer, the thresholds that suit best are chance."""
GAIN = 0.005
DEFAULTS = CellposeSettings(cellprob_threshold=CELL_THRESHOLD, flow_threshold=FLOW_THRESHOLD)


def optimize_thresholds(
    predictor: CellposePredictor, images: Sequence[PreparedImage], pixels: int, progress: Callable[[int, int], None]
) -> CellposeSettings:
    """Return the thresholds with the best average precision (mean at IoU 0.5 to 0.8); Cellpose's own if in doubt.

    In doubt are those that are not clearly better than Cellpose's own: what suits a few images best is chance.

    The network looks at each image once; then the one threshold is varied, and with the best one the other.

    Parameters
    ----------
    predictor : CellposePredictor
    images : sequence of PreparedImage
        Validation images; taken evenly among them.
    pixels : int
        How many pixels of them are looked at, at most.
    progress : callable
        Called with how many stages are done, and of how many.
    """
    best = DEFAULTS
    chosen = within_budget(images, pixels)
    if sum(len(np.unique(labels[labels > 0])) for _, labels in chosen) < LEAST_OBJECTS:
        return best
    stages = len(chosen) + 1 + len(FLOW_THRESHOLDS) + len(CELL_THRESHOLDS)
    answers: list[tuple[NDArray[np.float32], float]] = []
    for image, _ in chosen:
        progress(len(answers), stages)
        answers.append(predictor.look(image, best))
    true = [np.maximum(labels, 0) for _, labels in chosen]
    done = len(chosen)

    def find(settings: CellposeSettings) -> list[NDArray[Any]]:
        nonlocal done
        progress(done, stages)
        done += 1
        masks = [predictor.masks(answer, factor, settings) for answer, factor in answers]
        return [counted_only(labels, found)[1] for (_, labels), found in zip(chosen, masks, strict=True)]

    usual = found = find(best)
    best_score = _pooled(true, usual)
    for field, values in (("flow_threshold", FLOW_THRESHOLDS), ("cellprob_threshold", CELL_THRESHOLDS)):
        for settings in [best.replace(**{field: value}) for value in values]:
            tried = find(settings)
            reached = _pooled(true, tried)
            if reached > best_score + GAIN:
                best, best_score, found = settings, reached, tried
    progress(stages, stages)
    return best if is_clearly_better(true, usual, found) else DEFAULTS


def _pooled(true: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    """Return the mean over the IoU thresholds of the average precision, pooled over the images."""
    _, right, wrong, missed = average_precision(list(true), list(found), threshold=list(IOUS))
    right, wrong, missed = (np.nansum(counts, axis=0) for counts in (right, wrong, missed))
    return float(np.mean(right / np.maximum(right + wrong + missed, 1)))
