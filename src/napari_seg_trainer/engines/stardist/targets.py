"""What the network should answer: object probability and distances to the object's border."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from stardist.geometry import star_dist
from stardist.utils import edt_prob

from napari_seg_trainer.annotations.patches import Patch

DISTANCE_WEIGHT, BACKGROUND_WEIGHT = 0.2, 1e-4
EPSILON = 1e-7
"""Of the loss; as in StarDist."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Input and targets of one step.

    Attributes
    ----------
    image : NDArray of float32, axes BYXC
    probability : NDArray of float32, axes BYX, on the grid
        Distance to the border, 1 at each object's innermost point, 0 in the background, -1 where it does not count.
    distances : NDArray of float32, axes BYXR, on the grid
        Distance in pixels to the object's border along each ray.
    """

    image: NDArray[np.float32]
    probability: NDArray[np.float32]
    distances: NDArray[np.float32]


def make_batch(patches: Sequence[Patch], rays: int, grid: int) -> Batch:
    """Return the batch of some patches, with StarDist's own distances and probabilities (Schmidt et al. 2018)."""
    targets = [_targets(patch.labels, rays, grid) for patch in patches]
    return Batch(
        np.stack([np.moveaxis(patch.image, 0, -1) for patch in patches]).astype(np.float32, copy=False),
        np.stack([probability for probability, _ in targets]),
        np.stack([distances for _, distances in targets]),
    )


def _targets(labels: NDArray[np.int32], rays: int, grid: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    ignored = labels < 0
    labels = np.maximum(labels, 0)
    if labels.max() > np.iinfo(np.uint16).max:  # the distances are computed on 16-bit labels
        values, places = np.unique(labels, return_inverse=True)
        labels = (places.reshape(labels.shape) + (values[0] > 0)).astype(np.int32)
    distances = star_dist(labels, rays, grid=(grid, grid))
    on_grid = labels[::grid, ::grid]
    if on_grid.any() and on_grid.min() == on_grid.max():
        # an object that fills the patch has no border in it, so its probability is unknown
        probability = np.full(on_grid.shape, -1, np.float32)
    else:
        probability = edt_prob(on_grid).astype(np.float32)
    probability[ignored[::grid, ::grid]] = -1
    return probability, distances
