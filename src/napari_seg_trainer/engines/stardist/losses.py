"""What StarDist learns: probability and distances (Schmidt et al. 2018, doi.org/10.1007/978-3-030-00934-2_30)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_seg_trainer.annotations.patches import Patch
from napari_seg_trainer.engines.stardist.targets import BACKGROUND_WEIGHT, DISTANCE_WEIGHT, EPSILON, make_batch
from napari_seg_trainer.engines.stardist.unet import StarDistNet
from napari_seg_trainer.engines.torch.training import Batch


def batch_of(patches: Sequence[Patch], rays: int, grid: int) -> Batch:
    """Put patches of one size together; the target is the probability, then the distances, on the grid."""
    made = make_batch(patches, rays, grid)
    target = np.concatenate([made.probability[..., None], made.distances], axis=-1)
    image, wanted = (torch.from_numpy(array).permute(0, 3, 1, 2) for array in (made.image, target))
    return Batch(image, wanted)


def losses(answer: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return StarDist's loss, and of what it is made.

    It is the binary cross entropy of the probability, plus 0.2 times the mean absolute error of the distances weighted
    with the probability, plus a small pull to 0 in the background.
    """
    said, reached, distances = answer[:, 0], answer[:, 1:], target[:, 1:]
    counts = (target[:, 0] >= 0).to(answer.dtype)
    wanted = target[:, 0].clamp_min(0.0)
    pixels = counts.sum().clamp_min(1.0)
    entropy = functional.binary_cross_entropy_with_logits(said, wanted, weight=counts, reduction="sum") / pixels
    error = (distances - reached).abs().mean(1)
    background = ((counts - wanted) * reached.abs().mean(1)).mean()
    distance = (wanted * error).mean() / (wanted.mean() + EPSILON)
    loss = entropy + DISTANCE_WEIGHT * (distance + BACKGROUND_WEIGHT * background)
    return {"loss": loss, "probability_loss": entropy, "distance_loss": distance}


def expect_distances(network: StarDistNet, batches: Sequence[Batch]) -> None:
    """Begin at the mean distance of these batches, so that no steps go into finding the scale of pixels."""
    weights = [batch.target[:, 0].clamp_min(0.0) for batch in batches]
    total = sum(float(weight.sum()) for weight in weights)
    if total == 0:
        return
    pairs = zip(batches, weights, strict=True)
    mean = sum(float((batch.target[:, 1:].mean(1) * weight).sum()) for batch, weight in pairs) / total
    network.distances.weight.data.mul_(mean)
    network.distances.bias.data.fill_(mean)
