"""Pixels of one file, whatever its kind, brought to one or more planes; every defect of a file is a `DataError`."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.metadata import Metadata, read_metadata
from napari_seg_trainer.annotations.traps import (
    WAY_OUT,
    check_complete,
    check_ome,
    check_pages,
    check_scans,
    check_size,
)
from napari_seg_trainer.errors import DataError

if TYPE_CHECKING:
    # imported where they are used: they take a third of a second, and a viewer that only lists files goes without
    from PIL.Image import Image
    from tifffile import TiffFile, TiffPageSeries

TIFF_SUFFIXES = (".tif", ".tiff")
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp")
_SIGNATURES = {
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF", b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP", b"GIF8": "GIF", b"%PDF": "PDF", b"PK\x03\x04": "ZIP", b"\x89HDF": "HDF5", b"\x93NUM": "NumPy",
}  # fmt: skip
_KINDS = {".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}

_errors: ContextVar[list[str] | None] = ContextVar("errors", default=None)


@dataclass(frozen=True, eq=False)
class Pixels:
    """An array as a file holds it.

    Attributes
    ----------
    data : NDArray
        Real numbers, one axis for each letter of `axes`.
    axes : str
        Letters of the TIFF world: X, Y, C channel, S colour sample, T frame, Z slice; others mean "not given".
    colour : bool
        Whether S is red, green and blue, perhaps with an alpha channel.
    metadata : Metadata
        What else is in the file.
    """

    data: NDArray[Any]
    axes: str
    colour: bool = False
    metadata: Metadata = field(default_factory=Metadata)


@dataclass(frozen=True)
class Header:
    """What an image file says of itself.

    Attributes
    ----------
    shape : tuple of int
        Lengths of the file's axes.
    axes : str
        As in `Pixels`.
    kind : str
        The type of number, or the mode of a picture.
    metadata : Metadata
        What else is in the file.
    """

    shape: tuple[int, ...]
    axes: str
    kind: str
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def has_colours(self) -> bool:
        """Whether it may be red, green and blue, with an alpha channel or without."""
        return self.axes.endswith("S") and (self.shape[-1] in {3, 4} or self.kind in {"P", "PA"})


def read_pixels(path: Path, *, indices: bool = False) -> Pixels:
    """Read a file by its kind.

    Parameters
    ----------
    path : Path
    indices : bool
        Of a picture with a palette, return the numbers of the colours, as masks have them, not the colours.

    Raises
    ------
    DataError
        If the file is missing, unreadable, cut short, too large, or not what its extension says.
    """
    kind = _checked_kind(path)
    with _defects_told(path, kind):
        pixels = _read_tiff(path) if kind == "TIFF" else _read_picture(path, indices=indices)
    if pixels.data.dtype.kind not in "buif":
        raise DataError(f"'{path}' holds values of type {pixels.data.dtype}. Save it with whole or decimal numbers.")
    if 0 in pixels.data.shape:
        raise DataError(f"'{path}' holds no pixels. {WAY_OUT}")
    return pixels


def read_header(path: Path) -> Header:
    """Tell what `read_pixels` would read, without reading it.

    Raises
    ------
    DataError
        As `read_pixels`; damage within compressed pixels shows only there.
    """
    kind = _checked_kind(path)
    with _defects_told(path, kind):
        if kind == "TIFF":
            with _opened_tiff(path) as (tif, series):
                return Header(series.shape, series.axes, str(series.dtype), read_metadata(tif))
        with _opened_picture(path) as picture:
            shape = (getattr(picture, "n_frames", 1), picture.height, picture.width, len(picture.getbands()))
            return Header(shape, "QYXS", picture.mode)


def peek(path: Path) -> Header | None:
    """Tell at once what a TIFF says of itself, whether or not all of it is there; None for any other file."""
    if path.suffix.lower() not in TIFF_SUFFIXES or not path.is_file():
        return None
    try:
        from tifffile import TiffFile

        with _collected_errors(), TiffFile(path) as tif:
            check_pages(path, tif)
            check_ome(path, tif)
            first = tif.series[0]
            return Header(first.shape, first.axes, str(first.dtype), read_metadata(tif))
    except Exception:  # noqa: BLE001 - as below, and nobody has asked for more than a hint
        return None


@contextmanager
def _defects_told(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{kind} file '{path}' does not fit into memory, or is damaged. Export crops.") from error
    # the readers raise whatever a broken file makes them stumble over, from struct.error to RecursionError
    except Exception as error:
        raise DataError(f"{kind} file '{path}' is broken ({_reason(path, error)}). {WAY_OUT}") from error


def _reason(path: Path, error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error).replace(f"'{path}'", "")
    return " ".join(text.split())[:120] or type(error).__name__


def _checked_kind(path: Path) -> str:
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise DataError(f"'{path}' {what}. Check the path.")
        with path.open("rb") as file:
            start = file.read(8)
    except (OSError, ValueError) as error:
        raise DataError(
            f"'{path}' cannot be read: {_reason(path, error)}. Check the path and its permissions."
        ) from error
    if not start:
        raise DataError(f"'{path}' is empty (0 bytes). {WAY_OUT}")
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"'{path}' has an unknown file type. Save it as TIFF or PNG.")
    found = next((name for signature, name in _SIGNATURES.items() if start.startswith(signature)), None)
    if found is None:
        raise DataError(f"'{path}' is not a {kind} image: it has another format or is damaged. {WAY_OUT}")
    if found != kind:
        raise DataError(f"'{path}' is a {found} file, not {kind}. Save it as {kind}, or rename it.")
    return kind


class _Collector(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        errors = _errors.get()
        if errors is not None and record.levelno >= logging.ERROR:
            errors.append(record.getMessage())
        return errors is None


logging.getLogger("tifffile").addFilter(_Collector())


@contextmanager
def _collected_errors() -> Iterator[list[str]]:
    # what tifffile logs while we read is reported in our one message; its logger stays as it is for everybody else
    errors: list[str] = []
    token = _errors.set(errors)
    try:
        yield errors
    finally:
        _errors.reset(token)


@contextmanager
def _opened_tiff(path: Path) -> "Iterator[tuple[TiffFile, TiffPageSeries]]":
    from tifffile import TiffFile

    with _collected_errors() as errors, TiffFile(path) as tif:
        check_pages(path, tif)
        check_ome(path, tif)
        series = _only_series(path, tif)
        if errors:
            # tifffile goes on with the pages that it finds; of a file that was cut short these are too few
            raise DataError(f"TIFF file '{path}' is damaged or cut short. {WAY_OUT}")
        check_size(path, series.nbytes)
        check_complete(path, series)
        yield tif, series


def _read_tiff(path: Path) -> Pixels:
    with _opened_tiff(path) as (tif, series):
        page = tif.pages.first
        colour = getattr(page.photometric, "name", "") == "RGB" and series.axes.endswith("S")
        return Pixels(_native(series.asarray(maxworkers=1)), series.axes, colour, read_metadata(tif))


def _only_series(path: Path, tif: "TiffFile") -> "TiffPageSeries":
    if not len(tif.series):
        raise DataError(f"TIFF file '{path}' holds no image. {WAY_OUT}")
    first = tif.series[0]
    # smaller ones are thumbnails
    if any(other.size >= first.size for other in tif.series[1:]):
        raise DataError(f"'{path}' holds {len(tif.series)} images. Save the one you need as a separate file.")
    return first


def _native(data: NDArray[Any]) -> NDArray[Any]:
    if data.dtype.kind == "f" and data.dtype.itemsize < 4:
        # nothing that comes later computes with half floats
        return data.astype(np.float32)
    if data.dtype.kind == "b":
        return data.astype(np.uint8)
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


@contextmanager
def _opened_picture(path: Path) -> "Iterator[Image]":
    from PIL import Image

    if _KINDS[path.suffix.lower()] == "JPEG":
        check_scans(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have limits of our own
        try:
            opened = Image.open(path)
        except Image.DecompressionBombError as error:
            raise DataError(
                f"'{path}' has more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels, the most that "
                "are read of such a file. Save it as TIFF, or export crops."
            ) from error
    with opened:
        yield opened


def _read_picture(path: Path, *, indices: bool) -> Pixels:
    from PIL import ImageSequence

    with _opened_picture(path) as picture:
        frames = getattr(picture, "n_frames", 1)
        check_size(path, picture.width * picture.height * len(picture.getbands()) * frames * 4)
        if frames > 1:
            data = np.stack([_plane(frame, indices) for frame in ImageSequence.Iterator(picture)])
        elif _has_sixteen_bits(path):
            data = _read_png(path)
        else:
            data = _plane(picture, indices)
    axes = ("Q" if frames > 1 else "") + ("YXS" if data.ndim > 2 + (frames > 1) else "YX")
    return Pixels(_native(data), axes, axes.endswith("S"))


def _has_sixteen_bits(path: Path) -> bool:
    """Whether a PNG has several samples of 16 bits, of which Pillow keeps 8."""
    with path.open("rb") as file:
        start = file.read(26)  # signature, then width, height, bits and kind of colour
    return start.startswith(b"\x89PNG") and start[24] == 16 and start[25] in {2, 4, 6}


def _read_png(path: Path) -> NDArray[Any]:
    from imagecodecs import png_decode

    data: NDArray[Any] = png_decode(path.read_bytes())
    return data[..., 0] if data.shape[-1] == 2 else data  # grey with alpha


def _plane(picture: "Image", indices: bool) -> NDArray[Any]:
    if picture.mode in {"P", "PA"} and not indices:
        return np.asarray(picture.convert("RGB"))
    if picture.mode in {"LA", "La", "PA"}:
        return np.asarray(picture.convert("LA"))[:, :, 0]
    if picture.mode in {"1", "L", "P", "I", "I;16", "I;16B", "F", "RGB", "RGBA"}:
        return np.asarray(picture)
    return np.asarray(picture.convert("RGB"))
