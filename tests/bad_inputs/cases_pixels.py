"""Arrays that no network can learn from, in files and as layers of a viewer."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bad_inputs.case import SIZE, Case, array, content, good_image, good_labels, layers
from bad_inputs.formats import npy

Change = Callable[[np.ndarray], Any]
HALF = np.float32(0.5)

MASKS: dict[str, Change] = {
    "five axes": lambda mask: np.stack([[[mask] * 2] * 2] * 2),
    "complex": lambda mask: mask.astype(np.complex64),
    "NaN": lambda mask: np.full(mask.shape, np.nan, np.float32),
    "one pixel of NaN": lambda mask: np.where(mask == 0, np.nan, mask).astype(np.float32),
    "infinite": lambda mask: np.full(mask.shape, np.inf, np.float32),
    "fractions": lambda mask: mask + HALF,
    "negative": lambda mask: mask.astype(np.int16) - 1,
    "all negative": lambda mask: np.full(mask.shape, -7, np.int32),
    "labels at 2**31": lambda mask: mask.astype(np.uint32) * 2**29,
    "labels at 2**32": lambda mask: np.where(mask > 0, 2**32 - 1, 0).astype(np.uint32),
    "labels above 2**32": lambda mask: mask.astype(np.uint64) * 2**33,
    "labels at 2**64": lambda mask: np.where(mask > 0, 2**64 - 1, 0).astype(np.uint64),
    "labels below -2**32": lambda mask: -(mask.astype(np.int64) * 2**33),
    "labels of 1e30": lambda mask: mask * np.float64(1e30),
    "colours": lambda mask: np.stack([mask.astype(np.uint8)] * 3, -1),
    "colours and transparency": lambda mask: np.stack([mask.astype(np.uint8)] * 4, -1),
    "a row only": lambda mask: mask[:1],
    "another height": lambda mask: mask[:30],
    "turned by a quarter": lambda mask: mask[:30].T,
    "one number for all objects": lambda mask: (mask > 0).astype(np.uint8),
}

IMAGES: dict[str, Change] = {
    "five axes": lambda image: np.stack([[[image] * 2] * 2] * 2),
    "complex": lambda image: image.astype(np.complex128),
    "another width": lambda image: image[:, :20],
    "one pixel": lambda image: image[:1, :1],
    "two channels where others have one": lambda image: np.stack([image] * 2),
}

USABLE_IMAGES: dict[str, tuple[Change, str, str]] = {
    "NaN": (lambda image: np.full(image.shape, np.nan, np.float32), "they count as dark", "not-a-number"),
    "infinite": (lambda image: np.full(image.shape, np.inf, np.float32), "they count as dark", "not-a-number"),
    "half infinite": (lambda image: np.where(image > 100, -np.inf, image), "they count as dark", "not-a-number"),
    "the same value everywhere": (lambda image: image * 0, "there may be nothing to see", "constant-channel"),
    "black and white": (lambda image: image > 100, "a picture of two values is one", "too-few-images"),
    "half floats": (lambda image: image.astype(np.float16), "they are widened", "too-few-images"),
    "values of 1e300": (lambda image: image * np.float64(1e300), "only their order counts", "too-few-images"),
    "the largest floats": (
        lambda image: np.where(image > 100, np.float32(3e38), np.float32(-3e38)),
        "only their order counts",
        "too-few-images",
    ),
    "64 bits": (lambda image: image.astype(np.uint64) * 2**56, "only their order counts", "too-few-images"),
}

USABLE_MASKS: dict[str, tuple[Change, str, str]] = {
    "nothing": (lambda mask: mask * 0, "an image may show no object", "empty-mask"),
    "decimal numbers": (lambda mask: mask.astype(np.float64), "they are whole", "decimal-labels"),
    "64 bits": (lambda mask: mask.astype(np.int64), "the numbers are small", "too-few-images"),
    "black and white, one object": (lambda mask: mask == 1, "one object may be all there is", "too-few-images"),
    "the largest label": (
        lambda mask: np.where(mask > 0, mask + np.uint32(2**31 - 5), 0).astype(np.uint32),
        "objects are numbered anew",
        "too-few-images",
    ),
}


def only_for_layers(name: str, *, image: Any = None, labels: Any = None, **attributes: Any) -> Case:
    """What no TIFF can hold, in place of which the file is a NumPy file by its content."""
    return Case(name, content(npy("'<u2'", "(40, 40)", bytes(3200))), layers=layers(image, labels, **attributes))


def _objects(shape: tuple[int, ...] = (SIZE, SIZE)) -> np.ndarray:
    values = np.empty(shape, object)
    values.fill("cell")
    return values


CASES = [
    *(
        Case(f"mask: {name}", array(change), "mask", layers=layers(None, change(good_labels())))
        for name, change in MASKS.items()
    ),
    *(Case(f"image: {name}", array(change), layers=layers(change(good_image()))) for name, change in IMAGES.items()),
    *(
        Case(f"image: {name}", array(change), usable=why, found=found, layers=layers(change(good_image())))
        for name, (change, why, found) in USABLE_IMAGES.items()
    ),
    *(
        Case(
            f"mask: {name}", array(change), "mask", usable=why, found=found, layers=layers(None, change(good_labels()))
        )
        for name, (change, why, found) in USABLE_MASKS.items()
    ),
    only_for_layers("layers: an image of objects", image=_objects()),
    only_for_layers("layers: labels of objects", labels=_objects()),
    only_for_layers("layers: an image of dates", image=good_image().astype("datetime64[s]")),
    only_for_layers("layers: an image of text", image=good_image().astype("U3")),
    only_for_layers("layers: an image of records", image=np.zeros((SIZE, SIZE), [("a", "u1"), ("b", "f4")])),
    only_for_layers("layers: an image of 128 bits", image=good_image().astype(np.longdouble)),
    only_for_layers("layers: no height", image=good_image()[:0], labels=good_labels()[:0]),
    only_for_layers("layers: no frames", image=good_image()[None][:0], labels=good_labels()[None][:0]),
    only_for_layers("layers: one axis", image=good_image()[0], labels=good_labels()[0]),
    only_for_layers("layers: lists of several lengths", image=[[1, 2, 3], [4, 5]]),
    only_for_layers("layers: nothing at all", image=[], labels=[]),
    only_for_layers("layers: the smallest pixel size", scale=(1e-300, 1e-300), units=("um", "um")),
    only_for_layers("layers: a pixel of a picometre", scale=(1e-6, 1e-6), units=("um", "um")),
    only_for_layers("layers: the largest pixel size", scale=(1e300, 1e300), units=("um", "um")),
]
