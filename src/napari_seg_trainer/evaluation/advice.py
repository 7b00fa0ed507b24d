"""Which images are worst and why, which kinds of mistakes matter, and what to annotate next."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg_trainer.annotations.findings import counted
from napari_seg_trainer.annotations.objects import find_objects
from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.selection import spread
from napari_seg_trainer.evaluation.scores import ImageScore, Mistakes, Scores

MOST_IMAGES = 50
"""How many training images are looked at, at most."""
FEWEST_IMAGES = 3
"""With fewer, what is usual is unknown."""
SIDE = 1024
"""Of a larger image the middle is looked at, pixels."""
ALIKE = 4 / 3
"""Two objects count as equally large if their diameters differ by at most this factor."""
RARE = 0.05
"""A size of objects is rare where fewer than this part of the images, or none, has it."""
BEYOND = 1.5
"""An image stands out if a trait is beyond the training images' highest or lowest value by this factor."""
_SMOOTHING, _HALO = 1.0, 3

Kind = Literal["large", "small", "blurred", "dim", "bright", "crowded"]
POOR = 0.8
WORST_IMAGES = 3
SUCH_IMAGES = 3
"""How many images of a kind to annotate; fewer would not show what is usual for it."""
_MANY = 3
"""Merging or splitting matters where it is at least one such part of what is missed."""
_KINDS: dict[Kind, str] = {
    "large": "images with large cells",
    "small": "images with small cells",
    "dim": "dim images",
    "bright": "bright images",
    "crowded": "images where objects touch",
}


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
        Variance of the Laplacian, which Pech-Pacheco et al. 2000 (ICPR, https://doi.org/10.1109/ICPR.2000.903548) use
        focus by, of the image smoothed by a Gaussian of one pixel. It is divided by the contrast squared and by the
        part of the pixels that lie on an outline, as neither brighter nor more objects make an image sharper.
        Not a number where there is no contrast.
    covered : float
        Part of the annotated pixels that objects cover.
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
    drawn = np.asarray(prepared.labels[window])
    annotated, labels = drawn >= 0, np.maximum(drawn, 0)
    inside = labels > 0
    outside = annotated & ~ndimage.binary_dilation(inside, iterations=_HALO)
    if not inside.any() or not outside.any():
        return None
    contrast = abs(float(np.median(plane[inside]) - np.median(plane[outside])))
    laplacian = float(ndimage.gaussian_laplace(plane, _SMOOTHING).var())
    scale = contrast**2 * _outlines(labels)
    return Traits(
        diameter=float(np.median(np.sqrt(find_objects(labels).areas * 4 / np.pi))),
        contrast=contrast,
        sharpness=laplacian / scale if scale > 0 else float("nan"),
        covered=float(inside.sum() / annotated.sum()),
    )


class TrainingTraits:
    """What the images that a model was trained on are like.

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
        The model's training images.
    images : sequence of PreparedImage
        The images in question.
    progress : callable
        Called with how many training images are looked at, and how many there are to look at.
    """
    if not images:
        return {}
    usual = TrainingTraits(training, progress)
    found = {prepared.name: usual.reason(prepared) for prepared in images}
    return {name: reason for name, reason in found.items() if reason is not None}


def find_reason(own: Traits, usual: Sequence[Traits]) -> Reason | None:
    """Return in what an image is unlike those that a model was trained on.

    The size of the objects comes first: sharpness is only compared among images whose objects are of one size.
    """
    if len(usual) < FEWEST_IMAGES:
        return None
    alike = [traits for traits in usual if 1 / ALIKE <= own.diameter / traits.diameter <= ALIKE]
    if len(alike) < max(1.0, RARE * len(usual)):
        typical = float(np.median([traits.diameter for traits in usual]))
        text = f"cells of unusual size: {own.diameter:.0f} pixels across, {typical:.0f} in the training images"
        return Reason("large" if own.diameter > typical else "small", text)
    sharp = [traits.sharpness for traits in alike if np.isfinite(traits.sharpness)]
    if len(sharp) >= FEWEST_IMAGES and 0 < own.sharpness < min(sharp) / BEYOND:
        times = float(np.median(sharp)) / own.sharpness
        return Reason("blurred", f"out of focus: {times:.1f} times less sharp than training images")
    return _brightness(own, usual) or _crowding(own, usual)


def _brightness(own: Traits, usual: Sequence[Traits]) -> Reason | None:
    contrasts = [traits.contrast for traits in usual]
    numbers = f"contrast {own.contrast:.2f} vs. {np.median(contrasts):.2f}"
    if own.contrast < min(contrasts) / BEYOND:
        return Reason("dim", f"dimmer than the training images: {numbers}")
    if own.contrast > max(contrasts) * BEYOND:
        return Reason("bright", f"brighter than the training images: {numbers}")
    return None


def _crowding(own: Traits, usual: Sequence[Traits]) -> Reason | None:
    most = max(traits.covered for traits in usual)
    if own.covered <= most * BEYOND:
        return None
    text = f"cells cover {100 * own.covered:.0f} % of the image, at most {100 * most:.0f} % in training images"
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


def worst_images(scores: Scores) -> list[ImageScore]:
    """Return the images with the lowest average precision, the lowest first; none where all are good."""
    if len(scores.images) < 2:
        return []
    poor = [image for image in scores.images if image.half.ap < POOR]
    return sorted(poor, key=lambda image: image.half.ap)[:WORST_IMAGES]


def tell_kinds(mistakes: Mistakes) -> str:
    """Name merging and splitting where they make at least a third of what is missed."""
    parts = []
    if _merges(mistakes):
        parts.append(f"{counted(mistakes.merged, 'detection')} merging several objects")
    if _splits(mistakes):
        parts.append(f"{counted(mistakes.split, 'object')} split into pieces")
    return f"{' and '.join(parts)}.".capitalize() if parts else ""


def tell_worst(worst: Sequence[ImageScore], reasons: Mapping[str, Reason]) -> str:
    """Name the worst images, what is wrong there, and why that may be."""
    return f"Worst: {'; '.join(f'{image.image} ({_wrong(image, reasons)})' for image in worst)}." if worst else ""


def tell_next(
    scores: Scores, worst: Sequence[ImageScore], reasons: Mapping[str, Reason], learning: bool = False
) -> str:
    """Say what to annotate next.

    More images of each kind that the worst ones are of, and of objects that touch where many are merged or split, other
    than by blur. Whether it is labelled well is asked of a worst image only if nothing else explains it, such as that
    the network was still learning.
    """
    blurred = {name for name, reason in reasons.items() if reason.kind == "blurred"}
    mistakes = Mistakes.total(image.mistakes for image in scores.images if image.image not in blurred)
    first = {reasons[image.image].kind: image.image for image in reversed(worst) if image.image in reasons}
    wanted = [f"{SUCH_IMAGES} or more {_KINDS[kind]} like {first[kind]}" for kind in _KINDS if kind in first]
    if _touching(mistakes) and "crowded" not in first:
        wanted.append("more images where objects touch")
    unexplained = [image for image in worst if image.image not in reasons]
    if learning:
        parts = ["train longer"] if unexplained else []
    else:
        parts = list(_looking(unexplained, not first and not wanted))
    if wanted:
        parts.append(f"annotate {' and '.join(filter(None, [', '.join(wanted[:-1]), wanted[-1]]))}")
    if "blurred" in first:
        parts.append(f"remove blurred images like {first['blurred']}, or annotate {SUCH_IMAGES} or more of them")
    return f"Next: {'; '.join(parts)}." if parts else ""


def _looking(unexplained: Sequence[ImageScore], is_all: bool) -> Iterator[str]:
    names = [image.image for image in unexplained if not _touching(image.mistakes)]
    if names:
        one = len(names) == 1
        named = names[0] if one else f"{', '.join(names[:-1])} and {names[-1]}"
        then = f", then annotate more images like {'it' if one else 'them'}" if is_all else ""
        yield f"check whether {named} {'is' if one else 'are'} labelled well{then}"


def _wrong(image: ImageScore, reasons: Mapping[str, Reason]) -> str:
    half = image.half
    parts = (
        [f"{half.false_negative} of {half.true_objects} missed"]
        if half.true_objects
        else ["no object in the annotation"]
    )
    if image.mistakes.merged:
        parts.append(f"{image.mistakes.merged} merged")
    if image.mistakes.split:
        parts.append(f"{image.mistakes.split} split")
    if half.false_positive:
        parts.append(f"{half.false_positive} false positive")
    wrong, reason = ", ".join(parts), reasons.get(image.image)
    return wrong if reason is None else f"{wrong}; {reason.text}"


def _merges(mistakes: Mistakes) -> bool:
    return 0 < mistakes.missed <= _MANY * mistakes.merged


def _splits(mistakes: Mistakes) -> bool:
    return 0 < mistakes.missed <= _MANY * mistakes.split


def _touching(mistakes: Mistakes) -> bool:
    return _merges(mistakes) or _splits(mistakes)
