"""Objects that look like the labelled ones but have no label."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg_trainer.annotations.objects import Objects, Point, centres, point

MIN_OBJECTS = 3
"""With fewer labelled objects there is nothing to learn the looks of an object from."""

AREA_RANGE = (0.3, 3.0)
MIN_LEVEL = 0.7
MIN_COMPACTNESS = 0.5
_HIGHEST = 1e30


@dataclass(frozen=True)
class Spot:
    """A bright spot without a label: centre (y, x in pixels) and pixels."""

    position: Point
    area: int


def bright_spots(image: NDArray[Any], objects: Objects) -> list[Spot]:
    """Find bright spots that are as large and as bright as the labelled objects, but have no label.

    In the channel where labelled objects stand out most, the level half-way between background and labelled objects
    separates spots from background. A spot counts if it is 0.3 to 3 times as large as the median object, reaches 0.7
    of the objects' usual brightness above background, and is compact. What is not annotated is not looked at.

    Parameters
    ----------
    image : NDArray, axes CYX
    objects : Objects
        Of the labels.

    Returns
    -------
    list of Spot
        Empty where labelled objects are not brighter than the background in any channel.
    """
    if len(objects.labels) < MIN_OBJECTS:
        return []
    best = max((_Channel.measure(plane, objects) for plane in image), key=lambda channel: channel.contrast)
    if best.contrast < 1:
        return []
    diameter = 2 * math.sqrt(objects.median_area / math.pi)
    smooth = ndimage.gaussian_filter(best.plane, max(0.7, diameter / 12), truncate=2.5)
    labelled = _grown(objects.image > 0, max(2, round(diameter / 6)))
    seen = ~labelled if objects.ignored is None else ~labelled & ~objects.ignored
    regions, count = ndimage.label((smooth > best.level(0.5)) & seen)
    return _similar(regions, count, smooth, objects, best.level(MIN_LEVEL)) if count else []


@dataclass(frozen=True, eq=False)
class _Channel:
    plane: NDArray[np.float32]
    background: float
    foreground: float
    contrast: float

    @classmethod
    def measure(cls, plane: NDArray[Any], objects: Objects) -> "_Channel":
        if plane.dtype.kind == "f":
            # beyond that, differences leave the range of 32 bits
            plane = np.clip(np.nan_to_num(plane, nan=0.0, posinf=0.0, neginf=0.0), -_HIGHEST, _HIGHEST)
        values = plane.astype(np.float32, copy=False)
        outside = objects.background
        background = np.percentile(values[outside][::4], (50, 90)) if outside.any() else np.zeros(2)
        means = np.bincount(objects.flat, values.ravel())[1:] / objects.areas
        foreground = float(np.median(means))
        spread = max(float(background[1] - background[0]), 1e-6)
        return cls(values, float(background[0]), foreground, (foreground - float(background[0])) / spread)

    def level(self, fraction: float) -> float:
        return self.background + fraction * (self.foreground - self.background)


def _grown(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return what is within `reach` pixels of a mask, along rows and along columns; much faster than a filter."""
    width = 2 * reach + 1
    for _ in range(2):
        grown = np.pad(mask, ((reach, reach), (0, 0)))
        done = 1
        while done < width:
            step = min(done, width - done)
            grown = grown[step:] | grown[:-step]
            done += step
        mask = grown.T
    return mask


def _similar(
    regions: NDArray[Any], count: int, smooth: NDArray[np.float32], objects: Objects, level: float
) -> list[Spot]:
    flat = regions.ravel()
    areas = np.bincount(flat, minlength=count + 1)[1:]
    brightness = np.bincount(flat, smooth.ravel(), count + 1)[1:] / areas
    low, high = (factor * objects.median_area for factor in AREA_RANGE)
    wanted = np.flatnonzero((areas >= low) & (areas <= high) & (brightness >= level))
    boxes = ndimage.find_objects(regions)
    places = centres(regions, count)
    return [
        Spot(point(places[i]), int(areas[i]))
        for i in wanted
        if areas[i] >= MIN_COMPACTNESS * math.prod(part.stop - part.start for part in boxes[i])
    ]
