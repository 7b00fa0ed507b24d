"""How long a training takes, and how large its steps are in which epoch."""

import math
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence

from napari_seg_trainer.annotations.findings import counted
from napari_seg_trainer.evaluation.scores import mean_ap
from napari_seg_trainer.evaluation.verdict import course_of
from napari_seg_trainer.schema.events import EpochEnded, Evaluated, Event
from napari_seg_trainer.schema.job import Hyperparameters, Length, settled

FALL = 0.4
"""Part of the epochs, the last ones, in which the learning rate falls to 0."""
LEAST_PART = 0.4
"""Of the most epochs that there may be: before, nobody asks whether the training still improves."""
PATIENCE = 0.3
"""Part of what was done so far in which nothing must have become better, for a training to count as at its end."""
LOWER, HIGHER = 0.01, 0.005
"""By which part a validation loss must be lower, and by how much scores must be higher, to count as better."""
FEWEST_ROUNDS = 4
"""With fewer rounds, scores mean nothing."""
MEASURED_SECONDS, MEASURED_PART = 10.0, 0.05
"""The number of epochs is fixed once both have passed: these seconds, and this part of the time given."""
MODEL_PART = 0.05
"""Of the time given, what is left to making the model."""
_MANY = 1_000_000


class Plan:
    """The number of epochs as far as it is known, and the learning rate that follows from it.

    The rate stays as it is at first and falls to 0 in the last epochs (Hägele et al. 2024, arXiv:2405.18392): so the
    end may be fixed as late as the fall begins, and what was learned until then does not depend on it.

    Parameters
    ----------
    length : {"improving", "minutes", "epochs"}
        What ends the training.
    begun : float, optional
        When the time that it may take began, by `time.monotonic`; now, by default.

    Attributes
    ----------
    epochs : int, optional
        How many there are, at most; None while that is being measured.
    """

    def __init__(self, length: Length = "epochs", begun: float | None = None) -> None:
        self.epochs: int | None = None
        self._length = length
        self._begun = time.monotonic() if begun is None else begun
        self._most = 1
        self._allowed = 0.0
        self._seconds: list[float] = []
        self._course: list[EpochEnded] = []
        self._scores: dict[int, float] = {}

    def begin(self, parameters: Hyperparameters, before: Sequence[Event] = ()) -> None:
        """Begin a training with completed parameters; `before` is what happened until now, where it goes on."""
        self._most = settled(parameters.epochs)
        self.epochs = None if self._length == "minutes" else self._most
        self._allowed = 60.0 * (parameters.minutes or 0.0)
        self._course, self._scores = course_of(before), dict(_rounds(before))
        if self._course and self._falls_after(len(self._course)):
            self._length = "epochs"

    @property
    def is_limit(self) -> bool:
        """Whether there may be fewer epochs."""
        return self._length == "improving"

    def upcoming(self, first: int) -> Iterator[int]:
        """Yield the epochs from the first on, to the last one as it is known by then."""
        epoch = first
        while epoch <= (self.epochs or _MANY):
            yield epoch
            epoch += 1

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch (from 1), as a part of the highest."""
        if self.epochs is None:
            return 1.0
        return min(1.0, max(0.0, (self.epochs - epoch + 1) / (FALL * self.epochs + 1)))

    def end_epoch(self, event: EpochEnded, scores: float | None) -> str:
        """Decide the number of epochs, where it is time to.

        Parameters
        ----------
        event : EpochEnded
            Of the epoch that has just ended.
        scores : float, optional
            The mean AP after it, where whole images were scored.

        Returns
        -------
        str
            What was fixed, for the user; empty where nothing was.
        """
        self._course.append(event)
        self._seconds.append(event.seconds)
        if scores is not None:
            self._scores[event.epoch] = scores
        if self._length == "minutes":
            return self._measure(event.epoch)
        return self._look_back(event.epoch) if self._length == "improving" else ""

    def _measure(self, epoch: int) -> str:
        left = (1 - MODEL_PART) * self._allowed - (time.monotonic() - self._begun)
        known = self._seconds[1:] or self._seconds  # in the first one, frameworks get ready
        enough = sum(known) >= max(MEASURED_SECONDS, MEASURED_PART * self._allowed)
        if not enough and left > 0.5 * self._allowed:
            return ""
        self.epochs = epoch + max(0, math.floor(left / max(1e-6, statistics.fmean(known))))
        self._length = "epochs"
        minutes = self._allowed / 60
        return f"{counted(self.epochs, 'epoch')} fit into {minutes:g} {'minute' if minutes == 1 else 'minutes'}."

    def _look_back(self, epoch: int) -> str:
        if epoch < LEAST_PART * self._most or self._falls_after(epoch):
            return ""
        if self._falls() or self._rises():
            return ""
        self.epochs = min(self._most, math.ceil(epoch / (1 - FALL)))
        self._length = "epochs"
        return (
            f"Little improvement after epoch {epoch}: the learning rate now decreases, and epoch "
            f"{self.epochs} is the last."
        )

    def _falls_after(self, epoch: int) -> bool:
        return self.rate(epoch + 1) < 1

    def _falls(self) -> bool:
        """Return whether the validation loss was lower lately than ever before."""
        losses = [event.metrics["val_loss"] for event in self._course]
        last = _lately(losses)
        return min(losses[-last:]) < (1 - LOWER) * min(losses[:-last], default=math.inf)

    def _rises(self) -> bool:
        """Return whether a score was higher lately than ever before."""
        scores = list(self._scores.values())
        last = _lately(scores)
        return len(scores) >= FEWEST_ROUNDS and max(scores[-last:]) > max(scores[:-last]) + HIGHER


def _lately(values: Sequence[float]) -> int:
    """Return how many of these count as the latest ones."""
    return max(1, math.ceil(PATIENCE * len(values)))


def _rounds(events: Iterable[Event]) -> Iterator[tuple[int, float]]:
    """Yield epochs and their scores; one that was killed before it was kept comes twice."""
    for event in events:
        if isinstance(event, Evaluated) and event.epoch is not None:
            yield event.epoch, mean_ap(event.scores)
