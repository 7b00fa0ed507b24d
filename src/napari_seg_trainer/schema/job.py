"""What a user asks for: the data, the channels, the engine and its hyperparameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, JsonValue, field_validator, model_validator

from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.names import ModelName

PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]
"""pydantic's own takes infinity for a positive number."""
Rate = Annotated[FiniteFloat, Field(gt=0, le=100)]
"""A learning rate."""
MOST = 1_000_000
"""Of what is counted: epochs, minutes, channels of a file. Nobody means more."""


class Normalization(FrozenModel):
    """How the intensities of one channel become numbers near 0 to 1.

    Attributes
    ----------
    mode : {"percentile", "values"}
        `low` and `high` are percentiles (0 to 100) of each image, or intensities as they stand in the file.
    low, high : float
        What becomes 0 and what becomes 1.
    clip : bool
        Cut off what lies outside.
    skip_zeros : bool
        Leave pixels that are 0 out of the percentiles, and have them stay 0, as Celldetective does.
    """

    mode: Literal["percentile", "values"] = "percentile"
    low: FiniteFloat = 1.0
    high: FiniteFloat = 99.8
    clip: bool = False
    skip_zeros: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"normalization: low ({self.low:g}) must be smaller than high ({self.high:g})")
        if self.mode == "percentile" and not (0 <= self.low and self.high <= 100):
            raise ValueError(f"normalization: percentiles must lie in 0 to 100, not {self.low:g} to {self.high:g}")
        return self


_ChannelName = Annotated[str, Field(min_length=1, max_length=1000)]


class ChannelInput(FrozenModel):
    """One input of the model.

    Attributes
    ----------
    name : str
        The channel's name; prediction looks for it in new images.
    other_names : tuple of str
        What the channel is called in images that have none of its own name.
    index : int, optional
        Take the channel at this place (from 0) in every image, whatever its name.
    normalization : Normalization
        How its intensities are scaled.
    """

    name: _ChannelName
    other_names: Annotated[tuple[_ChannelName, ...], Field(max_length=100)] = ()
    index: Annotated[int, Field(ge=0, le=MOST)] | None = None
    normalization: Normalization = Normalization()

    @property
    def names(self) -> tuple[str, ...]:
        """All names, its own first."""
        return self.name, *self.other_names

    @model_validator(mode="after")
    def _either_names_or_number(self) -> Self:
        if self.index is not None and self.other_names:
            raise ValueError(f"channel {self.name!r} is selected by its number, so it cannot have other names")
        return self


@dataclass(frozen=True, eq=False)
class TrainingFacts:
    """What is known of a training's images, for parameters that are chosen by them.

    Attributes
    ----------
    shapes : sequence of (int, int)
        Sizes of the images to learn from, YX, pixels.
    diameters, extents : NDArray of float64
        Of each of their objects, in pixels: diameter of the circle with its area, and longer side of its box.
    pretrained : bool
        Whether the training starts from a model, whose network stays as it is.
    found : float, optional
        Which part of the objects drawn in some of the images that model finds, where that was looked at.
    inverted : bool
        Whether it finds them where the images' contrast is inverted.
    """

    shapes: Sequence[tuple[int, int]]
    diameters: NDArray[np.float64]
    extents: NDArray[np.float64]
    pretrained: bool = False
    found: float | None = None
    inverted: bool = False


PIXELS_PER_IMAGE = 6_250_000
"""How many pixels a network is shown in all for each image that it learns from, where nobody says how long it takes."""
LEAST_PIXELS, MOST_PIXELS = 150_000_000, 600_000_000
KNOWN = 0.6
"""By which part a training is shorter that starts from a model that finds all objects."""
LEAST_EPOCHS, MOST_EPOCHS = 100, 500
Length = Literal["improving", "minutes", "epochs"]
"""What ends a training: that it no longer improves, the time, or the number of epochs."""
RATE = 3e-4
"""The learning rate where an engine has none of its own."""
_T = TypeVar("_T")


def length_of(epochs: JsonValue, minutes: JsonValue) -> Length:
    """Return what ends a training with these parameters, as a job gives them."""
    if epochs is not None:
        return "epochs"
    return "improving" if minutes is None else "minutes"


def settled(value: _T | None) -> _T:
    """Return what was automatic and has been chosen meanwhile.

    Raises
    ------
    ValueError
        If it was not.
    """
    if value is None:
        raise ValueError("the parameters are not complete")
    return value


class Hyperparameters(FrozenModel):
    """What every engine understands; an engine's own parameters derive from this.

    Forms show a field's title and description. A field that may be None is "automatic" where it is left empty, or what
    its ``json_schema_extra={"empty": ...}`` says; a training begins with what `completed` makes of them.
    """

    epochs: Annotated[int, Field(gt=0, le=MOST)] | None = Field(
        None,
        title="Epochs",
        description="Number of passes over the training images. Automatic: until the model no longer improves, but at "
        f"most {LEAST_EPOCHS} to {MOST_EPOCHS} (more for fewer images).",
    )
    minutes: Annotated[FiniteFloat, Field(gt=0, le=MOST)] | None = Field(
        None,
        title="Minutes",
        description="Approximate total time. The number of epochs that fit is measured at the start and stored in the "
        "job. Ignored if the number of epochs is set.",
        json_schema_extra={"empty": "any"},
    )
    batch_size: Annotated[int, Field(gt=0, le=4096)] = Field(
        8, title="Batch size", description="Number of samples per training step. Smaller needs less memory."
    )
    learning_rate: Rate | None = Field(
        None,
        title="Learning rate",
        description=f"Step size of the optimizer. Smaller is slower and more stable. Automatic: {RATE:g}.",
    )
    augmentation: Annotated[float, Field(ge=1, le=100)] = Field(
        2.0,
        title="Augmentation factor",
        description="2 means: each epoch uses twice as many samples as there are images; samples are flipped, "
        "rotated, scaled and changed in brightness at random.",
    )
    early_stopping: Annotated[int, Field(gt=0, le=MOST)] | None = Field(
        None,
        title="Stop early after",
        description="Stop the training if the validation loss has not improved for this many epochs.",
        json_schema_extra={"empty": "never"},
    )

    @property
    def length(self) -> Length:
        """What ends the training, as long as nothing automatic is filled in."""
        return length_of(self.epochs, self.minutes)

    @property
    def patch_side(self) -> int:
        """Side, in pixels, of what a network learns from at a time; overridden where the user can choose it."""
        return 256

    @property
    def part_of_pixels(self) -> float:
        """Which part of the usual number of pixels it is shown in all: less for a network that is slower."""
        return 1.0

    def completed(self, facts: TrainingFacts) -> Self:
        """Return the parameters with what is automatic filled in, as far as the images decide it.

        An engine whose parameters have more that is automatic fills that in, too.
        """
        images = max(1, len(facts.shapes))
        usual = min(MOST_PIXELS, max(LEAST_PIXELS, images * PIXELS_PER_IMAGE))
        known = KNOWN * (facts.found or 0.0)
        wanted = (1.0 - known) * self.part_of_pixels * usual
        epochs = math.ceil(wanted / (images * self.augmentation * self.patch_side**2))
        epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, epochs))
        return self.replace(epochs=self.epochs or epochs, learning_rate=self.learning_rate or RATE)


AUTOMATIC, SCRATCH = "auto", "scratch"
"""What a job may say instead of a model to start from."""
MOST_SEED = 2**32 - 1
"""NumPy's, PyTorch's and TensorFlow's seeds have 32 bits."""
_Folders = Annotated[tuple[Path, ...], Field(max_length=1000)]


class TrainingJob(FrozenModel):
    """One training, complete: the same job gives the same model.

    Attributes
    ----------
    name : str
        Name of the model to be made; unique in the library.
    engine : str
        Id of the engine, such as ``"stardist"``.
    data : tuple of Path
        Annotation folders to train on.
    builtin : tuple of str
        Built-in datasets to train on.
    validation_data : tuple of Path
        Annotation folders to validate on, in place of a split of `data`.
    test_data : tuple of Path
        Annotation folders on which the finished model is scored once; they choose nothing, and none of their images may
        be among the others.
    channels : tuple of ChannelInput
        The model's inputs; empty means all channels of the first image.
    pixel_size : float, optional
        µm per pixel that all images are brought to; the data's median where not given, and no rescaling where the
        data has no pixel size.
    validation_split : float
        Fraction of the images (whole fields of view) that validate.
    seed : int
        Seed of the split, the patches, the augmentation and the network's first weights.
    pretrained : str, optional
        A model in the library, a model folder, or a built-in name, to start from; None, or ``"scratch"``, for a start
        from scratch, and ``"auto"`` for the built-in model that finds most of the drawn objects, or none where it finds
        too few.
    learning_curve : bool
        Whether to train anew on a half and a quarter of the images, to estimate whether more would help. Each takes
        about as long as the training.
    hyperparameters : dict
        The engine's parameters; what is missing takes the engine's default.
    """

    version: Literal[1] = 1
    name: ModelName
    engine: str
    data: _Folders = ()
    builtin: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    validation_data: _Folders = ()
    test_data: _Folders = ()
    channels: Annotated[tuple[ChannelInput, ...], Field(max_length=100)] = ()
    pixel_size: PositiveFloat | None = None
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0
    pretrained: Annotated[str, Field(max_length=5000)] | None = AUTOMATIC
    learning_curve: bool = Field(False, title="Would more images help?")
    hyperparameters: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _has_data(self) -> Self:
        if not self.data and not self.builtin:
            raise ValueError("the job has no data: give an annotation folder or a built-in dataset")
        return self

    @field_validator("pretrained")
    @classmethod
    def _from_scratch(cls, pretrained: str | None) -> str | None:
        if pretrained is not None and "\0" in pretrained:
            raise ValueError(f"{pretrained!r} is not a model name: it contains a zero byte")
        return None if pretrained == SCRATCH else pretrained

    @field_validator("data", "validation_data", "test_data")
    @classmethod
    def _named_in_text(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        for folder in folders:
            # a job is kept as JSON, which is text
            if str(folder) != str(folder).encode(errors="ignore").decode():
                raise ValueError(f"the name of {str(folder)!r} is not valid UTF-8; rename it")
            if "\0" in str(folder):
                raise ValueError(f"{str(folder)!r} is not a folder name: it contains a zero byte")
        return folders

    @model_validator(mode="after")
    def _distinct_channels(self) -> Self:
        names = [name for channel in self.channels for name in channel.names]
        doubled = {name for name in names if names.count(name) > 1}
        if doubled:
            raise ValueError(f"channel {doubled.pop()!r} is given twice")
        return self
