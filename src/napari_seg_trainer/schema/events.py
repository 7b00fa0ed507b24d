"""What a run reports, one JSON object a line.

A run's story is ``Started``, then ``Progress`` and ``EpochEnded`` in turn, ``Log`` and ``Evaluated`` between them, a
``Baseline`` before the first epoch and a ``Verdict`` after the last (others may come in the middle), and
one of ``Finished``, ``Stopped`` and ``Failed``, which is written once and is the last. Where a run is resumed, another
such attempt follows behind it; each epoch's ``EpochEnded`` comes once all the same.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from napari_seg_trainer.schema._base import FrozenModel


def _now() -> datetime:
    return datetime.now(UTC)


class _Event(FrozenModel):
    time: AwareDatetime = Field(default_factory=_now)


class Started(_Event):
    """The data is ready and the first epoch begins.

    Attributes
    ----------
    epoch : int
        The first epoch to come, from 1; greater than 1 where a run is resumed.
    epochs : int, optional
        How many there will be; None while it is being measured how many the time allows.
    is_limit : bool
        Whether there may be fewer, as the training ends when it no longer improves.
    steps_per_epoch : int
    training_images, validation_images : int
        How many images are on each side of the split.
    device : str
        What computes, such as ``"CPU"`` or a GPU's name.
    """

    type: Literal["started"] = "started"
    epoch: int = 1
    epochs: int | None
    is_limit: bool = False
    steps_per_epoch: int
    training_images: int
    validation_images: int
    device: str = "CPU"


class Progress(_Event):
    """Some steps of an epoch, or some items of another stage, are done."""

    type: Literal["progress"] = "progress"
    stage: str
    done: int
    total: int
    epoch: int | None = None
    seconds_left: float | None = None


class EpochEnded(_Event):
    """One epoch is over.

    Attributes
    ----------
    epoch : int
        Its number, from 1.
    metrics : dict of str to float
        At least ``loss`` and ``val_loss``.
    learning_rate : float
        As it was in this epoch.
    is_best : bool
        Whether this epoch's weights are the best so far.
    seconds, seconds_left : float
        How long it took, and the estimate for the rest; none while it is measured, as the first epoch after a start
        does not count.
    epochs : int, optional
        How many there will be, at most, as far as is known by now.
    """

    type: Literal["epoch"] = "epoch"
    epoch: int
    metrics: dict[str, float]
    learning_rate: float
    is_best: bool
    seconds: float
    seconds_left: float | None = None
    epochs: int | None = None


class Evaluated(_Event):
    """Whole images were scored.

    Attributes
    ----------
    scores : dict of str to float
        Such as ``ap50`` and ``f1_50``, pooled over the images, and how many objects were ``missed``, ``extra``,
        ``merged`` and ``split``.
    epoch : int, optional
        The epoch whose weights they are of, where that is in the middle of the training; none for the model.
    seconds : float, optional
        How long that took, in the middle of the training.
    baseline : float, optional
        AP at IoU 0.5 of what the model has to beat on the same images, in the middle of the training.
    """

    type: Literal["evaluated"] = "evaluated"
    dataset: str
    images: int
    scores: dict[str, float]
    epoch: int | None = None
    seconds: float | None = None
    baseline: float | None = None


class Baseline(_Event):
    """What the model has to beat was scored on the validation images.

    Attributes
    ----------
    name : str
        The pretrained model, or the classical method.
    images : int
    scores : dict of str to float
        As for `Evaluated`.
    """

    type: Literal["baseline"] = "baseline"
    name: str
    images: int
    scores: dict[str, float]


class Verdict(_Event):
    """How good the model is, in plain words.

    Attributes
    ----------
    sentences : tuple of str
        The most important first.
    epoch : int, optional
        The epoch after which this was said, where that is in the middle of the training; none for the model.
    worst : tuple of str
        Names of the validation images on which the model does badly, the worst first.
    is_simple_better : bool
        Whether the model is clearly worse than the classical method, which needs no training.
    """

    type: Literal["verdict"] = "verdict"
    sentences: tuple[str, ...]
    worst: tuple[str, ...] = ()
    epoch: int | None = None
    is_simple_better: bool = False


class Log(_Event):
    """Something that the user should know, in a sentence."""

    type: Literal["log"] = "log"
    level: Literal["info", "warning"] = "info"
    message: str


class Finished(_Event):
    """All epochs are done and the model is in the library."""

    type: Literal["finished"] = "finished"
    model: str
    best_epoch: int


class Stopped(_Event):
    """The user stopped the run, or it stopped early; `model` is the best so far.

    There is none if the user cancelled the run, or no epoch had ended.
    """

    type: Literal["stopped"] = "stopped"
    reason: str
    model: str | None
    best_epoch: int | None


class Failed(_Event):
    """The run ended with an error; `message` is for the user, the traceback is in the log."""

    type: Literal["failed"] = "failed"
    message: str


Event = Started | Progress | EpochEnded | Evaluated | Baseline | Verdict | Log | Finished | Stopped | Failed
TERMINAL_EVENTS = (Finished, Stopped, Failed)
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def parse_event(line: str | bytes) -> Event:
    """Return the event that one line of ``events.jsonl`` holds.

    Raises
    ------
    pydantic.ValidationError
        If the line is not an event.
    """
    return _ADAPTER.validate_json(line)
