"""What an image is like, and why a model may do badly on it: it is unlike those that taught the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg_trainer.annotations.objects import find_objects
from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.selection import spread

MOST_IMAGES = 50
"""Of those that teach, so many are looked at."""
FEWEST_IMAGES = 3
"""With fewer, what is usual cannot be told."""
SIDE = 1024
"""Of a larger image the middle is looked at, pixels."""
ALIKE = 4 / 3
"""Objects are of one size where the one diameter is at most so many times the other."""
RARE = 0.05
"""A size of objects is rare where fewer than this part of the images, or none, has it."""
BEYOND = 1.5
"""An image stands out where a trait is so many times above the highest, or below the lowest, of the training images."""
_SMOOTHING, _HALO = 1.0, 3

Kind = Literal["large", "small", "blurred", "dim", "bright", "crowded"]


@dataclass(frozen=True)
class Traits:
    """What an image is like.

    Attributes
    ----------
    diameter : float
        Median of its objects, pixels: of the circle with the same area.
    contrast : float
        How far the median of the objects is from that of the background, as the network sees intensities.
    sharpness : float
        Variance of the Laplacian, which Pech-Pacheco et al. 2000 (ICPR, https://doi.org/10.1109/ICPR.2000.903548) tell
        focus by, of the image smoothed by a Gaussian of one pixel. It is divided by the contrast squared and by the
        part of the pixels that lie on an outline, as neither brighter nor more objects make an image sharper.
        Not a number where there is no contrast.
    covered : float
        Part of the pixels that objects cover.
    """

    diameter: float
    contrast: float
    sharpness: float
    covered: float


@dataclass(frozen=True)
class Reason:
    """Why a model may do badly on an image: the kind, and a few words with the numbers that it follows from."""

    kind: Kind
    text: str


def measure(prepared: PreparedImage, channel: int = 0) -> Traits | None:
    """Return what an image is like in one of its channels; None where objects or background are missing."""
    window = _middle(prepared.labels.shape)
    plane = np.asarray(prepared.image[channel][window], np.float64)
    labels = np.maximum(np.asarray(prepared.labels[window]), 0)
    inside = labels > 0
    outside = ~ndimage.binary_dilation(inside, iterations=_HALO)
    if not inside.any() or not outside.any():
        return None
    contrast = abs(float(np.median(plane[inside]) - np.median(plane[outside])))
    laplacian = float(ndimage.gaussian_laplace(plane, _SMOOTHING).var())
    scale = contrast**2 * _outlines(labels)
    return Traits(
        diameter=float(np.median(np.sqrt(find_objects(labels).areas * 4 / np.pi))),
        contrast=contrast,
        sharpness=laplacian / scale if scale > 0 else float("nan"),
        covered=float(inside.mean()),
    )


class Usual:
    """What the images that taught a model are like.

    Parameters
    ----------
    images : sequence of PreparedImage
        Up to `MOST_IMAGES`, evenly among them, are looked at, in the channel in which objects have most contrast.
    progress : callable, optional
        As for `find_reasons`.
    """

    def __init__(
        self, images: Sequence[PreparedImage], progress: Callable[[int, int], object] = lambda done, total: None
    ) -> None:
        chosen = [images[place] for place in spread(len(images), MOST_IMAGES)]
        self.channel = _clearest_channel(chosen[:: max(1, len(chosen) // FEWEST_IMAGES)])
        found: list[Traits | None] = []
        for done, prepared in enumerate(chosen, 1):
            found.append(measure(prepared, self.channel))
            progress(done, len(chosen))
        self.traits = tuple(traits for traits in found if traits is not None)

    def reason(self, prepared: PreparedImage) -> Reason | None:
        """Return why a model may do badly on an image, the likeliest reason; None where nothing stands out."""
        own = measure(prepared, self.channel)
        return None if own is None else find_reason(own, self.traits)


def find_reasons(
    training: Sequence[PreparedImage], images: Sequence[PreparedImage], progress: Callable[[int, int], object]
) -> dict[str, Reason]:
    """Return why a model may do badly on some images, by their names, where something stands out.

    Parameters
    ----------
    training : sequence of PreparedImage
        What taught the model.
    images : sequence of PreparedImage
        The images in question.
    progress : callable
        Told how many training images are looked at, and how many there are to look at.
    """
    if not images:
        return {}
    usual = Usual(training, progress)
    found = {prepared.name: usual.reason(prepared) for prepared in images}
    return {name: reason for name, reason in found.items() if reason is not None}


def find_reason(own: Traits, usual: Sequence[Traits]) -> Reason | None:
    """Return in what an image is unlike those that taught a model.

    The size of the objects comes first: sharpness is only compared among images whose objects are of one size.
    """
    if len(usual) < FEWEST_IMAGES:
        return None
    alike = [traits for traits in usual if 1 / ALIKE <= own.diameter / traits.diameter <= ALIKE]
    if len(alike) < max(1.0, RARE * len(usual)):
        typical = float(np.median([traits.diameter for traits in usual]))
        text = f"too few such cells: {own.diameter:.0f} pixels across, the training images' are {typical:.0f}"
        return Reason("large" if own.diameter > typical else "small", text)
    sharp = [traits.sharpness for traits in alike if np.isfinite(traits.sharpness)]
    if len(sharp) >= FEWEST_IMAGES and 0 < own.sharpness < min(sharp) / BEYOND:
        times = float(np.median(sharp)) / own.sharpness
        return Reason("blurred", f"out of focus: {times:.1f} times less sharp than training images")
    return _brightness(own, usual) or _crowding(own, usual)


def _brightness(own: Traits, usual: Sequence[Traits]) -> Reason | None:
    contrasts = [traits.contrast for traits in usual]
    numbers = f"contrast {own.contrast:.2f} against {np.median(contrasts):.2f}"
    if own.contrast < min(contrasts) / BEYOND:
        return Reason("dim", f"dimmer than the training images: {numbers}")
    if own.contrast > max(contrasts) * BEYOND:
        return Reason("bright", f"brighter than the training images: {numbers}")
    return None


def _crowding(own: Traits, usual: Sequence[Traits]) -> Reason | None:
    most = max(traits.covered for traits in usual)
    if own.covered <= most * BEYOND:
        return None
    text = f"cells cover {100 * own.covered:.0f} % of it, of training images at most {100 * most:.0f} %"
    return Reason("crowded", f"more crowded: {text}")


def _clearest_channel(images: Sequence[PreparedImage]) -> int:
    def contrast(channel: int) -> float:
        measured = (measure(prepared, channel) for prepared in images)
        return sum(traits.contrast for traits in measured if traits is not None)

    channels = range(len(images[0].image)) if images else range(1)
    return max(channels, key=contrast) if len(channels) > 1 else 0


def _outlines(labels: NDArray[np.int32]) -> float:
    """Return the part of the pixels at which another object, or none, begins."""
    ends = np.zeros(labels.shape, bool)
    ends[1:] |= labels[1:] != labels[:-1]
    ends[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return float(ends.mean())


def _middle(shape: tuple[int, ...]) -> tuple[slice, slice]:
    y, x = (max(0, (length - SIDE) // 2) for length in shape)
    return slice(y, y + SIDE), slice(x, x + SIDE)
