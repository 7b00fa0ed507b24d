"""One image with its labels: what a person drew on what a microscope saw."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pathvalidate import ErrorReason, ValidationError, validate_filename

from napari_seg_trainer.annotations.region import IGNORED, region_of
from napari_seg_trainer.annotations.sidecar import NO_UNIT
from napari_seg_trainer.annotations.together import finish_interrupted, together
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.files import flush

ROI_MARK = "_roi_"
LABELS_SUFFIX = "_labelled"
NUMBERS = "Use 0 for background, 1 and up for objects, -1 for what is not annotated."
_FORBIDDEN = set('<>:"/\\|?*')
_MOST = 2.0**31
"""TIFF keeps a fraction as two numbers of 32 bits."""

_DEFLATE: dict[str, Any] = {"compression": "zlib", "compressionargs": {"level": 1}, "photometric": "minisblack"}


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image, its labels and what is known about them.

    Attributes
    ----------
    image : NDArray, axes CYX
        Intensities as stored: integers or floats.
    labels : NDArray of int32, axes YX
        0 is background, each object has a number of its own, -1 is not annotated.
    channels : tuple of str
        A name for each channel.
    stem : str
        The file name without extension.
    pixel_size : float, optional
        µm per pixel.
    field_of_view : str, optional
        Id of the field of view; images that share it never part in a split.
    frame : int, optional
        Frame of the time lapse or slice of the stack that the image was taken from.
    sources : tuple of str
        Names of the layers that it was made from.
    source_file : str, optional
        The file that the first of these was opened from.

    Raises
    ------
    DataError
        If the parts do not fit together.
    """

    image: NDArray[Any]
    labels: NDArray[np.int32]
    channels: tuple[str, ...]
    stem: str
    pixel_size: float | None = None
    field_of_view: str | None = None
    frame: int | None = None
    sources: tuple[str, ...] = ()
    source_file: str | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for problem in _problems(self):
            raise DataError(f"Image {self.stem!r} {problem}")

    @property
    def group(self) -> str:
        """The field of view, or what stands before ``_roi_`` in the stem where none is given."""
        return self.field_of_view or group_of_stem(self.stem)

    def write(self, folder: Path, *, overwrite: bool = False) -> tuple[Path, Path, Path]:
        """Write ``STEM.tif`` (CYX), ``STEM_labelled.tif`` (YX) and ``STEM.json``.

        Other programs read the mask, too, so that what is not annotated is 0 there; which part that is stands in the
        sidecar. All three appear or none, also where the process is killed in between.

        Parameters
        ----------
        folder : Path
            Where to; made if missing.
        overwrite : bool
            Replace files of the same name.

        Returns
        -------
        tuple of Path
            Image, labels and sidecar.

        Raises
        ------
        DataError
            If a file is there already, the stem cannot be a file name, labels are negative, or the disk refuses.
        """
        check_stem(self.stem)
        if self.labels.min(initial=0) < IGNORED:
            raise DataError(f"Labels of {self.stem!r} hold negative numbers. {NUMBERS}")
        image, labels, sidecar = _targets(folder, self.stem)
        taken = [path.name for path in (image, labels, sidecar) if os.path.lexists(path)]
        if taken and not overwrite:
            raise DataError(f"{taken[0]!r} already exists in '{folder}'. Choose another name, or allow overwriting.")
        inner = next((path.name for path in (image, labels, sidecar) if os.path.isdir(path)), None)
        if inner is not None:
            raise DataError(f"'{inner}' in '{folder}' is a folder. Choose another name.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write_all(image, labels, sidecar)
        except OSError as error:
            reason = error.strerror or error
            raise DataError(
                f"Cannot write {self.stem!r} to '{folder}': {reason}. Choose another folder or make room."
            ) from error
        return image, labels, sidecar

    def _write_all(self, image: Path, labels: Path, sidecar: Path) -> None:
        import tifffile  # here, as it takes a quarter of a second

        finish_interrupted(image.parent, os.listdir(image.parent))
        # the image comes last: without it nobody takes the other two for a pair
        with together(image.parent, [labels.name, sidecar.name, image.name]) as hidden:
            self._write_image(hidden / image.name)
            tifffile.imwrite(hidden / labels.name, _smallest(self.labels), metadata={"axes": "YX"}, **_DEFLATE)
            (hidden / sidecar.name).write_text(self._sidecar_text(), encoding="utf-8")
            flush(hidden)

    def _write_image(self, path: Path) -> None:
        import tifffile

        data = self.image.astype(np.uint8) if self.image.dtype == np.bool_ else self.image
        scale: dict[str, Any] = {}
        if self.pixel_size is not None and 1 / _MOST < 1e4 / self.pixel_size < _MOST:
            # TIFF knows no µm; viewers read pixels per centimetre
            scale = {"resolution": (1e4 / self.pixel_size, 1e4 / self.pixel_size), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(path, np.ascontiguousarray(data), metadata={"axes": "CYX"}, **scale, **_DEFLATE)

    def _sidecar_text(self) -> str:
        region = region_of(self.labels)
        known = {
            "channels": list(self.channels),
            # Celldetective's loader fails without one
            "spatial_calibration": 1.0 if self.pixel_size is None else self.pixel_size,
            "spatial_calibration_unit": NO_UNIT if self.pixel_size is None else None,
            "frame": self.frame,
            "field_of_view": self.field_of_view,
            "sources": list(self.sources) or None,
            "source_file": self.source_file,
            "annotated_region": None if region is None else region.model_dump(mode="json"),
        }
        kept = {key: value for key, value in known.items() if value is not None}
        text = json.dumps(kept, indent=2, ensure_ascii=False)
        # thousands of run lengths, each on a line of its own, are hard to look at
        return re.sub(r"(?<=\d,)\n\s*(?=\d)", " ", text) + "\n"


def group_of_stem(stem: str) -> str:
    """Return what stands before ``_roi_``: crops of one field of view share it."""
    return stem.partition(ROI_MARK)[0] or stem


def pixel_hash(array: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's shape, dtype and values, of any axes; the same on every machine."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.shape} {little.dtype.str}".encode())
    digest.update(little.data if little.size else b"")
    return digest.hexdigest()


def content_hash(image: NDArray[Any], labels: NDArray[Any]) -> str:
    """Return the SHA-256 of shape, dtype and pixels of an image and its labels.

    Parameters
    ----------
    image : NDArray, axes CYX
    labels : NDArray, axes YX
        Compared as int32, since files keep them in the smallest type that fits.
    """
    return combined_hash(pixel_hash(image), pixel_hash(labels.astype(np.int32, copy=False)))


def combined_hash(image: str, labels: str) -> str:
    """Return the `content_hash` of an image and its labels from the `pixel_hash` of each."""
    return hashlib.sha256((image + labels).encode()).hexdigest()


def _problems(item: AnnotatedImage) -> Iterable[str]:
    image, labels = item.image, item.labels
    if image.ndim != 3 or 0 in image.shape:
        yield f"has the shape {image.shape}. Give it as channels × height × width."
    elif image.dtype.kind not in "buif" or image.dtype.itemsize > 8:
        yield f"holds values of type {image.dtype}. Save it with whole or decimal numbers."
    elif labels.dtype.kind not in "iu":
        yield f"has labels of type {labels.dtype}. Save them as whole numbers."
    elif labels.shape != image.shape[1:]:
        yield f"is {size_text(image.shape[1:])} but its mask is {size_text(labels.shape)}. Export the pair again."
    elif len(item.channels) != image.shape[0]:
        yield f"has {image.shape[0]} channels but {len(item.channels)} channel names. Give each channel one name."
    elif len(set(item.channels)) != len(item.channels):
        yield f"has two channels of one name: {', '.join(item.channels)}. Give each its own."
    elif item.pixel_size is not None and not (math.isfinite(item.pixel_size) and item.pixel_size > 0):
        yield f"has the pixel size {item.pixel_size:g} µm. Give a positive number, or none if it is not known."


def size_text(shape: Sequence[int]) -> str:
    """Return ``"256 × 128"`` (height × width, pixels)."""
    return " × ".join(map(str, shape))


def check_stem(stem: str) -> None:
    """Check that an annotated image can be called so.

    Raises
    ------
    DataError
        If some system could not have files of this name, or they would be taken for masks.
    """
    bad = next((c for c in stem if c in _FORBIDDEN or ord(c) < 32), None)
    if bad is not None:
        raise DataError(f"Image name {stem!r} cannot be used: {bad!r} is not allowed. Use letters, digits, '-', '_'.")
    if not stem.strip() or stem.startswith(".") or stem.endswith((".", " ")):
        raise DataError(f"Image name {stem!r} cannot be used: it is empty, or starts or ends with '.' or a space.")
    try:
        for ending in ("", LABELS_SUFFIX):
            validate_filename(f"{stem}{ending}.tif", platform="universal")
    except ValidationError as error:
        long = error.reason == ErrorReason.INVALID_LENGTH
        why = "it is too long for a file name" if long else "not every system can have a file of this name"
        raise DataError(f"Image name {_short(stem)} cannot be used: {why}. Choose another name.") from error
    if stem.endswith((LABELS_SUFFIX, "_masks", "_seg")):
        raise DataError(f"Image name {stem!r} cannot be used: such an ending marks masks. Choose another ending.")


def _short(stem: str) -> str:
    return repr(stem if len(stem) <= 60 else f"{stem[:40]}…")


def file_names(stem: str) -> tuple[str, str, str]:
    """Return what image, mask and sidecar of an annotated image are called."""
    return f"{stem}.tif", f"{stem}{LABELS_SUFFIX}.tif", f"{stem}.json"


def _targets(folder: Path, stem: str) -> tuple[Path, Path, Path]:
    image, labels, sidecar = (folder / name for name in file_names(stem))
    return image, labels, sidecar


def _smallest(labels: NDArray[Any]) -> NDArray[Any]:
    highest = int(labels.max(initial=0))
    return np.ascontiguousarray(
        np.maximum(labels, 0), dtype=np.uint16 if highest <= np.iinfo(np.uint16).max else np.uint32
    )
