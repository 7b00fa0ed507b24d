"""One training loop for both networks: a step, the loss, the running mean of the weights, and their state on disk."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_seg_trainer.engines.cellpose.computing import Computing
from napari_seg_trainer.engines.cellpose.samples import Sample
from napari_seg_trainer.engines.cellpose.state import save
from napari_seg_trainer.engines.protocol import TrainingContext

FLOW_SCALE = 5.0
MOMENTUM = 0.9
CHECKPOINT_FILE, MEANS_FILE = "training.pth", "means.pth"
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one step: `image` (BCYX), and `target` (BCYX) as in `Sample`."""

    image: Tensor
    target: Tensor

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        """Put samples of one size together."""
        images, targets = (np.stack(arrays) for arrays in zip(*((s.image, s.target) for s in samples), strict=True))
        return cls(torch.from_numpy(images), torch.from_numpy(targets))

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.image)

    def split(self, most: int) -> list["Batch"]:
        """Return parts of at most `most` samples each."""
        parts = zip(self.image.split(most), self.target.split(most), strict=True)
        return [Batch(image, target) for image, target in parts]


def losses(answer: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of the flows and that of the probability; pixels that do not count are left out.

    Half the mean squared error of 5 times the flows, and the binary cross entropy (Stringer et al. 2021).
    """
    cell, flows, counts = target[:, 0], target[:, 1:3], target[:, 3]
    pixels = counts.sum().clamp_min(1.0)
    error = ((answer[:, :2] - FLOW_SCALE * flows).square().mean(1) * counts).sum() / pixels
    entropy = functional.binary_cross_entropy_with_logits(answer[:, 2], cell, weight=counts, reduction="sum") / pixels
    return 0.5 * error, entropy


class Trainer:
    """A network, its optimizer and the running mean of its weights.

    Validation and the model use an exponential mean of the weights, which is steadier than the weights themselves
    (Polyak averaging). Where the memory does not hold a batch, it is halved, and the gradients are added up.

    Parameters
    ----------
    network : nn.Module
        Returns a tuple that begins with flows and probability.
    optimizer : torch.optim.Optimizer
    computing : Computing
    context : TrainingContext
        Is told when the memory is short.
    mean_decay : float
        How much of the mean is kept at each step, once enough steps are done; 0 for no mean.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        computing: Computing,
        context: TrainingContext,
        mean_decay: float = 0.99,
    ) -> None:
        self.network, self.optimizer, self.computing = network, optimizer, computing
        self._context = context
        self._decay = mean_decay
        self._steps = 0
        self._most: int | None = None
        self._weights = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
        self._means = {name: value.clone() for name, value in self._weights.items()} if mean_decay else {}

    def train_step(self, batch: Batch, learning_rate: float) -> dict[str, float]:
        """Do one step and return the batch's losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.network.train()
        found = self._gradients(batch)
        self.optimizer.step()
        self._steps += 1
        self._average()
        return _named(found)

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return the mean losses of the averaged weights, each weighted with its batch's size."""
        found, sizes = [], []
        with self.averaged(), torch.no_grad():
            for batch in batches:
                parts = batch.split(self._most or len(batch))
                found += [[float(loss) for loss in self._losses(part)] for part in parts]
                sizes += [len(part) for part in parts]
        return {f"val_{name}": value for name, value in _named(np.average(found, axis=0, weights=sizes)).items()}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the running means as the network's weights, and have it predict."""
        self.network.eval()
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def save(self, folder: Path) -> None:
        """Write the averaged weights, and all that is needed to go on."""
        state = self.network.state_dict()
        save({**_portable(state), **_portable(self._means)}, folder / MEANS_FILE)
        going_on = {"weights": _portable(state) if self._means else {}, "optimizer": self.optimizer.state_dict()}
        save({**going_on, "steps": self._steps, "most": self._most or 0}, folder / CHECKPOINT_FILE)
        self.computing.keep(folder)

    def restore(self, folder: Path) -> None:
        """Read what `save` wrote."""
        means = torch.load(folder / MEANS_FILE, map_location="cpu", weights_only=True)
        rest = torch.load(folder / CHECKPOINT_FILE, map_location="cpu", weights_only=True)
        self.network.load_state_dict(rest["weights"] or means)
        for name, mean in self._means.items():
            mean.copy_(means[name])
        self.optimizer.load_state_dict(rest["optimizer"])
        self._steps, self._most = rest["steps"], rest["most"] or None

    def _gradients(self, batch: Batch) -> list[float]:
        """Fill in the gradients of a batch, in parts as large as the memory allows; return its losses."""
        while True:
            most = self._most or len(batch)
            try:
                self.optimizer.zero_grad(set_to_none=True)
                return self._add_up(batch.split(most), len(batch))
            except (RuntimeError, MemoryError) as error:
                if not _is_memory(error):
                    raise
                if most == 1:
                    raise MemoryError from error
            self._most = max(1, most // 2)
            if self.computing.device.type == "cuda":
                torch.cuda.empty_cache()
            self._context.log(
                f"The memory does not hold {most} samples at once: from now on {self._most} at a time, which is "
                "slower and learns the same.",
                "warning",
            )

    def _add_up(self, parts: Sequence[Batch], total: int) -> list[float]:
        sums = [0.0, 0.0]
        for part in parts:
            share = len(part) / total
            found = self._losses(part)
            (sum(found) * share).backward()
            sums = [value + float(loss.detach()) * share for value, loss in zip(sums, found, strict=True)]
        return sums

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with self.computing.precision():
            answer = self.network(self.computing.take(batch.image))[0]
        return losses(answer.float(), batch.target.to(self.computing.device))

    def _average(self) -> None:
        decay = min(self._decay, (1.0 + self._steps) / (10.0 + self._steps))
        for name, mean in self._means.items():
            mean.lerp_(self._weights[name], 1.0 - decay)

    def _swap(self) -> None:
        for name, mean in self._means.items():
            weight = self._weights[name]
            kept = weight.clone()
            weight.copy_(mean)
            mean.copy_(kept)


def _portable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as every program of PyTorch reads them."""
    return {name: value.detach().to("cpu").contiguous() for name, value in state.items()}


def _named(found: Any) -> dict[str, float]:
    flow, probability = (float(loss) for loss in found)
    return {"loss": flow + probability, "flow_loss": flow, "probability_loss": probability}


def _is_memory(error: BaseException) -> bool:
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(words in str(error).lower() for words in _NO_MEMORY)
