"""Image files in, label files out."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_seg_trainer.annotations.image_file import ImageFile, read_image
from napari_seg_trainer.annotations.layouts import sidecar_of
from napari_seg_trainer.annotations.sidecar import Sidecar, names_beside, read_sidecar
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.files import write_bytes
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.segmentation.loop import work_through
from napari_seg_trainer.segmentation.request import OnTile, SegmentRequest, check_choices
from napari_seg_trainer.segmentation.segment import Segmenter, size_warning

if TYPE_CHECKING:
    from napari_seg_trainer.segmentation.service import SegmentationService


@dataclass(frozen=True)
class SegmentedFile:
    """What became of one image file.

    Attributes
    ----------
    image, labels : Path
        It, and its label file.
    objects : int
        How many were found.
    warning : str
        Why they may be poor; empty for no reason.
    problem : str
        Why it could not be segmented; there is no label file then.
    seconds : float
        How long the network computed.
    """

    image: Path
    labels: Path
    objects: int = 0
    warning: str = ""
    problem: str = ""
    seconds: float = 0.0


def segment_files(
    model: LibraryModel,
    images: Sequence[Path],
    output: Path,
    request: SegmentRequest | None = None,
    *,
    overwrite: bool = False,
    service: "SegmentationService | None" = None,
    progress: Callable[[float], object] = lambda done: None,
) -> Iterator[SegmentedFile]:
    """Segment image files one after the other; go on after one that cannot be segmented.

    Parameters
    ----------
    model : LibraryModel
    images : sequence of Path
        TIFF or PNG files, 2D with any number of channels.
    output : Path
        Folder for the label files, ``STEM_labelled.tif`` (int32, axes YX).
    request : SegmentRequest, optional
        What holds for all of them.
    overwrite : bool
        Overwrite existing label files.
    service : SegmentationService, optional
        Segment in its process; in this one where not given.
    progress : callable
        Called with how many images are computed, parts of one included; first 0, before the first image is read. Then
        the model is in memory, if it is to be in this process's.

    Yields
    ------
    SegmentedFile
        Also of an image that could not be segmented, with the problem.

    Raises
    ------
    SegTrainerError
        If the model cannot be used, an image is not there, or a file may not or cannot be written.
    """
    request = request or SegmentRequest()
    check_choices(model.card, request)
    check_unlike(images, output)
    _check_targets(images, output, overwrite)
    with explained(output, DataError):
        output.mkdir(parents=True, exist_ok=True)
    segment = Segmenter(model).segment if service is None else partial(service.segment, model)

    def compute(given: tuple[Path, ImageFile], on_tile: OnTile) -> NDArray[np.int32]:
        path, image = given
        return segment(image.data, request.of(image.channels, image.pixel_size, str(path)), on_tile=on_tile)

    def finish(path: Path, given: tuple[Path, ImageFile], labels: NDArray[np.int32]) -> SegmentedFile:
        target = label_file(path, output)
        write_labels(target, labels)
        own = given[1].pixel_size
        warning = size_warning(model.card, own if request.pixel_size is None else request.pixel_size)
        return SegmentedFile(path, target, count_objects(labels), warning)

    for done in work_through(
        images, lambda path: (path, open_image(path, chosen=bool(request.use))), compute, finish, progress
    ):
        if done.result is None:
            yield SegmentedFile(done.item, label_file(done.item, output), problem=done.problem, seconds=done.seconds)
        else:
            yield replace(done.result, seconds=done.seconds)


def count_objects(labels: NDArray[np.int32]) -> int:
    """Return how many different numbers other than 0 there are in labels (YX)."""
    highest = int(labels.max(initial=0))
    if highest > labels.size:  # too sparse for a table
        return int(np.count_nonzero(np.unique(labels)))
    there = np.zeros(highest + 1, bool)
    for row in labels:  # all at once, NumPy would make a table of places of twice the size
        there[row] = True
    return int(np.count_nonzero(there[1:]))


def without_labels(images: Sequence[Path], output: Path) -> list[Path]:
    """Return the images that have no label file in the folder `output` yet.

    Raises
    ------
    DataError
        If two images would get one label file.
    """
    check_unlike(images, output)
    return [image for image in images if not os.path.exists(label_file(image, output))]


def label_file(image: Path, output: Path) -> Path:
    """Return the label file that an image file gets in the folder `output`."""
    return output / f"{image.stem}_labelled.tif"


def open_image(path: Path, *, chosen: bool = False) -> ImageFile:
    """Read an image file; channel names and pixel size are those of the JSON file beside it, where it fits the image.

    Parameters
    ----------
    path : Path
    chosen : bool
        Whether the user has chosen channels of it, so that planes of which it says nothing are some.

    Raises
    ------
    DataError
        If the image cannot be used.
    """
    sidecar = Sidecar()
    with suppress(DataError):  # somebody else's file of that name
        sidecar = read_sidecar(sidecar_of(path))
    channels = sidecar.channels or names_beside(path)
    image = read_image(path, channels, planes_are_channels=chosen)
    named = image.called(channels if len(set(channels)) == len(channels) else ())
    return replace(named, pixel_size=sidecar.pixel_size or image.pixel_size)


def write_labels(path: Path, labels: NDArray[np.int32]) -> None:
    """Write labels (YX) as a compressed TIFF; 32 bits, so that napari opens it as a Labels layer."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, labels.astype(np.int32, copy=False), compression="zlib", metadata={"axes": "YX"})
    with explained(path.parent, DataError):
        write_bytes(path, buffer.getvalue())


def check_unlike(images: Sequence[Path], output: Path) -> None:
    """Raise a DataError if two images would get one label file in the folder `output`."""
    seen: set[Path] = set()
    for target in (label_file(image, output) for image in images):
        if target in seen:
            raise DataError(
                f"Two images would both be saved as '{target}'. Use a different output folder for one of them."
            )
        seen.add(target)


def _check_targets(images: Sequence[Path], output: Path, overwrite: bool) -> None:
    targets = (label_file(image, output) for image in images)
    taken = None if overwrite else next((target for target in targets if os.path.exists(target)), None)
    if taken is not None:
        raise DataError(
            f"'{taken}' already exists. Choose another output folder, or add --overwrite to replace such files, or "
            "--skip-existing to segment only the others."
        )
    missing = next((image for image in images if not os.path.exists(image)), None)
    if missing is not None:
        raise DataError(f"There is no image '{missing}'. Check the path.")
