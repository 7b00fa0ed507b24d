"""Images of bright discs, which every engine can learn to segment in seconds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_seg_trainer.annotations.prepare import PreparedImage, PreparedImages
from napari_seg_trainer.engines.protocol import TrainingData

MARGIN = 2
"""Pixels between two discs, and between a disc and the image's border, at least."""


def disc_image(shape: tuple[int, int], channels: int, seed: int, radii: tuple[int, int] = (4, 9)) -> PreparedImage:
    """Return an image of discs of several sizes that do not touch, on a dim and noisy background.

    Parameters
    ----------
    shape : (int, int)
        Height and width, pixels.
    channels : int
        The discs are as bright in each, the noise differs.
    seed : int
        Another seed is another image.
    radii : (int, int)
        Smallest and largest radius, pixels.
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    for _ in range(60):
        radius = min(int(rng.integers(radii[0], radii[1] + 1)), (min(shape) - 1) // 2 - MARGIN)
        reach = radius + MARGIN
        y, x = (int(rng.integers(reach, length - reach)) for length in shape)
        distance = np.hypot(rows - y, columns - x)
        if not labels[distance <= reach].any():
            labels[distance <= radius] = labels.max() + 1
    image = 0.1 + 0.8 * (labels > 0) + rng.normal(0.0, 0.05, (channels, *shape))
    return PreparedImage(f"discs_{seed}", image.astype(np.float32), labels)


def disc_data(folder: Path, channels: int, shapes: Sequence[tuple[int, int]]) -> TrainingData:
    """Return training images of the given shapes and three validation images, mapped from files in `folder`."""
    training = [disc_image(shape, channels, seed) for seed, shape in enumerate(shapes)]
    validation = [disc_image(shape, channels, 100 + seed) for seed, shape in enumerate(shapes[:3])]
    areas = np.concatenate([np.bincount(prepared.labels.ravel())[1:] for prepared in training])
    return TrainingData(
        training=PreparedImages.write(folder / "training", training, lambda _: None),
        validation=PreparedImages.write(folder / "validation", validation, lambda _: None),
        object_diameters=np.sqrt(areas * 4 / np.pi),
        object_extents=np.concatenate([_extents(prepared.labels) for prepared in training]),
    )


def _extents(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    return np.array([max(s.stop - s.start for s in box) for box in find_objects(labels)], np.float64)
