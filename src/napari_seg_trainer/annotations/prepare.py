"""Channels, pixel size and intensities, made what a network expects; the same for training and prediction."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.schema.axes import PLANE, Axes
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelChannel

MAX_SCALE = 20.0
_WIDE = 1e30
_BLOCK = 32
_SMALLEST = float(np.finfo(np.float32).tiny)

Planes = NDArray[Any] | Sequence[NDArray[Any]]
"""An image's channels, each with axes YX."""


def normalize(image: Planes, normalizations: Sequence[Normalization]) -> NDArray[np.float32]:
    """Scale each channel's intensities.

    Parameters
    ----------
    image : NDArray, axes CYX, or sequence of NDArray, axes YX
        Any real dtype. Pixels that are not finite are left out of the percentiles and become what 0 stands for.
    normalizations : sequence of Normalization, one a channel

    Returns
    -------
    NDArray of float32, axes CYX
    """
    scaled = np.empty((len(normalizations), *image[0].shape), np.float32)
    for target, channel, how in zip(scaled, image, normalizations, strict=True):
        # limits that lie too close together, or values that are too large, for single precision
        with np.errstate(over="ignore", invalid="ignore"):
            _normalize_channel(channel, how, target)
    return scaled


def _normalize_channel(channel: NDArray[Any], how: Normalization, target: NDArray[np.float32]) -> None:
    """Fill `target` with what the intensities become, with as few copies of an image as can be."""
    channel, finite, zeros = _looked_at(channel, how)
    low, high = _limits_of(channel, how, finite, zeros)
    if not high - low > _SMALLEST:  # a constant channel holds nothing to scale
        target[...] = 0
        return
    values = target if not _is_wide(channel, finite) else np.empty(channel.shape, np.float64)
    values[...] = channel
    values -= low
    values /= high - low
    if finite is not None:
        values[~finite] = 0
    if zeros is not None:
        values[zeros] = 0
    if how.clip:
        np.clip(values, 0, 1, out=values)
    if values is not target:
        target[...] = values
    if not np.isfinite(target).all():
        np.nan_to_num(target, copy=False)


def intensity_limits(channel: NDArray[Any], how: Normalization) -> tuple[float, float]:
    """Return which intensities of a channel (YX) become 0 and 1."""
    channel, finite, zeros = _looked_at(channel, how)
    return _limits_of(channel, how, finite, zeros)


_Mask = NDArray[np.bool_] | None


def _looked_at(channel: NDArray[Any], how: Normalization) -> tuple[NDArray[Any], _Mask, _Mask]:
    """Return a channel of numbers, which of them are finite, None where all are, and which are to be left out."""
    if channel.dtype.kind == "b":
        channel = channel.view(np.uint8)  # NumPy knows no percentiles of truth
    finite = np.isfinite(channel) if channel.dtype.kind == "f" else None
    if finite is not None and finite.all():
        finite = None
    return channel, finite, channel == 0 if how.skip_zeros else None


def _limits_of(channel: NDArray[Any], how: Normalization, finite: _Mask, zeros: _Mask) -> tuple[float, float]:
    if how.mode != "percentile":
        return how.low, how.high
    counts = finite if zeros is None else ~zeros if finite is None else finite & ~zeros
    return _limits(channel if counts is None else channel[counts], how)


def _limits(values: NDArray[Any], how: Normalization) -> tuple[float, float]:
    """Return the intensities at the percentiles of finite values."""
    if not values.size:
        return 0.0, 0.0
    low, high = (float(value) for value in np.percentile(values, (how.low, how.high)))
    if low == high:  # nearly all of it is background, with a few bright pixels
        return float(values.min()), float(values.max())
    return low, high


def _is_wide(channel: NDArray[Any], finite: NDArray[np.bool_] | None) -> bool:
    """Whether values are so far apart that 32 bits could not hold the difference."""
    if channel.dtype.kind != "f":
        return False
    where = np.True_ if finite is None else finite
    extremes = channel.max(where=where, initial=0.0), channel.min(where=where, initial=0.0)
    return any(abs(value) > _WIDE for value in extremes)


def rescaled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return the shape (YX, pixels) after scaling by `factor`, at least one pixel."""
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def rescale_image(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Resample a CYX image linearly, smoothed before it shrinks."""
    from skimage.transform import resize  # takes half a second, and much of what is here does without

    shape = rescaled_shape((image.shape[1], image.shape[2]), factor)
    if shape == image.shape[1:]:
        return image
    scaled = np.empty((len(image), *shape), np.float32)
    for target, plane in zip(scaled, image, strict=True):
        target[...] = resize(plane, shape, order=1, mode="reflect", anti_aliasing=factor < 1)
    return scaled


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
            f"{model:g} µm. Correct the wrong one."
        )


def prepare_image(planes: Planes, channels: Sequence[ModelChannel], factor: float) -> NDArray[np.float32]:
    """Normalize and rescale.

    Parameters
    ----------
    planes : sequence of NDArray, axes YX
        Intensities as read, of what feeds each of the model's inputs.
    channels : sequence of ModelChannel
        The model's inputs.
    factor : float
        From `scale_factor`.

    Returns
    -------
    NDArray of float32, axes CYX
    """
    return rescale_image(normalize(planes, [channel.normalization for channel in channels]), factor)


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image as the network takes it.

    Attributes
    ----------
    name : str
        The image's name in the split.
    image : NDArray of float32, axes C and `axes`
        Normalized, at the model's pixel size.
    labels : NDArray of int32, axes as `axes`
        0 is background, -1 is not annotated.
    axes : str
        ``"YX"``.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    axes: Axes = PLANE
    _known: dict[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)

    def draw_object_pixel(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """Return a place (YX, pixels) on an object, anywhere in the image; None if there is none."""
        if "blocks" not in self._known:
            self._known["blocks"] = _blocks_with_objects(self.labels)
        blocks = self._known["blocks"]
        if not len(blocks):
            return None
        corner = blocks[rng.integers(len(blocks))]
        drawn = np.argwhere(self.labels[tuple(slice(start, start + _BLOCK) for start in corner)] > 0)
        place: NDArray[np.int64] = corner + drawn[rng.integers(len(drawn))]
        return place


def _blocks_with_objects(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the first pixels (N × YX) of the squares of an image, side by side, in which there is an object."""
    found = [
        np.argwhere(np.logical_or.reduceat((labels[y : y + _BLOCK] > 0).any(0), starts))[:, 0]
        for starts in [np.arange(0, labels.shape[1], _BLOCK)]
        for y in range(0, labels.shape[0], _BLOCK)
    ]
    return np.array([(y * _BLOCK, x * _BLOCK) for y, row in enumerate(found) for x in row], np.int64).reshape(-1, 2)


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
        self._known: list[dict[str, NDArray[np.int64]]] = [{} for _ in self.names]

    @classmethod
    def write(cls, folder: Path, images: Iterable[PreparedImage], done: Callable[[int], None]) -> Self:
        """Write `images` as they come; `done` is called with how many."""
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
            _known=self._known[i],
        )

    def remove(self) -> None:
        """Delete the arrays."""
        shutil.rmtree(self.folder, ignore_errors=True)
