"""Logistic regression on one number, the smoothed brightness, with a threshold that gradient descent finds."""

import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label
from scipy.special import expit

from napari_seg_trainer.annotations.patches import Patch, PatchPlan, PatchStream
from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.engines.protocol import PredictionSettings, TrainingContext, TrainingData, TrainingTask
from napari_seg_trainer.errors import LibraryError
from threshold_engine.spec import ThresholdParameters

PATCH = (64, 64)
MOMENTUM = 0.9
EPSILON = 1e-7


@dataclass
class Threshold:
    """The network, such as it is.

    Attributes
    ----------
    sigma : float
        Of the Gaussian that smooths, pixels.
    softness : float
        Brightness over which "background" turns into "object".
    level : float
        The threshold: what is learned.
    velocity : float
        State of the optimizer.
    """

    sigma: float
    softness: float
    level: float = 0.0
    velocity: float = 0.0

    def smooth(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the smoothed mean (YX) of an image's channels (CYX)."""
        return gaussian_filter(image.mean(axis=0, dtype=np.float32), self.sigma)

    def loss(self, samples: Iterable[Patch | PreparedImage]) -> tuple[float, float]:
        """Return the binary cross entropy of all pixels that are not ignored (label -1), and its slope in the level."""
        pairs = [(self.smooth(sample.image)[sample.labels >= 0], sample.labels) for sample in samples]
        bright = np.concatenate([values for values, _ in pairs]).astype(np.float64)
        wanted = np.concatenate([labels[labels >= 0] > 0 for _, labels in pairs])
        said = np.clip(expit((bright - self.level) / self.softness), EPSILON, 1 - EPSILON)
        entropy = -np.where(wanted, np.log(said), np.log(1 - said)).mean()
        return float(entropy), float((wanted - said).mean() / self.softness)

    def step(self, patches: Sequence[Patch], learning_rate: float) -> float:
        """Move the level against the slope, and return the loss."""
        loss, slope = self.loss(patches)
        self.velocity = MOMENTUM * self.velocity - learning_rate * slope
        self.level += self.velocity
        return loss

    def save(self, folder: Path) -> None:
        """Write ``threshold.json``."""
        (folder / "threshold.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Threshold":
        """Read what `save` wrote."""
        try:
            values: dict[str, Any] = json.loads((folder / "threshold.json").read_text(encoding="utf-8"))
            return cls(**values)
        except (OSError, ValueError, TypeError) as error:
            raise LibraryError(f"'{folder}' holds no model of the threshold engine. Choose another.") from error

    def predict(self, image: NDArray[np.float32], settings: PredictionSettings | None = None) -> NDArray[np.int32]:
        """Return connected bright pixels as instances (YX) of an image (CYX); there are no settings."""
        labels, _ = label(self.smooth(image) > self.level)
        return labels.astype(np.int32)


class ThresholdEngine:
    """Trains, exports and loads a `Threshold`."""

    def train(self, task: TrainingTask, data: TrainingData, context: TrainingContext) -> None:
        """Move the level down the loss, epoch by epoch."""
        parameters = task.parameters
        if not isinstance(parameters, ThresholdParameters):
            raise TypeError(f"the threshold engine cannot be trained with {type(parameters).__name__}")
        threshold = Threshold(parameters.sigma, parameters.softness)
        if context.checkpoint is not None:
            threshold = Threshold.read(context.checkpoint)
        elif task.pretrained is not None:
            threshold.level = Threshold.read(task.pretrained).level
        stream = PatchStream(
            data.training, PatchPlan(PATCH, parameters.batch_size, parameters.augmentation, seed=task.seed)
        )
        context.start(parameters, steps_per_epoch=stream.batches_per_epoch, device="CPU")
        for epoch in context.epochs():
            metrics = {"loss": _train_epoch(threshold, stream, epoch, context)}
            metrics["val_loss"], _ = threshold.loss(data.validation)
            if not context.end_epoch(epoch, metrics, threshold.save, partial(nullcontext, threshold)):
                break

    def export(self, checkpoint: Path, data: TrainingData, folder: Path, context: TrainingContext) -> None:
        """Write the model; here it is what a checkpoint holds."""
        Threshold.read(checkpoint).save(folder)

    def load(self, folder: Path) -> Threshold:
        """Read the model."""
        return Threshold.read(folder)


def _train_epoch(threshold: Threshold, stream: PatchStream, epoch: int, context: TrainingContext) -> float:
    losses: list[float] = []
    for patches in stream.epoch(epoch, list):
        losses.append(threshold.step(patches, context.learning_rate(epoch)))
        if not context.end_step(epoch, len(losses), stream.batches_per_epoch):
            break
    return float(np.mean(losses))
