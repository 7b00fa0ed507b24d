"""The contract between a model and an image: channels, normalization, pixel size, and back to the image's grid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.prepare import (
    check_scale,
    find_channels,
    prepare_image,
    resize_labels,
    scale_factor,
)
from napari_seg_trainer.engines.registry import engine_spec, load_engine
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.schema.model_card import ModelCard

if TYPE_CHECKING:
    from napari_seg_trainer.engines.protocol import Predictor

MAX_PIXELS = 2**31


class Segmenter:
    """A model in this process's memory, used on one image after the other.

    Parameters
    ----------
    model : LibraryModel

    Raises
    ------
    EngineError
        If the model's engine is not installed.
    LibraryError
        If the model cannot be opened.
    """

    def __init__(self, model: LibraryModel) -> None:
        self.card: ModelCard = model.card
        self._predictor: Predictor = load_engine(engine_spec(model.card.engine)).load(model.folder)

    def segment(
        self,
        image: NDArray[Any],
        channels: Sequence[str],
        *,
        pixel_size: float | None = None,
        use: Sequence[str] = (),
        name: str = "image",
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

        Returns
        -------
        NDArray of int32, axes YX
            On the image's own grid; 0 is background.

        Raises
        ------
        DataError
            If a channel is missing, the pixel size is impossible, or the scaled image would be too large.
        """
        if pixel_size is not None and not pixel_size > 0:
            raise DataError(f"Pixel size {pixel_size:g} µm is impossible. Give a number above 0, or leave it out.")
        places = match_channels(self.card, channels, use, name)
        factor = scale_factor(pixel_size, self.card.pixel_size)
        check_scale(factor, pixel_size, self.card.pixel_size, name)
        shape = (image.shape[1], image.shape[2])
        if shape[0] * factor * shape[1] * factor > MAX_PIXELS:
            raise DataError(
                f"Image {name!r} would be scaled {factor:.3g}-fold, as its pixels are {pixel_size:g} µm and the "
                f"model's {self.card.pixel_size:g} µm. Check the image's pixel size."
            )
        prepared = prepare_image(image, places, self.card.channels, factor)
        return resize_labels(self._predictor.predict(prepared), shape)


def match_channels(card: ModelCard, available: Sequence[str], use: Sequence[str], name: str) -> tuple[int, ...]:
    """Return which of an image's channels feed a model's inputs.

    Parameters
    ----------
    card : ModelCard
    available : sequence of str
        The image's channel names.
    use : sequence of str
        Names or numbers (from 0) that the user chose, in the order of the model's inputs; empty for the model's names.
    name : str
        The image's, for messages.

    Raises
    ------
    DataError
        If their number is wrong or one is not there.
    """
    wanted = [channel.name for channel in card.channels]
    if use:
        if len(use) != len(wanted):
            raise DataError(
                f"Model {card.name!r} takes {len(wanted)} channel(s) ({', '.join(wanted)}), not {len(use)}. "
                "Name one for each."
            )
        return tuple(_place(choice, available, name) for choice in use)
    unnamed = all(channel == f"channel {i}" for i, channel in enumerate(available))
    if unnamed and len(available) == len(wanted):
        return tuple(range(len(wanted)))
    return find_channels(available, wanted, name)


def _place(choice: str, available: Sequence[str], name: str) -> int:
    if choice not in available and choice.isdecimal():
        if int(choice) >= len(available):
            raise DataError(
                f"Image {name!r} has {len(available)} channel(s), so no channel {choice}. Counting begins at 0."
            )
        return int(choice)
    return find_channels(available, [choice], name)[0]
