"""Which part of an image is annotated: -1 in the labels where it is not, run lengths in the sidecar.

The run lengths are those of COCO's uncompressed masks (https://cocodataset.org/#format-data), as `pycocotools` reads
them.
"""

from itertools import accumulate
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from napari_seg_trainer.schema._base import FrozenModel

IGNORED = -1
"""Label of pixels that are not annotated, or outside of the image: they are in no loss and in no score."""

_MOST_PIXELS = 2**31
_Count = Annotated[int, Field(ge=0, le=_MOST_PIXELS, strict=True)]


class Region(FrozenModel):
    """The annotated part of an image.

    Attributes
    ----------
    size : (int, int)
        Height and width of the image, pixels.
    counts : tuple of int
        Pixels outside, inside, outside and so on, column by column.
    """

    size: tuple[_Count, _Count]
    counts: tuple[_Count, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        height, width = self.size
        total = next((total for total in accumulate(self.counts) if total > _MOST_PIXELS), sum(self.counts))
        if total != height * width:
            raise ValueError(f"its run lengths are of {total} pixels, its size is {height} × {width}")
        return self

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Self:
        """Return the region of a mask (YX)."""
        flat = mask.T.ravel()
        ends = [*(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
        counts = np.diff([0, *ends]).tolist()
        height, width = mask.shape
        return cls(size=(height, width), counts=tuple([0, *counts] if flat.size and flat[0] else counts))

    def mask(self) -> NDArray[np.bool_]:
        """Return where the image is annotated (YX)."""
        inside = np.arange(len(self.counts)) % 2 == 1
        flat = np.repeat(inside, np.array(self.counts, np.int64))
        found: NDArray[np.bool_] = np.ascontiguousarray(flat.reshape(self.size[::-1]).T)
        return found


def region_of(labels: NDArray[Any]) -> Region | None:
    """Return which part of labels (YX) is annotated, None where all of it is."""
    annotated = labels >= 0
    return None if annotated.all() else Region.of(annotated)


def within(labels: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return labels (int32, YX) with -1 outside of a mask (YX); objects stay as they are, also outside."""
    found: NDArray[np.int32] = np.where((labels == 0) & ~mask, IGNORED, labels).astype(np.int32)
    return found


def only_within(labels: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return labels (int32, YX) with -1 outside of a mask (YX), also for objects that are in it by less than half."""
    objects = np.maximum(labels, 0)
    flat = objects.ravel().astype(np.intp)
    inside = np.bincount(flat[mask.ravel()], minlength=int(flat.max(initial=0)) + 1)
    kept = 2 * inside >= np.bincount(flat, minlength=len(inside))
    found: NDArray[np.int32] = np.where((objects > 0) & kept[objects], objects, np.where(mask, 0, IGNORED))
    return np.where((objects > 0) & ~kept[objects] | (labels < 0), IGNORED, found).astype(np.int32)


def annotated_part(labels: NDArray[Any]) -> float:
    """Return which part of the pixels of labels (YX) is annotated, 0 to 1."""
    return float(np.count_nonzero(labels >= 0) / labels.size) if labels.size else 1.0


def counted_only(truth: NDArray[Any], prediction: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return true and predicted labels (YX) of what counts, for measures that know no pixels that do not.

    Where the truth is not annotated, both are 0. Predicted objects that lie there by more than half are dropped.
    """
    ignored = truth < 0
    if not ignored.any():
        return truth, prediction
    highest = int(prediction.max(initial=0)) + 1
    flat = prediction.ravel().astype(np.intp)
    hidden = np.bincount(flat[ignored.ravel()], minlength=highest)
    gone = hidden > np.bincount(flat, minlength=highest) / 2
    kept = np.where(ignored | gone[prediction], 0, prediction).astype(prediction.dtype)
    return np.where(ignored, 0, truth).astype(truth.dtype), kept
