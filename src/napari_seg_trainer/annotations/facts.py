"""What one look at an annotated image finds: it is read once, and its objects are numbered once."""

import os
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, PlainSerializer, PlainValidator
from scipy import ndimage

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage, combined_hash, group_of_stem, pixel_hash
from napari_seg_trainer.annotations.causes import SAMPLES, samples
from napari_seg_trainer.annotations.checks import UNKNOWN_AROUND, findings_of
from napari_seg_trainer.annotations.findings import Finding, Severity
from napari_seg_trainer.annotations.folder import AnnotatedPair
from napari_seg_trainer.annotations.image_file import UntoldPlanes
from napari_seg_trainer.annotations.objects import find_objects
from napari_seg_trainer.annotations.region import IGNORED, annotated_part
from napari_seg_trainer.annotations.sidecar import read_sidecar
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.schema._base import FrozenModel

Stamp = tuple[str, int, int, int]
"""A file's path, its size in bytes, and when its content (mtime) and anything else of it (ctime) changed, in ns.

What is unpacked or copied may bring an old mtime; its ctime is new, but on Windows, where that is when it was made.
"""

Stamps = tuple[Stamp | None, ...]
"""Those of an image, its mask and its sidecar, None for one that is not there; then of further channels and masks."""


def _integers(values: Any) -> NDArray[np.int32]:
    try:
        return np.asarray(values, np.int32)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def _listed(values: NDArray[np.int32]) -> list[int]:
    found: list[int] = values.tolist()
    return found


Integers = Annotated[NDArray[np.int32], PlainValidator(_integers), PlainSerializer(_listed)]


class ImageFacts(FrozenModel):
    """What is known of an annotated image once it was looked at.

    Attributes
    ----------
    channels : tuple of str
    shape : (int, int, int), axes CYX
    dtype : str
        Type of the intensities, such as ``"uint16"``.
    ranges : tuple of (float, float) or None
        Lowest and highest intensity of each channel; None where no pixel is a finite number.
    pixel_size : float, optional
        µm per pixel.
    field_of_view : str, optional
        As in the sidecar.
    image_hash, labels_hash : str
        SHA-256 of the pixels.
    labels_dtype : str
        Type of the labels in their file.
    numbered : bool
        Whether the labels are 1, 2, 3 and so on, without gaps.
    annotated : float
        Which part of the pixels is annotated; 1 where all are.
    areas, extents : NDArray of int32
        Of each object: pixels, and longer side of the bounding box.
    findings : tuple of Finding
        What the data check has to say of this image by itself, worst first.
    older_masks : tuple of str
        Masks that differ from the newest, which counts.
    sampled : str
        A few pixels of image and mask, to see which fit each other; Base64.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    channels: tuple[str, ...]
    shape: tuple[int, int, int]
    dtype: str
    ranges: tuple[tuple[float, float] | None, ...]
    pixel_size: float | None
    field_of_view: str | None
    image_hash: str
    labels_hash: str
    labels_dtype: str
    numbered: bool
    areas: Integers
    extents: Integers
    findings: tuple[Finding, ...]
    annotated: float = 1.0
    older_masks: tuple[str, ...] = ()
    sampled: str = ""

    @property
    def samples(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Some pixels (CYX) and whether there is an object (YX), as `causes.samples` gives them."""
        height, width = (min(side, SAMPLES) for side in self.shape[1:])
        values = np.frombuffer(b64decode(self.sampled), np.uint8).reshape(-1, height, width)
        return values[:-1], values[-1] > 0

    @property
    def content(self) -> str:
        """SHA-256 of image and labels together, as `content_hash` gives it."""
        return combined_hash(self.image_hash, self.labels_hash)

    @property
    def diameters(self) -> NDArray[np.float64]:
        """Diameter of the circle of each object's area, in pixels; one number an object."""
        found: NDArray[np.float64] = np.sqrt(self.areas * 4 / np.pi)
        return found

    def field(self, pair: AnnotatedPair) -> str:
        """Return the field of view; a stem is unique in its own folder only."""
        return self.field_of_view or f"{pair.image.parent}/{group_of_stem(pair.stem)}"

    @classmethod
    def of(cls, annotated: AnnotatedImage, stored: np.dtype[Any]) -> Self:
        """Look at an image that was read; `stored` is the type of its labels in their file."""
        objects = find_objects(annotated.labels)
        boxes = ndimage.find_objects(objects.image)
        count, highest = len(objects.labels), int(annotated.labels.max(initial=0))
        channels, height, width = annotated.image.shape
        return cls(
            channels=annotated.channels,
            shape=(channels, height, width),
            dtype=annotated.image.dtype.name,
            ranges=tuple(map(_range, annotated.image)),
            pixel_size=annotated.pixel_size,
            field_of_view=annotated.field_of_view,
            image_hash=pixel_hash(annotated.image),
            labels_hash=pixel_hash(annotated.labels),
            labels_dtype=stored.name,
            numbered=highest == count and int(annotated.labels.min(initial=0)) >= IGNORED,
            annotated=annotated_part(annotated.labels),
            areas=_integers(objects.areas),
            extents=_integers([max(side.stop - side.start for side in box) for box in boxes]),
            findings=tuple(findings_of(annotated, objects)),
            sampled=_sampled(annotated),
        )


@dataclass(frozen=True, eq=False)
class Looked:
    """An annotated image that was looked at.

    Attributes
    ----------
    pair : AnnotatedPair
    stamps : Stamps
        Of its files, from before they were read.
    facts : ImageFacts, optional
        None where it cannot be used.
    problem : Finding, optional
        Why it cannot be used.
    """

    pair: AnnotatedPair
    stamps: Stamps
    facts: ImageFacts | None
    problem: Finding | None = None

    def findings(self) -> list[Finding]:
        """Return what the data check has to say of it by itself, worst first."""
        if self.facts is None:
            return [] if self.problem is None else [self.problem]
        found = [finding.replace(file=self.pair.image) for finding in self.facts.findings]
        if np.dtype(self.facts.labels_dtype).kind == "f":
            name = self.pair.labels.name
            message = f"{name!r} keeps its labels as decimal numbers. They are whole numbers, so it can be used."
            found.append(_finding(Severity.WARNING, "decimal-labels", message, self.pair.labels))
        if self.facts.older_masks:
            newest, others = self.pair.labels.name, " and ".join(map(repr, self.facts.older_masks))
            message = f"{newest!r} is newer than {others} and differs, so it is used. Delete the wrong mask."
            found.append(_finding(Severity.WARNING, "older-mask", message, self.pair.labels))
        return sorted(found, key=lambda finding: -finding.severity)

    def usable(self) -> ImageFacts:
        """Return what is known of it.

        Raises
        ------
        DataError
            If no training can use it.
        """
        errors = (finding for finding in self.findings() if finding.severity == Severity.ERROR)
        error = next(errors, None)
        if error is None and self.facts is not None:
            return self.facts
        message = "" if error is None else error.message
        raise DataError(message if self.facts is None else f"'{self.pair.labels}': {message}")


def look(pair: AnnotatedPair) -> Looked:
    """Read an annotated image and look at it; what is wrong with it is reported, not raised."""
    stamps = stamps_of(pair)
    # one file after the other, so that each can be distinguished
    code, file = "unreadable-image", pair.image
    try:
        image = pair.read_image()
        code, file = "unusable-mask", pair.labels
        labels, older = pair.read_masks()
        code, file = "unusable-sidecar", pair.sidecar or pair.image
        sidecar = read_sidecar(pair.sidecar)
        same_size = image.data.shape[1:] == labels.labels.shape
        code, file = "channel-mismatch" if same_size else "shape-mismatch", pair.image
        annotated = pair.assemble(image, labels, sidecar)
    except DataError as error:
        code = "untold-planes" if isinstance(error, UntoldPlanes) else code
        return Looked(pair, stamps, None, _finding(Severity.ERROR, code, str(error), file))
    facts = ImageFacts.of(annotated, labels.stored).replace(older_masks=older)
    if labels.labels.min(initial=0) < 0:
        facts = facts.replace(findings=tuple(map(_of_own_numbers, facts.findings)))
    return Looked(pair, stamps, facts)


def _of_own_numbers(finding: Finding) -> Finding:
    """Return what a finding is of a mask that holds -1 itself, as one of which all numbers are too low by one."""
    if finding.code != UNKNOWN_AROUND:
        return finding
    message = f"{finding.message} If all numbers are too low by one, add 1."
    return finding.replace(severity=Severity.ERROR, message=message)


def is_same(one: Stamps, other: Stamps) -> bool:
    """Whether two stamps describe the same content; of a file that was only touched by a backup, say, they do."""
    return [stamp and stamp[:3] for stamp in one] == [stamp and stamp[:3] for stamp in other]


def stamps_of(pair: AnnotatedPair) -> Stamps:
    """Return the stamps of an annotated image's files."""
    return tuple(map(_stamp, (pair.image, pair.labels, pair.sidecar, *pair.more, *pair.older)))


def _stamp(path: Path | None) -> Stamp | None:
    if path is not None:
        with suppress(OSError):
            status = path.stat()
            return os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return None


def _finding(severity: Severity, code: str, message: str, file: Path) -> Finding:
    return Finding(severity=severity, code=code, message=message, file=file)


def _sampled(annotated: AnnotatedImage) -> str:
    pixels, mask = samples(annotated)
    return b64encode(np.concatenate([pixels, mask[None]]).astype(np.uint8).tobytes()).decode()


def _range(plane: NDArray[Any]) -> tuple[float, float] | None:
    values = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
    return (float(values.min()), float(values.max())) if values.size else None
