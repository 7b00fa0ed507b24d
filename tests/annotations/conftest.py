from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage

Make = Callable[..., AnnotatedImage]


def discs(shape: tuple[int, int] = (96, 96), radius: int = 6, step: int = 24) -> np.ndarray:
    """Labels of discs on a grid."""
    labels = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    centres = [(y, x) for y in range(step // 2, shape[0], step) for x in range(step // 2, shape[1], step)]
    for number, (y, x) in enumerate(centres, start=1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number
    return labels


@pytest.fixture
def make() -> Make:
    """Annotated images with bright discs on a dim, noisy background; another seed is another image."""

    def build(stem: str = "cell_01", seed: int = 0, **changes: Any) -> AnnotatedImage:
        labels = changes.pop("labels", None)
        labels = discs() if labels is None else labels
        noise = np.random.default_rng(seed).integers(90, 110, labels.shape)
        image = (noise + 400 * (discs(labels.shape) > 0)).astype(np.uint16)[np.newaxis]
        values: dict[str, Any] = {"image": image, "labels": labels, "channels": ("dapi",), "stem": stem}
        return AnnotatedImage(**(values | changes))

    return build


@pytest.fixture
def folder(tmp_path: Path, make: Make) -> Path:
    """An annotation folder of six good images."""
    target = tmp_path / "annotations_nuclei"
    for i in range(6):
        make(f"cell_{i:02}", seed=i, pixel_size=0.5).write(target)
    return target
