"""What is asked of a model: one image, or many alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from numpy.typing import NDArray
from pydantic import JsonValue

from napari_seg_trainer.annotations.channels import input_places
from napari_seg_trainer.annotations.prepare import check_scale, scale_factor
from napari_seg_trainer.engines.protocol import PredictionSettings
from napari_seg_trainer.engines.registry import engine_spec, parse_settings
from napari_seg_trainer.errors import DataError, LibraryError
from napari_seg_trainer.schema.axes import PLANE
from napari_seg_trainer.schema.model_card import ModelCard

MAX_PIXELS = 2**31
OnTile = Callable[[int, int], object]
"""Called with how many parts of an image are done, and how many there are."""


@dataclass(frozen=True)
class SegmentRequest:
    """How an image is to be segmented.

    Attributes
    ----------
    channels : sequence of str
        The image's channel names; those of the model's inputs where not given.
    pixel_size : float, optional
        µm per pixel; the image is scaled to the model's pixel size where both are known.
    use : sequence of str
        Which channels feed the model's inputs, in their order; by default those with the model's names.
    name : str
        For messages.
    settings : mapping, optional
        The engine's prediction settings, such as ``{"probability": 0.4}``; what is not given, or None, is the model's
        own.
    """

    channels: Sequence[str] | None = None
    pixel_size: float | None = None
    use: Sequence[str] = ()
    name: str = "image"
    settings: Mapping[str, JsonValue] | None = None

    def of(self, channels: Sequence[str], pixel_size: float | None, name: str) -> Self:
        """Return the same for one of many images, which has its own channels and perhaps its µm per pixel.

        A pixel size that was asked for counts for all images, whatever is in them.
        """
        size = pixel_size if self.pixel_size is None else self.pixel_size
        return replace(self, channels=channels, pixel_size=size, name=name)


@dataclass(frozen=True)
class Fit:
    """How an image comes to what a model takes.

    Attributes
    ----------
    places : tuple of int
        Which of the image's channels feed the model's inputs.
    factor : float
        By how much the image is scaled.
    settings : PredictionSettings
        Of the engine's own type.
    """

    places: tuple[int, ...]
    factor: float
    settings: PredictionSettings


def fit(card: ModelCard, image: NDArray[Any], request: SegmentRequest) -> Fit:
    """Check that a model can segment an image (CYX) as requested, and return how.

    Raises
    ------
    DataError
        If it is not an image, a channel is missing, the pixel size is impossible, or the scaled image would be too
        large.
    EngineError
        If the model's engine is not installed.
    JobError
        If a setting is unknown or impossible.
    LibraryError
        If the model is for stacks.
    """
    settings = parse_settings(engine_spec(card.engine), request.settings or {})
    if card.axes != PLANE:
        raise LibraryError(f"Model {card.name!r} is for stacks ({card.axes}); only 2D models can be used here.")
    channels = [channel.name for channel in card.channels] if request.channels is None else request.channels
    _check_image(image, channels, request.name)
    check_choices(card, request)
    places = input_places([channel.names for channel in card.channels], channels, request.name, request.use)
    size = None if request.pixel_size is None else float(request.pixel_size)
    factor = scale_factor(size, card.pixel_size)
    check_scale(factor, size, card.pixel_size, request.name)
    pixels = image.shape[1] * factor * image.shape[2] * factor
    if pixels > MAX_PIXELS:
        scaled = "" if factor == 1 else f" scaled {factor:.3g}-fold to the model's {card.pixel_size:g} µm"
        raise DataError(
            f"Image {request.name!r}{scaled} has {pixels:.3g} pixels, the maximum is {MAX_PIXELS:.3g}. "
            "Check its pixel size, or segment it in parts."
        )
    return Fit(places, factor, settings)


def check_choices(card: ModelCard, request: SegmentRequest) -> None:
    """Check what is chosen for all images alike.

    Raises
    ------
    DataError
        If the pixel size is impossible, or the number of channels is not the model's.
    """
    if request.pixel_size is not None and not request.pixel_size > 0:
        raise DataError(f"Pixel size {request.pixel_size:g} µm is impossible. Give a number above 0, or leave it out.")
    wanted = [channel.name for channel in card.channels]
    if request.use and len(request.use) != len(wanted):
        raise DataError(
            f"Model {card.name!r} takes {len(wanted)} channel(s) ({', '.join(wanted)}), not {len(request.use)}. "
            "Give one for each."
        )


def _check_image(image: NDArray[Any], channels: Sequence[str], name: str) -> None:
    if image.ndim != 3:
        raise DataError(f"Image {name!r} has {image.ndim} axes, not three (channels, rows, columns).")
    if image.size == 0:
        raise DataError(f"Image {name!r} has no pixels.")
    if image.dtype.kind not in "buif":
        raise DataError(f"Image {name!r} holds {image.dtype}, not intensities. Convert it to whole or decimal numbers.")
    if len(channels) != len(image):
        raise DataError(f"Image {name!r} has {len(image)} channel(s), but {len(channels)} name(s) are given.")
