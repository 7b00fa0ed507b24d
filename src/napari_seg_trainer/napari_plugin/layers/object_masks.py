"""Masks of single objects in a plane of labels: what surrounds them, and the pieces they are cut into."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SMALL = 0.02
"""Pieces below this part of an object are no objects of their own, where it is split."""


def surroundings(plane: NDArray[Any], label: int) -> NDArray[np.bool_]:
    """Return an object of labels (YX) with what surrounds it, as far as no other object is nearer.

    It reaches as far as the radius of a circle of the object's area, 2 pixels at least.
    """
    mask: NDArray[np.bool_] = plane == label
    if not mask.any():
        return mask
    others = (plane > 0) & ~mask
    reach = max(2.0, float(np.sqrt(mask.sum() / np.pi)))
    window = box_around(mask, int(np.ceil(2 * reach)))
    near = ndimage.distance_transform_edt(~mask[window])
    other = others[window]
    away = ndimage.distance_transform_edt(~other) if other.any() else np.full(near.shape, np.inf)
    found = np.zeros(plane.shape, bool)
    found[window] = (near <= reach) & (near < away)
    return found


def box_around(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Return the box around a mask (YX) that is not empty, with a margin, pixels, as far as there is one."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = (max(0, int(places[0]) - margin) for places in (rows, columns))
    return slice(top, int(rows[-1]) + margin + 1), slice(left, int(columns[-1]) + margin + 1)


def line_mask(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels (YX) on lines from point to point (N × YX, pixels)."""
    from skimage.draw import line

    drawn = np.zeros(shape, bool)
    whole = np.round(points).astype(int)
    for (y0, x0), (y1, x1) in pairwise(whole):
        rows, columns = line(y0, x0, y1, x1)
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        drawn[rows[inside], columns[inside]] = True
    return drawn


def pieces_of(mask: NDArray[np.bool_], cut: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Return the pieces that a cut makes of an object, the largest first, from 1; None where it stays one."""
    pieces, count = ndimage.label(mask & ~cut)
    if count <= ndimage.label(mask)[1]:
        return None
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    kept = [place for place in np.argsort(-areas) if areas[place] >= max(3, _SMALL * mask.sum())]
    if len(kept) < 2:
        return None
    names = np.zeros(count + 1, np.int64)
    names[[place + 1 for place in kept]] = np.arange(1, len(kept) + 1)
    named = names[pieces]
    # what was cut, and crumbs, go to the nearest piece
    _, nearest = ndimage.distance_transform_edt(named == 0, return_indices=True)
    found: NDArray[np.int64] = np.where(mask, named[tuple(nearest)], 0)
    return found
