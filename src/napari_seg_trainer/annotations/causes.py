"""Why a whole mask is wrong: one cause that is reported in place of the many things that follow from it.

A mask that belongs to its image shows where it is bright or dark: both are correlated over the pixels. Of one that was
turned, or is another image's, nothing is left of that.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.findings import Finding, Severity
from napari_seg_trainer.annotations.objects import Objects

SAMPLES = 64
"""Pixels along each side that are looked at to see whether a mask fits an image."""

OF_WHOLE_MASKS = (
    "numbered-background", "interpolated-mask", "wrapped-numbers", "turned-mask", "untold-planes", "older-mask"
)  # fmt: skip
"""Codes of findings that, where they are of one image, are often of all."""

_FITS = 0.4
_FITS_NOT = 0.2
_MANY = 8
_STRAY = 4
"""Pixels of a piece that no brush leaves so often."""

_Turn = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]
_HALF_TURNS: dict[str, _Turn] = {
    "mirrored top to bottom": lambda mask: mask[::-1],
    "mirrored left to right": lambda mask: mask[:, ::-1],
    "turned by 180°": lambda mask: mask[::-1, ::-1],
}
_QUARTER_TURNS: dict[str, _Turn] = {  # of square masks
    "transposed (rows and columns exchanged)": lambda mask: mask.T,
    "turned by 90° to the left": lambda mask: np.rot90(mask),
    "turned by 90° to the right": lambda mask: np.rot90(mask, -1),
}


def cause_of(image: AnnotatedImage, objects: Objects) -> Finding | None:
    """Return why the mask of an image with objects is wrong as a whole; None if nothing shows it."""
    return next((found for check in _CAUSES for found in check(image, objects)), None)


def _error(code: str, message: str, label: int | None = None) -> Finding:
    return Finding(severity=Severity.ERROR, code=code, message=message, label=label)


def _numbered_background(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    largest = int(objects.areas.argmax())
    area, others = int(objects.areas[largest]), np.delete(objects.areas, largest)
    is_nearly_all = (objects.image == 0).mean() < 0.01
    sides = (objects.image[0], objects.image[-1], objects.image[:, 0], objects.image[:, -1])
    touched = sum((side == largest + 1).any() for side in sides)
    if is_nearly_all and touched >= 3 and len(others) and area > max(4 * int(others.max()), objects.image.size / 5):
        label = int(objects.labels[largest])
        share = area / objects.image.size
        yield _error(
            "numbered-background",
            f"The background has the number {label}: it fills {share:.0%} of the image and no pixel is 0, as in masks "
            f"of LabKit or ilastik. Set {label} to 0 in all masks.",
            label,
        )


def _interpolated(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    stray = int((objects.pieces.areas <= _STRAY).sum())
    count = len(objects.labels)
    if stray > max(20, 5 * count) and len(np.unique(objects.pieces.owners)) > 1:
        yield _error(
            "interpolated-mask",
            f"The mask has {stray} specks along the borders of its {count} objects, as when it was enlarged, shrunk or "
            "turned with interpolation. Create it again without interpolation (nearest neighbour).",
        )


def _wrapped(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    if int(objects.labels[-1]) != 255 or len(objects.labels) < 200:
        return
    pieces = objects.pieces
    large = pieces.areas >= max(_STRAY + 1, 0.3 * float(np.median(pieces.areas)))
    several = np.bincount(pieces.owners[large], minlength=len(objects.labels) + 1)[1:] > 1
    if several.sum() >= 2:
        label = int(objects.labels[several.argmax()])
        yield _error(
            "wrapped-numbers",
            f"The labels restart after 255: {int(several.sum())} of them, such as {label}, are on two objects or "
            "more, as the mask was saved with 8 bits. Save it again with 16 bits.",
            label,
        )


def _turned(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    if len(objects.labels) < 3 or objects.ignored is not None:  # objects without a label would fit as well
        return
    pixels, mask = samples(image)
    own = fit(pixels, mask)
    if own >= _FITS_NOT:
        return
    turns = _HALF_TURNS
    if image.labels.shape[0] == image.labels.shape[1]:
        turns = _HALF_TURNS | _QUARTER_TURNS
    fits = {how: fit(pixels, turn(mask)) for how, turn in turns.items()}
    how = max(fits, key=lambda name: fits[name])
    if fits[how] >= max(_FITS, own + 0.3):
        message = f"The mask does not fit its image; it does when {how}. Save it in the same orientation as the image."
        # a few large objects may do so by chance
        severity = Severity.ERROR if len(objects.labels) >= _MANY else Severity.WARNING
        yield Finding(severity=severity, code="turned-mask", message=message)


_CAUSES = (_numbered_background, _interpolated, _wrapped, _turned)


def samples(image: AnnotatedImage) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return some pixels of an image and its mask, at the same places.

    Returns
    -------
    NDArray of uint8, axes CYX
        Intensities between the 1st and the 99th percentile, as 0 to 255; at most `SAMPLES` along each side.
    NDArray of bool, axes YX
        Whether there is an object.
    """
    rows, columns = (np.linspace(0, n - 1, min(n, SAMPLES)).astype(int) for n in image.labels.shape)
    pixels = np.nan_to_num(image.image[:, rows[:, None], columns].astype(np.float64), posinf=0, neginf=0)
    pixels /= max(float(np.abs(pixels).max()), 1.0)
    low, high = np.percentile(pixels, (1, 99), axis=(1, 2), keepdims=True)
    scaled = (pixels - low) / np.where(high > low, high - low, np.inf) * 255
    return np.clip(scaled, 0, 255).astype(np.uint8), image.labels[rows[:, None], columns] > 0


def fit(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Return how well a mask (YX) shows where the channel (of CYX) that fits it best is bright or dark.

    Returns
    -------
    float
        The amount of Pearson's correlation: 0 for not at all, to 1.
    """
    planes, drawn = _standard(pixels.reshape(len(pixels), -1)), _standard(mask.reshape(-1))
    return float(np.abs(planes @ drawn).max())


def _standard(values: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return values with a mean of 0 and a length of 1 along the last axis; 0 where they are all equal."""
    centred = values.astype(np.float32) - values.mean(-1, dtype=np.float32, keepdims=True)
    length = np.sqrt((centred * centred).sum(-1, keepdims=True))
    scaled: NDArray[np.float32] = centred / np.where(length > 1e-6, length, np.inf)
    return scaled


def exchanged(images: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.bool_]]) -> Iterator[tuple[int, int]]:
    """Yield each mask that does not fit its own image, and the image that it fits.

    Parameters
    ----------
    images : sequence of NDArray of uint8, axes CYX
        As `samples` gives them, all of one shape.
    masks : sequence of NDArray of bool, axes YX
        In the images' order.
    """
    if len(images) < 2:
        return
    planes = _standard(np.stack(images).reshape(len(images), len(images[0]), -1).swapaxes(0, 1))
    drawn = _standard(np.stack(masks).reshape(len(masks), -1))
    own = np.abs(np.einsum("np,cnp->cn", drawn, planes, optimize=True)).max(0)
    for place in np.flatnonzero(own < _FITS_NOT):  # which are few, of right masks
        fits = np.abs(planes @ drawn[place]).max(0)
        fits[place] = 0
        other = int(fits.argmax())
        if fits[other] >= max(_FITS, own[place] + 0.3) and own[other] < _FITS_NOT + 0.1:
            yield int(place), other
