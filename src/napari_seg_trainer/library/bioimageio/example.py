"""The image that an exported model is tested with, and the picture on its cover."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.schema.model_card import ModelCard

_DIAMETER = 20.0
_COVER_SIDE = 256


def middle(image: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Return the square in the middle of an image (CYX).

    Raises
    ------
    LibraryError
        If the image is smaller.
    """
    height, width = image.shape[1:]
    if min(height, width) < side:
        raise LibraryError(
            f"The example image has {height} × {width} pixels at the model's pixel size; {side} × {side} are needed. "
            "Choose a larger one, or none."
        )
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side].astype(np.float32)


def drawn_image(card: ModelCard, side: int) -> NDArray[np.float32]:
    """Return a square image (CYX) of blurred discs, as large and bright as the model expects; always the same."""
    rng = np.random.default_rng(0)
    discs = _discs(side, card.object_diameter or _DIAMETER, rng)
    planes = [0.1 + 0.7 * discs + rng.normal(0, 0.02, discs.shape) for _ in card.channels]
    ranges = [
        (how.low, how.high) if how.mode == "values" else (0.0, 1000.0)
        for how in (channel.normalization for channel in card.channels)
    ]
    return np.stack([low + (high - low) * plane for plane, (low, high) in zip(planes, ranges, strict=True)]).astype(
        np.float32
    )


def _discs(side: int, diameter: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return discs (YX, from 0 to 1), each somewhere near the middle of its cell of a grid."""
    cell = max(2, round(1.5 * diameter))
    count = -(-side // cell)
    centres = cell * (np.indices((count, count)) + 0.5 + rng.uniform(-0.15, 0.15, (2, count, count)))
    rows, columns = np.indices((side, side))
    y, x = centres[:, rows // cell, columns // cell]
    outside = np.hypot(rows - y, columns - x) - diameter / 2
    return np.asarray(np.clip(0.5 - outside / max(1.0, 0.1 * diameter), 0, 1))


def cover(image: NDArray[np.float32], labels: NDArray[np.int32]) -> bytes:
    """Return a PNG, twice as wide as high: the first channel of a normalized image (CYX), and the labels (YX) on it."""
    from skimage.color import label2rgb  # takes a while to import

    shown = np.clip(image[0], 0, 1)
    pictures = np.repeat(shown[..., np.newaxis], 3, axis=-1), label2rgb(labels, shown, alpha=0.5, bg_label=0)
    buffer = BytesIO()
    Image.fromarray(np.hstack([_scaled(picture) for picture in pictures])).save(buffer, "PNG")
    return buffer.getvalue()


def _scaled(picture: NDArray[np.float64]) -> NDArray[np.uint8]:
    whole = Image.fromarray((255 * picture).round().astype(np.uint8))
    return np.asarray(whole.resize((_COVER_SIDE, _COVER_SIDE)))
