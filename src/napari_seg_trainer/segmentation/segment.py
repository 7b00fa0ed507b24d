"""The contract between a model and an image: channels, normalization, pixel size, and back to the image's grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from napari_seg_trainer.annotations.channels import input_places
from napari_seg_trainer.annotations.prepare import (
    check_scale,
    prepare_image,
    resize_labels,
    scale_factor,
)
from napari_seg_trainer.engines.checkpoints import LoadsCheckpoints
from napari_seg_trainer.engines.registry import engine_spec, load_engine, parse_settings
from napari_seg_trainer.errors import DataError, EngineError
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.schema.model_card import ModelCard

if TYPE_CHECKING:
    from napari_seg_trainer.engines.protocol import AdjustablePredictor, Engine, PredictionSettings, Predictor

MAX_PIXELS = 2**31
MUCH = 4.0
"""From this ratio of pixel sizes on, it is worth a look whether both are right."""


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
        self._spec = engine_spec(model.card.engine)
        self._predictor: Predictor = _load(load_engine(self._spec), model, checkpoint)

    def segment(
        self,
        image: NDArray[Any],
        channels: Sequence[str],
        *,
        pixel_size: float | None = None,
        use: Sequence[str] = (),
        name: str = "image",
        settings: Mapping[str, JsonValue] | None = None,
    ) -> NDArray[np.int32]:
        """Return the instances in an image.

        Parameters
        ----------
        image : NDArray, axes CYX
            Intensities as they are; NaN counts as dark.
        channels : sequence of str
            The image's channel names.
        pixel_size : float, optional
            µm per pixel; the image is scaled to the model's pixel size where both are known.
        use : sequence of str
            Which channels feed the model's inputs, in their order; by default those with the model's names.
        name : str
            For messages.
        settings : mapping, optional
            The engine's prediction settings, such as ``{"probability": 0.4}``; what is not given, or None, is the
            model's own.

        Returns
        -------
        NDArray of int32, axes YX
            On the image's own grid; 0 is background.

        Raises
        ------
        DataError
            If the image is none, a channel is missing, the pixel size is impossible, or the scaled image would be too
            large.
        JobError
            If a setting is unknown or impossible.
        """
        chosen = parse_settings(self._spec, settings or {})
        fit = fit_image(self.card, image, channels, pixel_size=pixel_size, use=use, name=name)
        prepared = prepare_image(image, fit.places, self.card.channels, fit.factor)
        return resize_labels(self._predict(prepared, chosen), (image.shape[1], image.shape[2]))

    def _predict(self, image: NDArray[np.float32], settings: "PredictionSettings") -> NDArray[np.int32]:
        if not self._spec.prediction.model_fields:
            return self._predictor.predict(image)
        return cast("AdjustablePredictor", self._predictor).predict(image, settings)


def _load(engine: "Engine", model: LibraryModel, checkpoint: Path | None) -> "Predictor":
    if checkpoint is None:
        return engine.load(model.folder)
    if not isinstance(engine, LoadsCheckpoints):
        raise EngineError(f"The engine {model.card.engine!r} uses no weights of other epochs.")
    return engine.load_checkpoint(checkpoint, model.folder)


@dataclass(frozen=True)
class Fit:
    """How an image comes to what a model takes.

    Attributes
    ----------
    places : tuple of int
        Which of the image's channels feed the model's inputs.
    factor : float
        By how much the image is scaled.
    """

    places: tuple[int, ...]
    factor: float


def fit_image(
    card: ModelCard,
    image: NDArray[Any],
    channels: Sequence[str],
    *,
    pixel_size: float | None = None,
    use: Sequence[str] = (),
    name: str = "image",
) -> Fit:
    """Check that a model can segment an image, and return how; the parameters are those of `Segmenter.segment`.

    Raises
    ------
    DataError
        If it cannot.
    """
    _check_image(image, channels, name)
    check_choices(card, pixel_size, use)
    places = input_places([channel.name for channel in card.channels], channels, name, use)
    factor = scale_factor(pixel_size, card.pixel_size)
    check_scale(factor, pixel_size, card.pixel_size, name)
    pixels = image.shape[1] * factor * image.shape[2] * factor
    if pixels > MAX_PIXELS:
        scaled = "" if factor == 1 else f" scaled {factor:.3g}-fold to the model's {card.pixel_size:g} µm"
        raise DataError(
            f"Image {name!r}{scaled} has {pixels:.3g} pixels, the most is {MAX_PIXELS:.3g}. "
            "Check its pixel size, or segment it in parts."
        )
    return Fit(places, factor)


def check_choices(card: ModelCard, pixel_size: float | None, use: Sequence[str]) -> None:
    """Check what is chosen for all images alike; the parameters are those of `Segmenter.segment`.

    Raises
    ------
    DataError
        If the pixel size is impossible, or the number of channels is not the model's.
    """
    if pixel_size is not None and not pixel_size > 0:
        raise DataError(f"Pixel size {pixel_size:g} µm is impossible. Give a number above 0, or leave it out.")
    wanted = [channel.name for channel in card.channels]
    if use and len(use) != len(wanted):
        raise DataError(
            f"Model {card.name!r} takes {len(wanted)} channel(s) ({', '.join(wanted)}), not {len(use)}. "
            "Name one for each."
        )


def size_warning(card: ModelCard, pixel_size: float | None) -> str:
    """Return why a result may be poor, given an image's µm per pixel; empty if the size gives no reason."""
    model = card.pixel_size
    if model is None:
        return ""
    if pixel_size is None:
        return f"The pixel size is not known: the image is taken as it is. The model was trained at {model:.3g} µm."
    ratio = max(pixel_size / model, model / pixel_size)
    if ratio <= MUCH:
        return ""
    how = "enlarged" if pixel_size > model else "shrunk"
    return f"The model was trained at {model:.3g} µm: the image is {how} {ratio:.3g}-fold. Are both right?"


def _check_image(image: NDArray[Any], channels: Sequence[str], name: str) -> None:
    if image.ndim != 3:
        raise DataError(f"Image {name!r} has {image.ndim} axes, not three (channels, rows, columns).")
    if image.size == 0:
        raise DataError(f"Image {name!r} has no pixels.")
    if image.dtype.kind not in "buif":
        raise DataError(f"Image {name!r} holds {image.dtype}, not intensities. Convert it to whole or decimal numbers.")
    if len(channels) != len(image):
        raise DataError(f"Image {name!r} has {len(image)} channel(s), but {len(channels)} name(s) are given.")
