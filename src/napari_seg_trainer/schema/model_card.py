"""What a model knows of itself."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.axes import PLANE, Axes
from napari_seg_trainer.schema.job import Normalization, PositiveFloat
from napari_seg_trainer.schema.names import ModelName

MOST = 1_000_000_000
"""Of what is counted: images, epochs."""
_Count = Annotated[int, Field(ge=0, le=MOST)]
_Name = Annotated[str, Field(max_length=1000)]
_Moment = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 2, tzinfo=UTC), le=datetime(3000, 1, 1, tzinfo=UTC))]
"""A time that every system can show in every time zone."""


class ModelChannel(FrozenModel):
    """One input of the network: the names that are looked for in an image, and how its intensities are scaled."""

    name: _Name
    other_names: Annotated[tuple[_Name, ...], Field(max_length=100)] = ()
    normalization: Normalization = Normalization()

    @property
    def names(self) -> tuple[str, ...]:
        """All names, its own first."""
        return self.name, *self.other_names


class ModelCard(FrozenModel):
    """The contract of a model and the record of how it was made.

    Attributes
    ----------
    name, engine : str
        The model's name in the library and the engine that made it and can run it.
    created : datetime
        When, with its time zone.
    channels : tuple of ModelChannel
        The inputs, in the network's order.
    axes : str
        Of the images that the network sees: ``"YX"``.
    pixel_size : float, optional
        µm per pixel of the images that the network sees, along Y and X.
    z_step : float, optional
        µm from one slice to the next; where there is a Z alone.
    object_diameter : float, optional
        Median diameter (pixels at `pixel_size`) of the objects it was trained on.
    parent : str, optional
        The model that it started from.
    run : str, optional
        Id of the training that made it.
    epochs, best_epoch : int, optional
        How many epochs were done, and which one's weights these are.
    training_images, validation_images : int
        How many images it was trained on, and how many chose the best epoch.
    scores : dict of str to float
        On the validation images: ``ap50``, ``f1_50`` and so on, and the numbers of objects ``missed``, ``extra``,
        ``merged`` and ``split``.
    test_images : int
        How many images of the test data it was scored on, once.
    test_scores : dict of str to float
        On those.
    verdict : tuple of str
        How good it is, in plain words.
    hyperparameters : dict
        As the engine used them, its own choices filled in.
    seed : int, optional
        Seed of the training.
    versions : dict of str to str
        Of this package and of those that computed.
    data : dict of str to str
        SHA-256 of each annotated image's pixels and labels, by file stem.
    files : dict of str to str
        SHA-256 of each of the model's files, by name.
    """

    version: Literal[1] = 1
    name: ModelName
    engine: Annotated[str, Field(max_length=100)]
    created: _Moment
    channels: Annotated[tuple[ModelChannel, ...], Field(max_length=1000)]
    axes: Axes = PLANE
    pixel_size: PositiveFloat | None = None
    z_step: PositiveFloat | None = None
    object_diameter: PositiveFloat | None = None
    parent: Annotated[str, Field(max_length=5000)] | None = None
    run: _Name | None = None
    epochs: _Count | None = None
    best_epoch: _Count | None = None
    training_images: _Count = 0
    validation_images: _Count = 0
    scores: dict[str, float] = {}
    test_images: _Count = 0
    test_scores: dict[str, float] = {}
    verdict: Annotated[tuple[Annotated[str, Field(max_length=5000)], ...], Field(max_length=100)] = ()
    hyperparameters: dict[str, JsonValue] = {}
    seed: int | None = None
    versions: dict[str, str] = {}
    data: dict[str, str] = {}
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _step_along_z(self) -> Self:
        if self.z_step is not None and "Z" not in self.axes:
            raise ValueError(f"z_step is {self.z_step:g}, but the axes {self.axes} have no Z")
        return self
