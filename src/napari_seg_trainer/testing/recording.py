"""A `TrainingContext` that records what an engine reports."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_seg_trainer.engines.protocol import Predicting
from napari_seg_trainer.schema.job import Hyperparameters, settled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class RecordingContext:
    """Keeps every epoch's checkpoint and everything that is reported to it.

    Parameters
    ----------
    folder : Path
        Where the checkpoints go.
    checkpoint : Path, optional
        Where the training goes on from.
    first_epoch, last_epoch : int
        The epoch that it begins with, and the one after which it is asked to stop; none where not given.
    last_step : int, optional
        The step in each epoch after which it is asked to stop.

    Attributes
    ----------
    calls : list of (str, int, int)
        ``("start", 0, 0)``, ``("step", epoch, step)`` and ``("epoch", epoch, 0)``, in order.
    metrics : dict of int to dict
        Each epoch's metrics.
    parameters : Hyperparameters or None
        As the engine completed them.
    steps_per_epoch : int
        As the engine announced it.
    steps : set of int
        The same, as the engine reported it with each step.
    device : str
        As the engine named it.
    looks_at : NDArray of float32, axes CYX, optional
        An image to segment after each epoch.
    seen : dict of int to NDArray
        What was found in it, by the epoch.
    messages, stages : list of str
        What it logged, and the stages that it reported the progress of.
    """

    def __init__(
        self,
        folder: Path,
        *,
        checkpoint: Path | None = None,
        first_epoch: int = 1,
        last_epoch: int | None = None,
        last_step: int | None = None,
    ) -> None:
        self.folder = folder
        self.checkpoint = checkpoint
        self.first_epoch = first_epoch
        self.calls: list[tuple[str, int, int]] = []
        self.metrics: dict[int, dict[str, float]] = {}
        self.parameters: Hyperparameters | None = None
        self.steps_per_epoch = 0
        self.steps: set[int] = set()
        self.device = ""
        self.looks_at: NDArray[np.float32] | None = None
        self.seen: dict[int, NDArray[np.int32]] = {}
        self.messages: list[str] = []
        self.stages: list[str] = []
        self._last_epoch = last_epoch
        self._last_step = last_step

    def start(self, parameters: Hyperparameters, *, steps_per_epoch: int, device: str) -> None:
        """Keep what the training begins with."""
        self.calls.append(("start", 0, 0))
        self.parameters, self.steps_per_epoch, self.device = parameters, steps_per_epoch, device

    def epochs(self) -> Iterator[int]:
        """Yield the epochs to come, to the last one by the parameters."""
        yield from range(self.first_epoch, settled((self.parameters or Hyperparameters()).epochs) + 1)

    def learning_rate(self, epoch: int) -> float:
        """Return a rate that falls, so that a resumed training has to ask for its own epoch's."""
        return settled((self.parameters or Hyperparameters()).learning_rate) * 0.95 ** (epoch - 1)

    def end_step(self, epoch: int, step: int, steps: int) -> bool:
        """Count the step; False after the last one that is wanted."""
        self.calls.append(("step", epoch, step))
        self.steps.add(steps)
        return step != self._last_step

    def end_epoch(
        self,
        epoch: int,
        metrics: Mapping[str, float],
        save: Callable[[Path], None],
        predicting: Predicting | None = None,
    ) -> bool:
        """Keep metrics, checkpoint and what it predicts; False after the last epoch or step that is wanted."""
        if predicting is not None and self.looks_at is not None:
            with predicting() as predictor:
                self.seen[epoch] = predictor.predict(self.looks_at)
        self.calls.append(("epoch", epoch, 0))
        self.metrics[epoch] = dict(metrics)
        self.epoch_folder(epoch).mkdir(parents=True)
        save(self.epoch_folder(epoch))
        return self._last_step is None and epoch != self._last_epoch

    def log(self, message: str, level: Literal["info", "warning"] = "info") -> None:
        """Keep the message."""
        self.messages.append(message)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Keep the stage's name."""
        self.stages.append(stage)

    def epoch_folder(self, epoch: int) -> Path:
        """Return the folder of an epoch's checkpoint."""
        return self.folder / f"epoch_{epoch}"

    def losses(self, epoch: int) -> tuple[float, float]:
        """Return an epoch's training and validation loss."""
        return self.metrics[epoch]["loss"], self.metrics[epoch]["val_loss"]
