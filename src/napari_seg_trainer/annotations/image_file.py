"""Reading one image or one mask of any supported kind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import NUMBERS
from napari_seg_trainer.annotations.channels import COLOURS, GREY
from napari_seg_trainer.annotations.metadata import channel_names
from napari_seg_trainer.annotations.pixels import TIFF_SUFFIXES, Pixels, read_pixels
from napari_seg_trainer.annotations.region import IGNORED
from napari_seg_trainer.annotations.seg_npy import SEG_SUFFIX, read_seg_npy
from napari_seg_trainer.annotations.sidecar import FOLDER_CHANNELS, example_names
from napari_seg_trainer.errors import DataError

MAX_UNTAGGED_CHANNELS = 16
"""An axis that no metadata explains is taken for channels up to this length, for a stack above."""

_LARGEST_LABEL = int(np.iinfo(np.int32).max)


class UntoldPlanes(DataError):
    """Planes of a file that may be channels, slices or frames."""


@dataclass(frozen=True, eq=False)
class ImageFile:
    """What an image file holds.

    Attributes
    ----------
    data : NDArray, axes CYX
        Intensities as stored.
    channels : tuple of str
        The file's own names, else ``"channel 0"`` and so on; colours are ``"red"``, ``"green"``, ``"blue"``. Three
        equal ones are one channel, ``"grey"``.
    pixel_size : float, optional
        µm per pixel.
    """

    data: NDArray[Any]
    channels: tuple[str, ...]
    pixel_size: float | None = None

    def called(self, names: Sequence[str]) -> Self:
        """Return the image with these names, where they are as many as its channels; else as it is.

        A grey picture has one channel or three, as the names want it.
        """
        data = self.data
        if self.channels == (GREY,) and len(names) == len(COLOURS):
            data = np.broadcast_to(data, (len(names), *data.shape[1:]))
        return replace(self, data=data, channels=tuple(names)) if len(names) == len(data) else self


@dataclass(frozen=True, eq=False)
class LabelFile:
    """Labels (int32, axes YX; -1 is not annotated) and the type of number that the file keeps them in."""

    labels: NDArray[np.int32]
    stored: np.dtype[Any]


def read_image(path: Path, names: Sequence[str] = (), *, planes_are_channels: bool = False) -> ImageFile:
    """Read a TIFF (plain, ImageJ, OME), PNG, JPEG or BMP image.

    Parameters
    ----------
    path : Path
        One frame and one slice, with one or more channels.
    names : sequence of str
        The channels' names, where another file has them. Where the file does not name its axes, its planes are taken
        for channels if there are as many.
    planes_are_channels : bool
        Whether planes of a file that does not say its axes are channels, as somebody has chosen among them.

    Returns
    -------
    ImageFile

    Raises
    ------
    DataError
        If the file is broken, holds a stack or a time lapse, or planes of which it does not say what they are.
    """
    pixels = read_pixels(path)
    data, axes = _squeeze(pixels)
    _refuse_stacks(path, data, axes)
    if len(axes) == 2:
        return ImageFile(data[np.newaxis], channel_names(pixels.metadata.names, 1), pixels.metadata.pixel_size)
    if len(axes) > 3:
        raise DataError(f"'{path}' has {len(axes)} axes ({axes}). Export single frames with at most one channel axis.")
    place = _channel_axis(path, data, axes, None if planes_are_channels else len(names))
    data = np.ascontiguousarray(np.moveaxis(data, place, 0))
    # colour samples that are planes of their own are more often channels that were saved without saying so
    is_colour = pixels.colour and place == 2
    names = pixels.metadata.names
    # files of four channels are tagged as if the last one were transparency
    has_alpha = len(data) == 4 and (path.suffix.lower() not in TIFF_SUFFIXES or data[3].min() == data[3].max())
    if is_colour and (len(data) == 3 or has_alpha):
        data, names = data[:3], names if len(names) == 3 else COLOURS
        if names == COLOURS and np.array_equal(data[0], data[1]) and np.array_equal(data[0], data[2]):
            data, names = data[:1].copy(), (GREY,)
    return ImageFile(data, channel_names(names, len(data)), pixels.metadata.pixel_size)


def read_labels(path: Path) -> NDArray[np.int32]:
    """Read a mask in which each object has a number of its own.

    Parameters
    ----------
    path : Path
        An image file with one plane, or Cellpose's ``_seg.npy``.

    Returns
    -------
    NDArray of int32, axes YX
        -1 where it is not annotated.

    Raises
    ------
    DataError
        If the file is broken, a colour picture or a stack, or if labels are negative, too large or not whole.
    """
    return read_label_file(path).labels


def read_label_file(path: Path) -> LabelFile:
    """Do as `read_labels`, and return the type of number in the file."""
    if path.name.lower().endswith(SEG_SUFFIX):
        values = read_seg_npy(path)
    else:
        values = _read_mask(path)
    return LabelFile(_checked_labels(path, values), values.dtype)


def _squeeze(pixels: Pixels) -> tuple[NDArray[Any], str]:
    keep = [i for i, (axis, n) in enumerate(zip(pixels.axes, pixels.data.shape, strict=True)) if axis in "YX" or n > 1]
    data = pixels.data.reshape([pixels.data.shape[i] for i in keep])
    return data, "".join(pixels.axes[i] for i in keep)


def _refuse_stacks(path: Path, data: NDArray[Any], axes: str) -> None:
    for axis, what, unit in (("T", "a time lapse", "frames"), ("Z", "a stack", "slices")):
        if axis in axes:
            count = data.shape[axes.index(axis)]
            raise DataError(
                f"'{path}' is {what} of {count} {unit}. Export single {unit} as images; if they are channels, "
                "save them as channels (in Fiji: Image > Hyperstacks > Stack to Hyperstack)."
            )


def _channel_axis(path: Path, data: NDArray[Any], axes: str, known: int | None) -> int:
    """Return which axis is that of the channels.

    Where the file does not name its axes, the number of planes must be the number of `known` channels; None allows any.
    """
    letter = next(axis for axis in axes if axis not in "YX") if set("YX") <= set(axes) else ""
    if letter == "C":
        return axes.index(letter)
    if letter == "S" and data.shape[axes.index(letter)] <= MAX_UNTAGGED_CHANNELS:
        # a first axis of samples may be a height: files that were saved without naming their axes
        return int(np.argmin(data.shape)) if axes == "SYX" else axes.index(letter)
    smallest = int(np.argmin(data.shape))
    count = data.shape[smallest]
    if count > MAX_UNTAGGED_CHANNELS:
        raise DataError(
            f"'{path}' is a stack of {data.shape[0]} planes. Export single frames as images, or save its axes' names."
        )
    if known is not None and count != known:
        raise UntoldPlanes(
            f"'{path}' has {count} planes without information on what they are. If they are channels, list their "
            f"names in a file '{FOLDER_CHANNELS}' next to it, such as {example_names(count)}; if they are slices or "
            "frames, export single ones."
        )
    return smallest


def _read_mask(path: Path) -> NDArray[Any]:
    if path.suffix.lower() in {".jpg", ".jpeg"}:
        raise DataError(f"Mask '{path}' is a JPEG, which blurs labels. Save it as TIFF or PNG.")
    pixels = read_pixels(path, indices=True)
    data, axes = _squeeze(pixels)
    if len(axes) != 2:
        _refuse_planes(path, pixels, data, axes)
    return data


def _refuse_planes(path: Path, pixels: Pixels, data: NDArray[Any], axes: str) -> NoReturn:
    if pixels.colour and axes == "YXS":
        raise DataError(
            f"Mask '{path}' is a colour picture, so objects have no numbers. Save a label image (16-bit grey)."
        )
    _refuse_stacks(path, data, axes)
    raise DataError(f"Mask '{path}' has {len(axes)} axes {data.shape}. Save one plane of labels per image.")


def _checked_labels(path: Path, values: NDArray[Any]) -> NDArray[np.int32]:
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.round(values)).all()):
        raise DataError(
            f"Mask '{path}' holds values that are not whole numbers, such as probabilities. Save whole-number labels."
        )
    lowest, highest = values.min(), values.max()
    if lowest < IGNORED:
        raise DataError(f"Mask '{path}' holds negative labels ({lowest:g}). {NUMBERS}")
    if highest > _LARGEST_LABEL:
        raise DataError(
            f"Mask '{path}' holds the label {highest:g}; {_LARGEST_LABEL} is the limit. Renumber the objects."
        )
    return np.ascontiguousarray(values, dtype=np.int32)
