"""Channels, pixel size and intensities, made what a network expects; the same for training and prediction."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelChannel

MAX_SCALE = 20.0
_WIDE = 1e30
_SMALLEST = float(np.finfo(np.float32).tiny)


def normalize(image: NDArray[Any], normalizations: Sequence[Normalization]) -> NDArray[np.float32]:
    """Scale each channel's intensities.

    Parameters
    ----------
    image : NDArray, axes CYX
        Any real dtype. Pixels that are not finite are left out of the percentiles and become what 0 stands for.
    normalizations : sequence of Normalization, one a channel

    Returns
    -------
    NDArray of float32, axes CYX
    """
    return np.stack([_normalize_channel(*pair) for pair in zip(image, normalizations, strict=True)])


def _normalize_channel(channel: NDArray[Any], how: Normalization) -> NDArray[np.float32]:
    # limits that lie too close together, or values that are too large, for single precision
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(channel)
        # of values so far apart, 32 bits could not hold the difference
        is_wide = channel.dtype.kind == "f" and np.abs(channel).max(where=finite, initial=0.0) > _WIDE
        values: NDArray[Any] = channel.astype(np.float64 if is_wide else np.float32)
        all_finite = bool(finite.all())
        low, high = how.low, how.high
        if how.mode == "percentile":
            inside = values if all_finite else values[finite]
            low, high = (float(v) for v in np.percentile(inside, (how.low, how.high))) if inside.size else (0.0, 0.0)
            if inside.size and low == high:  # nearly all of it is background, with a few bright pixels
                low, high = float(inside.min()), float(inside.max())
        # a constant channel holds nothing to scale: it becomes 0
        scaled = (values - low) / (high - low) if high - low > _SMALLEST else np.zeros_like(values)
        if not all_finite:
            scaled = np.where(finite, scaled, 0.0)
        if how.clip:
            scaled = np.clip(scaled, 0.0, 1.0)
        found: NDArray[np.float32] = scaled.astype(np.float32)
    return found if np.isfinite(found).all() else np.nan_to_num(found)


def rescaled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return the shape (YX, pixels) after scaling by `factor`, at least one pixel."""
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def rescale_image(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Resample a CYX image linearly, smoothed before it shrinks."""
    from skimage.transform import resize  # takes half a second, and much of what is here does without

    shape = rescaled_shape((image.shape[1], image.shape[2]), factor)
    if shape == image.shape[1:]:
        return image
    planes = [resize(plane, shape, order=1, mode="reflect", anti_aliasing=factor < 1) for plane in image]
    return np.stack(planes).astype(np.float32)


def resize_labels(labels: NDArray[np.int32], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Resample YX labels to `shape` by nearest neighbour."""
    if labels.shape == shape:
        return labels
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.intp), old - 1)
        for new, old in zip(shape, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def scale_factor(image_pixel_size: float | None, model_pixel_size: float | None) -> float:
    """Return by how much to scale an image so that its pixels are the model's; 1 where a size (µm) is unknown."""
    if image_pixel_size is None or model_pixel_size is None:
        return 1.0
    factor = image_pixel_size / model_pixel_size
    return 1.0 if abs(factor - 1.0) < 0.01 else factor


def check_scale(factor: float, image: float | None, model: float | None, where: str) -> None:
    """Refuse a scaling (from `scale_factor`) that only a wrong pixel size, such as one in nm, explains.

    Raises
    ------
    DataError
        If the image would grow or shrink more than twentyfold.
    """
    if not 1 / MAX_SCALE <= factor <= MAX_SCALE:
        raise DataError(
            f"Image {where!r} would be scaled {factor:.3g}-fold, as its pixels are {image:g} µm and the model's "
            f"{model:g} µm. Correct the one that is wrong."
        )


def prepare_image(
    image: NDArray[Any], places: Sequence[int], channels: Sequence[ModelChannel], factor: float
) -> NDArray[np.float32]:
    """Pick channels, normalize and rescale.

    Parameters
    ----------
    image : NDArray, axes CYX
        As read.
    places : sequence of int
        Which of its channels feed the model's inputs.
    channels : sequence of ModelChannel
        The model's inputs.
    factor : float
        From `scale_factor`.

    Returns
    -------
    NDArray of float32, axes CYX
    """
    picked = normalize(image[list(places)], [channel.normalization for channel in channels])
    return rescale_image(picked, factor)


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image as the network takes it.

    Attributes
    ----------
    name : str
        The image's name in the split.
    image : NDArray of float32, axes CYX
        Normalized, at the model's pixel size.
    labels : NDArray of int32, axes YX
        0 is background.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.int32]


class PreparedImages(Sequence[PreparedImage]):
    """Prepared images on disk, mapped into memory when asked for, so that their number does not matter.

    Parameters
    ----------
    folder : Path
        Where the arrays are; made by `write`, removed by `remove`.
    names : sequence of str
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = tuple(names)

    @classmethod
    def write(cls, folder: Path, images: Iterable[PreparedImage], done: Callable[[int], None]) -> Self:
        """Write `images` as they come; `done` is told how many."""
        folder.mkdir(parents=True, exist_ok=True)
        names: list[str] = []
        for i, prepared in enumerate(images):
            np.save(folder / f"{i}_image.npy", prepared.image)
            np.save(folder / f"{i}_labels.npy", prepared.labels)
            names.append(prepared.name)
            done(len(names))
        return cls(folder, names)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        """Return one image, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        return PreparedImage(
            self.names[i],
            np.load(self.folder / f"{i}_image.npy", mmap_mode="r"),
            np.load(self.folder / f"{i}_labels.npy", mmap_mode="r"),
        )

    def remove(self) -> None:
        """Delete the arrays."""
        shutil.rmtree(self.folder, ignore_errors=True)
