"""Small images of the kinds that the documentation speaks of."""

from pathlib import Path

import numpy as np
from PIL import Image

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage

SIDE, COUNT = 96, 3


def write_images(folder: Path, *, channels: tuple[str, ...], seed: int = 0, prefix: str = "cell") -> None:
    """Write annotated images of bright discs."""
    rng = np.random.default_rng(seed)
    for number in range(COUNT):
        labels = _discs(rng)
        planes = [(rng.normal(100, 5, labels.shape) + 400 * (labels > 0)).astype(np.uint16) for _ in channels]
        AnnotatedImage(np.stack(planes), labels, channels, f"{prefix}_{number:02}", pixel_size=0.5).write(folder)


def colour_images(folder: Path) -> None:
    """Write PNG images of dark, bluish discs on a pink ground."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(COUNT):
        inside = (_discs(rng) > 0)[..., None]
        picture = np.where(inside, (90, 60, 140), (235, 190, 215)) + rng.normal(0, 4, (SIDE, SIDE, 3))
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"slide_{number:02}.png")


def _discs(rng: np.random.Generator) -> np.ndarray:
    labels = np.zeros((SIDE, SIDE), np.int32)
    rows, columns = np.indices(labels.shape)
    centres = [(y, x) for y in range(12, SIDE, 24) for x in range(12, SIDE, 24)]
    for number, (y, x) in enumerate(centres, start=1):
        y, x = np.add((y, x), rng.integers(-2, 3, 2))
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= rng.integers(6, 10) ** 2] = number
    return labels
