"""One training loop for all networks: a step, the running mean of the weights, their state on disk, and the epochs."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_seg_trainer.annotations.patches import PatchStream
from napari_seg_trainer.engines.protocol import Predictor, TrainingContext, TrainingTask
from napari_seg_trainer.engines.torch.computing import Computing
from napari_seg_trainer.engines.torch.files import load_tensors, portable, save
from napari_seg_trainer.schema.job import settled

CHECKPOINT_FILE, MEANS_FILE = "training.pth", "means.pth"
MOST_WARM_UP = 0.1
"""Part of all steps in which the learning rate rises, at most."""
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")

Losses = Callable[[Tensor, Tensor], Mapping[str, Tensor]]
"""From a network's answer and the target (float32, BCYX), the losses by name: ``loss`` is what is made small."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one step.

    Attributes
    ----------
    image, target : Tensor, axes BCYX
        What the network is shown, and what its answer is compared with.
    """

    image: Tensor
    target: Tensor

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.image)

    def pinned(self) -> "Batch":
        """Return the same in memory from which a GPU fetches it beside its work."""
        return Batch(self.image.pin_memory(), self.target.pin_memory())

    def split(self, most: int) -> list["Batch"]:
        """Return parts of at most `most` samples each."""
        parts = zip(self.image.split(most), self.target.split(most), strict=True)
        return [Batch(image, target) for image, target in parts]


class Trainer:
    """A network, its optimizer and the running mean of its weights.

    Validation and the model use an exponential mean of the weights, which is steadier than the weights themselves
    (Polyak averaging). Where the memory does not hold a batch, it is halved, and the gradients are added up.

    Parameters
    ----------
    network : nn.Module
        Returns its answer (BCYX), or a tuple that begins with it.
    losses : callable
        See `Losses`.
    optimizer : torch.optim.Optimizer
    computing : Computing
    context : TrainingContext
        Called when the memory is short.
    mean_decay : float
        How much of the mean is kept at each step, once enough steps are done; 0 for no mean.
    keep : float
        How much of the weights that the network has now stays in those that predict, from 0 to 1: between a model and
        what was made of it for few images lie better ones than either (Wortsman et al. 2022, arXiv:2109.01903).
    notes : mapping of str to str, optional
        Files that each epoch's folder gets as well, and their texts.
    """

    def __init__(
        self,
        network: nn.Module,
        losses: Losses,
        optimizer: torch.optim.Optimizer,
        computing: Computing,
        context: TrainingContext,
        mean_decay: float = 0.99,
        keep: float = 0.0,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        self.network, self.losses, self.optimizer, self.computing = network, losses, optimizer, computing
        self._context = context
        self._decay = mean_decay
        self._notes = dict(notes or {})
        self._steps = 0
        self._most: int | None = None
        self._weights = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
        self._means = {name: value.clone() for name, value in self._weights.items()} if mean_decay else {}
        self._keep = keep if mean_decay else 0.0
        self._start = {name: value.clone() for name, value in self._means.items()} if self._keep else {}

    def train_step(self, batch: Batch, learning_rate: float) -> dict[str, float]:
        """Do one step and return the batch's losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.network.train()
        found = self._gradients(batch)
        self.optimizer.step()
        self._steps += 1
        self._average()
        return found

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return the mean losses of the averaged weights, each weighted with its batch's size."""
        found: list[dict[str, float]] = []
        sizes: list[int] = []
        with self.averaged(), torch.no_grad():
            for batch in batches:
                for part in batch.split(self._most or len(batch)):
                    found.append({name: float(loss) for name, loss in self._losses(part).items()})
                    sizes.append(len(part))
        return {f"val_{name}": value for name, value in _mean(found, sizes).items()}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the running means as the network's weights, and have it predict."""
        self.network.eval()
        learning = {name: self._weights[name].clone() for name in self._means}
        self._assign(self._shown())
        try:
            yield
        finally:
            self._assign(learning)

    def save(self, folder: Path) -> None:
        """Write the averaged weights, and all that is needed to go on."""
        state = self.network.state_dict()
        save({**portable(state), **portable(self._shown())}, folder / MEANS_FILE)
        going_on = {"weights": portable(state) if self._means else {}, "optimizer": self.optimizer.state_dict()}
        going_on["means"] = portable(self._means) if self._keep else {}
        save({**going_on, "steps": self._steps, "most": self._most or 0}, folder / CHECKPOINT_FILE)
        self.computing.keep(folder)
        for name, text in self._notes.items():
            (folder / name).write_text(text, encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Read what `save` wrote."""
        means = load_tensors(folder / MEANS_FILE)
        rest = load_tensors(folder / CHECKPOINT_FILE)
        self.network.load_state_dict(rest["weights"] or means)
        for name, mean in self._means.items():
            mean.copy_((rest.get("means") or means)[name])
        self.optimizer.load_state_dict(rest["optimizer"])
        self._steps, self._most = rest["steps"], rest["most"] or None

    def _gradients(self, batch: Batch) -> dict[str, float]:
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

    def _add_up(self, parts: Sequence[Batch], total: int) -> dict[str, float]:
        found: list[dict[str, float]] = []
        for part in parts:
            losses = self._losses(part)
            (losses["loss"] * (len(part) / total)).backward()
            found.append({name: float(loss.detach()) for name, loss in losses.items()})
        return _mean(found, [len(part) for part in parts])

    def _losses(self, batch: Batch) -> Mapping[str, Tensor]:
        with self.computing.precision():
            answer = self.network(self.computing.take(batch.image))
        first = answer if isinstance(answer, Tensor) else answer[0]
        return self.losses(first.float(), batch.target.to(self.computing.device, non_blocking=self.computing.is_cuda))

    def _average(self) -> None:
        decay = min(self._decay, (1.0 + self._steps) / (10.0 + self._steps))
        if self._means:
            torch._foreach_lerp_(list(self._means.values()), list(self._weights.values()), 1.0 - decay)

    def _shown(self) -> dict[str, Tensor]:
        """Return the weights that predict."""
        if not self._keep:
            return self._means
        return {name: torch.lerp(mean, self._start[name], self._keep) for name, mean in self._means.items()}

    def _assign(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._weights[name].copy_(value)


@dataclass(frozen=True, eq=False)
class Setup:
    """What a training runs through.

    Attributes
    ----------
    stream : PatchStream
        Gives the samples of each epoch.
    collate : callable
        Makes a batch of samples, in a thread beside.
    validation : sequence of Batch
    predicting : callable
        Returns a context in which the network, as it is now, predicts.
    warm_up : int
        Steps in which the learning rate rises; a tenth of all at most.
    """

    stream: PatchStream
    collate: Callable[[Sequence[Any]], Batch]
    validation: Sequence[Batch]
    predicting: Callable[[], AbstractContextManager[Predictor]]
    warm_up: int = 0


def run_epochs(trainer: Trainer, setup: Setup, task: TrainingTask, context: TrainingContext) -> None:
    """Train epoch after epoch, from the checkpoint where there is one, until the last one or until it is to stop."""
    parameters, stream = task.parameters, setup.stream
    steps = stream.batches_per_epoch
    if context.checkpoint is not None:
        trainer.restore(context.checkpoint)
    context.start(parameters, steps_per_epoch=steps, device=trainer.computing.name)
    gpu = trainer.computing.is_cuda
    workers = os.cpu_count() or 1 if gpu else 1  # a processor is needed for the network itself

    def collate(samples: Sequence[Any]) -> Batch:
        batch = setup.collate(samples)
        return batch.pinned() if gpu else batch

    warm = min(setup.warm_up, MOST_WARM_UP * settled(parameters.epochs) * steps)
    with closing(stream.epochs(context.epochs(), collate, workers, ahead=max(4, 2 * workers))) as batches:
        for epoch in context.epochs():
            torch.manual_seed(task.seed * 100_003 + epoch)  # so that a resumed training goes on alike
            rate, done = context.learning_rate(epoch), (epoch - 1) * steps
            found: list[dict[str, float]] = []
            for batch in islice(batches, steps):
                step = len(found) + 1
                found.append(trainer.train_step(batch, rate * min(1.0, (done + step) / max(1.0, warm))))
                if not context.end_step(epoch, step, steps) or not math.isfinite(found[-1]["loss"]):
                    break
            metrics = _mean(found) | trainer.validate(setup.validation)
            if not context.end_epoch(epoch, metrics, trainer.save, setup.predicting):
                break


def _mean(found: Sequence[Mapping[str, float]], sizes: Sequence[int] | None = None) -> dict[str, float]:
    return {name: float(np.average([losses[name] for losses in found], weights=sizes)) for name in found[0]}


def _is_memory(error: BaseException) -> bool:
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(words in str(error).lower() for words in _NO_MEMORY)
