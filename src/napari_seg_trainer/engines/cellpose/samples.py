"""What the network is shown: a piece of an image, turned, mirrored and scaled at random, with its flows."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.patches import change_brightness
from napari_seg_trainer.engines.cellpose.flows import Annotated


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample.

    Attributes
    ----------
    image : NDArray of float32, axes CYX
        0 outside of the image.
    target : NDArray of float32, axes CYX
        Whether a pixel belongs to an object (0 or 1), the flows along Y and X, and whether the pixel counts (0 or 1):
        those outside of the image do not.
    """

    image: NDArray[np.float32]
    target: NDArray[np.float32]


@dataclass(frozen=True)
class SamplePlan:
    """How samples are made.

    Attributes
    ----------
    size : int
        Side of a sample, pixels.
    channels : int
        What the network takes; channels that the image lacks are 0.
    diameter : float
        Pixels across that objects are to have, where `typical` is not 0.
    typical : float
        Diameter of typical objects in the training images, pixels; 0 for images that are shown at their own size.
    scale_range : float
        A sample is scaled by 1 minus half of it to 1 plus half of it.
    foreground : float
        How often a sample must hold a piece of an object, where its image has one.
    """

    size: int
    channels: int
    diameter: float
    typical: float
    scale_range: float
    foreground: float


def draw_sample(annotated: Annotated, plan: SamplePlan, rng: np.random.Generator, *, augmented: bool = False) -> Sample:
    """Return a sample as Cellpose draws it: any angle, mirrored or not, another size, anywhere.

    One that is augmented is changed in brightness as well, as no two days at a microscope are alike.

    Sizes differ in one more way. Cellpose brings each image's objects to the same diameter; a new image, whose objects
    nobody has measured yet, is scaled by what is typical of all images. The network meets both, and all between.
    """
    share = float(rng.random())
    factor = _factor(annotated, plan, share) * float(1 + plan.scale_range * (rng.random() - 0.5))
    turned = _orthogonal(rng.uniform(0, 2 * math.pi), mirrored=bool(rng.random() < 0.5))
    needs_object = bool(rng.random() < plan.foreground)
    centre = _draw_centre(annotated, plan.size / factor, rng, needs_object)
    sample = cut(annotated, plan, centre, factor, turned)
    if augmented:
        channels = len(annotated.prepared.image)  # what the image lacks stays 0
        sample.image[:channels] = change_brightness(sample.image[:channels], rng)
    return sample


def fixed_sample(annotated: Annotated, plan: SamplePlan, rng: np.random.Generator) -> Sample:
    """Return a piece of the image, neither turned nor mirrored, scaled as a new image would be."""
    factor = _factor(annotated, plan, 0.0)
    centre = _draw_centre(annotated, plan.size / factor, rng, needs_object=True)
    return cut(annotated, plan, centre, factor, np.eye(2))


def cut(
    annotated: Annotated, plan: SamplePlan, centre: NDArray[np.float64], factor: float, turned: NDArray[np.float64]
) -> Sample:
    """Return the sample around a place of the image.

    Parameters
    ----------
    annotated : Annotated
    plan : SamplePlan
    centre : NDArray
        The place, Y and X, pixels.
    factor : float
        By how much the image is scaled.
    turned : NDArray, 2 × 2
        An orthogonal matrix (YX): from directions in the sample to those in the image.
    """
    matrix = turned / factor
    middle = (plan.size - 1) / 2
    offset = centre - matrix @ (middle, middle)
    window, corner = _window(annotated.shape, matrix, offset, plan.size)
    warp = _Warp(matrix, offset - corner, plan.size)
    prepared = annotated.prepared
    labels = np.asarray(prepared.labels[window])
    image = np.zeros((plan.channels, plan.size, plan.size), np.float32)
    for place, channel in enumerate(prepared.image):
        image[place] = warp.smooth(np.asarray(channel[window], np.float32))
    target = np.empty((4, plan.size, plan.size), np.float32)
    target[0] = warp.nearest((labels > 0).astype(np.uint8))
    flows = np.stack([warp.smooth(np.asarray(axis[window], np.float32)) for axis in annotated.flows])
    target[1:3] = np.einsum("ij,jyx->iyx", turned.T, flows)
    target[3] = warp.nearest((labels >= 0).astype(np.uint8))
    return Sample(image, target)


def _factor(annotated: Annotated, plan: SamplePlan, share: float) -> float:
    """Return the scale that suits all images (share 0), this image (share 1), or something between."""
    if not plan.typical:
        return 1.0
    own = annotated.diameter or plan.typical
    return float(plan.diameter / plan.typical * (plan.typical / own) ** share)


def _draw_centre(
    annotated: Annotated, side: float, rng: np.random.Generator, needs_object: bool
) -> NDArray[np.float64]:
    """Return a place around which a square of this side (pixels) lies in the image, as far as it fits.

    Something in it is annotated, and an object is in it if wanted.
    """
    shape: NDArray[np.float64] = np.array(annotated.shape, np.float64)
    low = np.minimum(side / 2, shape / 2)
    centre: NDArray[np.float64] = low + rng.random(2) * (shape - 2 * low)
    reach = side / 2 / math.sqrt(2)  # of a square, however it is turned
    places = annotated.places if needs_object and annotated.objects else annotated.annotated
    if len(places) and not (np.abs(places - centre).max(1) < reach).any():
        place = places[rng.integers(len(places))]
        centre = np.clip(place + (2 * rng.random(2) - 1) * reach, low, shape - low)
    centre -= 0.5  # of pixels, whose first one is at 0
    return centre


def _orthogonal(angle: float, *, mirrored: bool) -> NDArray[np.float64]:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turn @ np.diag([1.0, -1.0]) if mirrored else turn


def _window(
    shape: tuple[int, ...], matrix: NDArray[np.float64], offset: NDArray[np.float64], size: int
) -> tuple[tuple[slice, slice], NDArray[np.int64]]:
    """Return which part of the image is needed, so that no more is read, and its first pixel."""
    corners = np.array([(y, x) for y in (0, size - 1) for x in (0, size - 1)]) @ matrix.T + offset
    low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, np.array(shape) - 1)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, low + 1, shape)
    return (slice(low[0], high[0]), slice(low[1], high[1])), low


class _Warp:
    """An affine map from the sample's pixels to the image's, done by OpenCV."""

    def __init__(self, matrix: NDArray[np.float64], offset: NDArray[np.float64], size: int) -> None:
        (yy, yx), (xy, xx) = matrix
        self._matrix = np.array([[xx, xy, offset[1]], [yx, yy, offset[0]]])  # OpenCV has X first
        self._size = (size, size)

    def smooth(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._apply(plane, cv2.INTER_LINEAR)

    def nearest(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._apply(plane, cv2.INTER_NEAREST)

    def _apply(self, plane: NDArray[Any], how: int) -> NDArray[Any]:
        flags = how | cv2.WARP_INVERSE_MAP
        warped: NDArray[Any] = cv2.warpAffine(plane, self._matrix, self._size, flags=flags)
        return warped
