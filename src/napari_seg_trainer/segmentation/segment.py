"""The contract between a model and an image: channels, normalization, pixel size, and back to the image's grid."""

from collections.abc import Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.prepare import prepare_image, resize_labels
from napari_seg_trainer.engines.checkpoints import LoadsCheckpoints
from napari_seg_trainer.engines.registry import engine_spec, load_engine
from napari_seg_trainer.engines.tiles import TellsTiles
from napari_seg_trainer.errors import EngineError
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.schema.model_card import ModelCard
from napari_seg_trainer.segmentation.request import Fit, OnTile, SegmentRequest, fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_seg_trainer.engines.protocol import Engine, Predictor

MUCH = 4.0
"""From this ratio of pixel sizes on, it is worth a check whether both are right."""


class Segmenter:
    """A model in this process's memory, used on one image after the other.

    Parameters
    ----------
    model : LibraryModel
    checkpoint : Path, optional
        Folder with the weights of an epoch of the model's training, to be used in place of the model's own.

    Raises
    ------
    EngineError
        If the model's engine is not installed, or loads no checkpoints.
    LibraryError
        If the model cannot be opened, its files are not those that its card names, or the checkpoint is of another
        network.
    """

    def __init__(self, model: LibraryModel, checkpoint: Path | None = None) -> None:
        model.verify()
        self.card: ModelCard = model.card
        spec = engine_spec(model.card.engine)
        self._predictor: Predictor = _load(load_engine(spec), model, checkpoint)
        _check_signature(self._predictor, spec.title)

    def segment(
        self, image: NDArray[Any], request: SegmentRequest | None = None, on_tile: OnTile | None = None
    ) -> NDArray[np.int32]:
        """Return the instances in an image.

        Parameters
        ----------
        image : NDArray, axes CYX
            Intensities as they are; NaN counts as dark.
        request : SegmentRequest, optional
            Without one, the channels are the model's, and the image is taken as it is.
        on_tile : callable, optional
            Called with how many parts of the image are done, where the engine computes it in parts.

        Returns
        -------
        NDArray of int32, axes YX
            On the image's own grid; 0 is background.

        Raises
        ------
        DataError, JobError
            As for `fit`.
        """
        how = fit(self.card, image, request or SegmentRequest())
        return self.compute([image[place] for place in how.places], how, on_tile)

    def compute(self, planes: Sequence[NDArray[Any]], how: Fit, on_tile: OnTile | None = None) -> NDArray[np.int32]:
        """Return the instances in an image that fits.

        Parameters
        ----------
        planes : sequence of NDArray, axes YX
            What feeds each of the model's inputs.
        how : Fit
        on_tile : callable, optional
            As for `segment`.
        """
        shape = (planes[0].shape[0], planes[0].shape[1])
        prepared = prepare_image(planes, self.card.channels, how.factor)
        with _telling(self._predictor, on_tile):
            return resize_labels(self._predictor.predict(prepared, how.settings), shape)


@contextmanager
def _telling(predictor: "Predictor", on_tile: OnTile | None) -> "Iterator[None]":
    if on_tile is None or not isinstance(predictor, TellsTiles):
        yield
        return
    predictor.on_tile = on_tile
    try:
        yield
    finally:
        predictor.on_tile = None


def _check_signature(predictor: "Predictor", title: str) -> None:
    """Refuse a predictor of an engine that was written when those without settings took the image alone."""
    try:
        signature(predictor.predict).bind(None, None)
    except TypeError as error:
        raise EngineError(
            f"{title} was written for an earlier version: its predictors must now accept `predict(image, settings)`. "
            "Update its package."
        ) from error


def _load(engine: "Engine", model: LibraryModel, checkpoint: Path | None) -> "Predictor":
    if checkpoint is None:
        return engine.load(model.folder)
    if not isinstance(engine, LoadsCheckpoints):
        raise EngineError(f"The engine {model.card.engine!r} does not support weights of other epochs.")
    return engine.load_checkpoint(checkpoint, model.folder)


def size_warning(card: ModelCard, pixel_size: float | None) -> str:
    """Return why a result may be poor, given an image's µm per pixel; empty if the size gives no reason."""
    model = card.pixel_size
    if model is None:
        return ""
    if pixel_size is None:
        return f"The pixel size is unknown: the image is not rescaled. The model was trained at {model:.3g} µm."
    ratio = max(pixel_size / model, model / pixel_size)
    if ratio <= MUCH:
        return ""
    how = "enlarged" if pixel_size > model else "shrunk"
    return f"The model was trained at {model:.3g} µm: the image is {how} {ratio:.3g}-fold. Are both correct?"
