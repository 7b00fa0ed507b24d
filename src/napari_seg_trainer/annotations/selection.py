"""Some images of many, where all would take too long."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.prepare import PreparedImage

_GOLDEN = 0.6180339887


def spread(count: int, most: int) -> list[int]:
    """Return up to `most` places, evenly among `count`."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})


def evenly(images: Sequence[PreparedImage], most: int, pixels: int | None = None) -> list[PreparedImage]:
    """Return up to `most` images, evenly spaced, and fewer, but at least one, to stay within `pixels` in total."""
    count = min(len(images), most)
    chosen = [images[place] for place in spread(len(images), count)]
    while pixels is not None and count > 1 and sum(image.labels.size for image in chosen) > pixels:
        count //= 2
        chosen = [images[place] for place in spread(len(images), count)]
    return chosen


def _middle(labels: NDArray[np.int32], side: int) -> tuple[slice, slice]:
    """Return a square of this side (pixels) in the middle of what is annotated (YX)."""
    middles = [length / 2 for length in labels.shape]
    if max(labels.shape) > side:
        annotated = np.asarray(labels) >= 0
        for axis in range(2):
            places = np.flatnonzero(annotated.any(axis=1 - axis))
            if places.size:
                middles[axis] = (int(places[0]) + int(places[-1]) + 1) / 2
    starts = [
        min(max(0, int(middle - side / 2)), max(0, length - side))
        for middle, length in zip(middles, labels.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def within_budget(images: Sequence[PreparedImage], pixels: int) -> list[tuple[NDArray[np.float32], NDArray[np.int32]]]:
    """Return images (CYX) and labels (YX), evenly among those given, while they fit a budget of pixels."""
    order = np.argsort(np.arange(len(images)) * _GOLDEN % 1.0)  # evenly spread, wherever it is cut off
    chosen: list[tuple[NDArray[np.float32], NDArray[np.int32]]] = []
    left = pixels
    for i in order:
        prepared = images[int(i)]
        if chosen and prepared.labels.size > left:
            break
        side = int(pixels**0.5)  # of a single huge image, the middle will do
        window = _middle(prepared.labels, side)
        labels = np.asarray(prepared.labels[window])
        chosen.append((np.asarray(prepared.image[:, *window]), labels))
        left -= labels.size
    return chosen
