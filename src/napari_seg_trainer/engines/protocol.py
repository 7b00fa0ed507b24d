"""What an engine is, and what it is given.

A third party's engine is a package that implements `Engine` and names an `EngineSpec` in the entry-point group
``napari_seg_trainer.engines``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.engines.pretrained import PretrainedModel
from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.axes import PLANE, Axes
from napari_seg_trainer.schema.job import Hyperparameters, TrainingFacts

if TYPE_CHECKING:  # a spec is looked at where nothing is computed, and this takes half a second
    from napari_seg_trainer.annotations.prepare import PreparedImage


class PredictionSettings(FrozenModel):
    """What a user may change about how a model segments, such as thresholds; by itself, nothing.

    An engine's own settings derive from this. Each has a title, a description and the default None, which means the
    model's own value.
    """

    @classmethod
    def of_model(cls, folder: Path) -> Self:
        """Return the values that the model in `folder` uses by itself, None where they are unknown."""
        return cls()


@dataclass(frozen=True)
class EngineSpec:
    """An engine's visiting card; making one imports no framework.

    Attributes
    ----------
    id, title : str
        The name in job files, and the one on buttons.
    good_for : str
        One sentence that helps to choose.
    parameters : type of Hyperparameters
        The engine's pydantic model of parameters, with titles and descriptions; forms are built from it.
    channels : (int, int or None)
        How many channels it takes, at least and at most.
    location : str
        ``"package.module:Class"`` of the `Engine`.
    requires : tuple of str
        Import names that must be installed.
    install : str
        The command that installs them.
    architecture : tuple of str
        Names of the parameters that make the network's shape: they are fixed by a pretrained model.
    free_channels : bool
        Whether a pretrained model can be trained on with another number of channels.
    single_files : bool
        Whether a model of the engine's own package is a file of weights rather than a folder.
    base : str
        Built-in model that a training starts from where the user chooses none; empty for engines that start from
        scratch.
    prediction : type of PredictionSettings
        The engine's pydantic model of what can be set for a prediction.
    axes : tuple of str
        What it can be trained on: ``"YX"``, images; others are for versions to come.
    pretrained : tuple of PretrainedModel
        Its built-in models, which are fetched on first use.
    foreign : str
        ``"package.module:NAME"`` of the `foreign.ForeignReader` of models that the engine's own package made; its
        module imports no framework. Empty where there are none.
    packages : tuple of str
        Names of the distributions whose versions are on the card of a model.
    citations : tuple of str
        What is to be cited where a model is used.
    inverts : bool
        Whether a training can start from a model that knows the negatives of the images: then `parameters` has
        ``inverted``, yes or no, or None for what the look at the model has found.
    any_shape : bool
        Whether it outlines objects of any shape; else it is made for round ones.
    few_images : bool
        Whether it was pretrained on many kinds of objects, so that it needs few images.
    needs_gpu : bool
        Whether it is of use on a GPU alone.
    suggestion : str
        Why it is suggested where it suits: a sentence.
    picture : str
        What it has found in a sample image, outlined: ``"package:NAME/PATH"`` of a PNG file; empty without one.
    trains : bool
        Whether it can be trained. One that cannot has only `load` of an `Engine`'s methods.
    """

    id: str
    title: str
    good_for: str
    parameters: type[Hyperparameters]
    channels: tuple[int, int | None]
    location: str
    requires: tuple[str, ...] = ()
    install: str = ""
    architecture: tuple[str, ...] = ()
    free_channels: bool = False
    single_files: bool = False
    base: str = ""
    prediction: type[PredictionSettings] = PredictionSettings
    axes: tuple[Axes, ...] = (PLANE,)
    pretrained: tuple[PretrainedModel, ...] = ()
    foreign: str = ""
    packages: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    inverts: bool = False
    any_shape: bool = True
    few_images: bool = False
    needs_gpu: bool = False
    suggestion: str = ""
    picture: str = ""
    trains: bool = True


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Both sides of the split, ready for the network.

    Attributes
    ----------
    training, validation : sequence of PreparedImage
        Images float32 CYX, normalized, at the model's pixel size; labels int32 YX, 0 for background. Read lazily.
    object_diameters : NDArray of float64
        Diameter in pixels of the circle with each training object's area.
    object_extents : NDArray of float64
        The longer side in pixels of each training object's bounding box.
    axes : str
        Of all images: ``"YX"``.
    """

    training: "Sequence[PreparedImage]"
    validation: "Sequence[PreparedImage]"
    object_diameters: NDArray[np.float64]
    object_extents: NDArray[np.float64]
    axes: Axes = PLANE

    def facts(self, *, pretrained: bool, found: float | None = None, inverted: bool = False) -> TrainingFacts:
        """Return what parameters are chosen by."""
        shapes = [prepared.labels.shape for prepared in self.training]
        return TrainingFacts(shapes, self.object_diameters, self.object_extents, pretrained, found, inverted)


class Predictor(Protocol):
    """A model in memory."""

    def predict(self, image: NDArray[np.float32], settings: PredictionSettings | None = None) -> NDArray[np.int32]:
        """Return the instances (YX, 0 for background) of a normalized image (CYX).

        The settings are of the spec's own type; without them, the model's own count.
        """
        ...


Predicting = Callable[[], AbstractContextManager[Predictor]]
"""Returns a context that gives a predictor, which is not used any more once it is left."""


class TrainingContext(Protocol):
    """What is common to all trainings; the engine calls it and obeys its answers."""

    first_epoch: int
    checkpoint: Path | None

    def start(self, parameters: Hyperparameters, *, steps_per_epoch: int, device: str) -> None:
        """Say that the first epoch begins, with the parameters as the engine completed them."""
        ...

    def epochs(self) -> Iterator[int]:
        """Yield the epochs to come: as many as there are to be, which may be fixed only while they go on.

        It may be asked for several times, and by somebody who is some epochs ahead.
        """
        ...

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch (from 1)."""
        ...

    def end_step(self, epoch: int, step: int, steps: int) -> bool:
        """Say that a step (from 1) is done. False: end this epoch now, validate, and call `end_epoch`."""
        ...

    def end_epoch(
        self,
        epoch: int,
        metrics: Mapping[str, float],
        save: Callable[[Path], None],
        predicting: "Predicting | None" = None,
    ) -> bool:
        """Say that an epoch is done. False: stop training now.

        Parameters
        ----------
        epoch : int
            From 1.
        metrics : mapping
            At least ``loss`` and ``val_loss``. Where one of these is not a number, the training ends, and the epochs
            before count; so an epoch may be ended as soon as a step's loss is none.
        save : callable
            Writes into the given, empty folder all that `Engine.train` needs to go on and `Engine.export` needs to
            make a model: weights, optimizer state. It is called before this method returns.
        predicting : callable, optional
            Returns a context in which the network, as it is now, predicts. Where it is given, whole validation images
            are scored now and then; where the time suffices for many rounds, that chooses the best epoch, not the loss.
        """
        ...

    def log(self, message: str, level: Literal["info", "warning"] = "info") -> None:
        """Log a message for the user."""
        ...

    def progress(self, stage: str, done: int, total: int) -> None:
        """Report how far a stage other than the epochs is, such as optimising thresholds."""
        ...


@dataclass(frozen=True)
class TrainingTask:
    """The part of a job that concerns the engine.

    Attributes
    ----------
    channels : int
        Number of input channels.
    parameters : Hyperparameters
        Of the engine's own type.
    seed : int
    pretrained : Path, optional
        Model folder to start from.
    """

    channels: int
    parameters: Hyperparameters
    seed: int
    pretrained: Path | None = None


class Engine(Protocol):
    """A kind of network that can be trained; made without arguments. It may also be a `portable.Portable`."""

    def train(self, task: TrainingTask, data: TrainingData, context: TrainingContext) -> None:
        """Train until the last epoch, or until the context says stop.

        Where ``context.checkpoint`` is a folder that an earlier training's `save` wrote, go on from it with epoch
        ``context.first_epoch``.
        """
        ...

    def export(self, checkpoint: Path, data: TrainingData, folder: Path, context: TrainingContext) -> None:
        """Make a model in the empty `folder` from a checkpoint, in the format that the engine's own package opens."""
        ...

    def load(self, folder: Path) -> Predictor:
        """Return the model in `folder`, ready to predict."""
        ...
