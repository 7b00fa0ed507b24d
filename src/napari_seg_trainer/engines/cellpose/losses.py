"""What Cellpose learns: flows and probability (Stringer et al. 2021, https://doi.org/10.1038/s41592-020-01018-x)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_seg_trainer.engines.cellpose.samples import Sample
from napari_seg_trainer.engines.torch.training import Batch

FLOW_SCALE = 5.0


def batch_of(samples: Sequence[Sample]) -> Batch:
    """Put samples of one size together; the targets are as in `Sample`."""
    images, targets = (np.stack(arrays) for arrays in zip(*((s.image, s.target) for s in samples), strict=True))
    return Batch(torch.from_numpy(images), torch.from_numpy(targets))


def losses(answer: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return the loss of the flows, that of the probability, and their sum; pixels that do not count are left out.

    Half the mean squared error of 5 times the flows, and the binary cross entropy.
    """
    cell, flows, counts = target[:, 0], target[:, 1:3], target[:, 3]
    pixels = counts.sum().clamp_min(1.0)
    error = ((answer[:, :2] - FLOW_SCALE * flows).square().mean(1) * counts).sum() / pixels
    entropy = functional.binary_cross_entropy_with_logits(answer[:, 2], cell, weight=counts, reduction="sum") / pixels
    return {"loss": 0.5 * error + entropy, "flow_loss": 0.5 * error, "probability_loss": entropy}
