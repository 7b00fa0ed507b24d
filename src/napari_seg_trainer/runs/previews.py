"""What the network finds in a few validation images, kept in the run's folder as the training goes on.

=======================  ==================================================================
``index.json``           which images there are (`PreviewIndex`); written after the images
``00.npz``               the first of them and its truth
``00_epoch_000012.npz``  what is found in it after epoch 12
``00_model.npz``         what the finished model finds in it
=======================  ==================================================================

Nothing is predicted for their sake: they are handed what is predicted to be scored.
"""

import io
import logging
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.selection import evenly
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.files import read_arrays, read_bytes, write_bytes, write_text
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema._base import FrozenModel

MOST_IMAGES = 12
MOST_PIXELS = 16 << 20
"""Of all previewed images together, where there is more than one: 32 MiB a channel at most, before compression."""
MODEL: Literal["model"] = "model"

Round = int | Literal["model"]
"""The epoch after which something was found, or `MODEL`."""

_PREDICTION = re.compile(rf"(?P<place>\d+)_(epoch_(?P<epoch>\d+)|{MODEL})\.npz")
_LARGEST = float(np.finfo(np.float16).max)
_UNREADABLE = (OSError, EOFError, KeyError, MemoryError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)
_log = logging.getLogger(__name__)


class PreviewIndex(FrozenModel):
    """What the previews of a run show.

    Attributes
    ----------
    images : tuple of str
        Their names in the split.
    channels : tuple of str
    pixel_size : float, optional
        µm per pixel.
    """

    images: tuple[str, ...]
    channels: tuple[str, ...]
    pixel_size: float | None = None


class PreviewWriter:
    """Keeps previews. A disk that refuses ends them, and not the training.

    Parameters
    ----------
    run : Run
    channels : sequence of str
        Of the images.
    pixel_size : float, optional
        Of the images, µm.
    warn : callable
        Told once, in a line for the user, where previews cannot be kept.
    """

    def __init__(
        self, run: Run, channels: Sequence[str], pixel_size: float | None, warn: Callable[[str], None]
    ) -> None:
        self._folder = previews_folder(run)
        self._channels, self._pixel_size, self._warn = tuple(channels), pixel_size, warn
        self._index: PreviewIndex | None = None
        self._is_over = False

    def choose(self, images: Sequence[PreparedImage]) -> None:
        """Keep some of these images, evenly among them, in addition to those that are kept, as the limits allow."""
        if not self._is_over:
            with self._forgiving():
                index = self._begin(images) if self._index is None else self._index
                self._index = self._extend(index, images)

    def keep(self, found_by: Round, image: str, found: NDArray[np.int32]) -> None:
        """Keep what was found in an image (YX), in place of what was reported earlier of it; others are left out."""
        if not self._is_over and self._index is not None and image in self._index.images:
            with self._forgiving():
                _save(_prediction_file(self._folder, self._index.images.index(image), found_by), labels=_small(found))

    def _begin(self, images: Sequence[PreparedImage]) -> PreviewIndex:
        """Return what an earlier attempt chose; its images may look otherwise by now."""
        index = _index(self._folder)
        if index is None:
            shutil.rmtree(self._folder, ignore_errors=True)  # what is in it is nobody's
            index = PreviewIndex(images=(), channels=self._channels, pixel_size=self._pixel_size)
        self._folder.mkdir(exist_ok=True)
        for old in self._folder.glob(f"*_{MODEL}.npz"):  # of an attempt that this one goes on from
            old.unlink()
        for image in images:
            if image.name in index.images:
                self._keep_image(index.images.index(image.name), image)
        return index

    def _extend(self, index: PreviewIndex, images: Sequence[PreparedImage]) -> PreviewIndex:
        room = MOST_PIXELS - sum(image.labels.size for image in images if image.name in index.images)
        others = [image for image in images if image.name not in index.images]
        chosen = evenly(others, MOST_IMAGES - len(index.images), room)
        if index.images and sum(image.labels.size for image in chosen) > room:
            chosen = []
        for place, image in enumerate(chosen, len(index.images)):
            self._keep_image(place, image)
        extended = index.replace(images=index.images + tuple(image.name for image in chosen))
        if chosen:
            write_text(self._folder / "index.json", extended.model_dump_json())
        return extended

    def _keep_image(self, place: int, image: PreparedImage) -> None:
        pixels = np.clip(image.image, -_LARGEST, _LARGEST).astype(np.float16)
        _save(_image_file(self._folder, place), image=pixels, truth=_small(image.labels))

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._is_over = True
            _log.warning("previews end here", exc_info=True)
            reason = error.strerror or error
            try:
                self._warn(f"No more previews are saved, because '{self._folder}' cannot be written: {reason}.")
            except OSError:  # of a full disk, the log knows at least
                _log.warning("nor can the warning be written", exc_info=True)


class Previews:
    """Reads what is kept of a run.

    Parameters
    ----------
    run : Run
    """

    def __init__(self, run: Run) -> None:
        self._folder = previews_folder(run)

    def index(self) -> PreviewIndex | None:
        """Return what there is to see; None as long as nothing is."""
        return _index(self._folder)

    def rounds(self) -> dict[str, tuple[Round, ...]]:
        """Return of each image in which something was found after which epochs, in order, and `MODEL` last.

        Raises
        ------
        RunError
            If the folder cannot be read.
        """
        index = self.index()
        if index is None:
            return {}
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except OSError as error:
            raise RunError(f"'{self._folder}' cannot be read: {error.strerror or error}.") from error
        found: dict[str, list[Round]] = {image: [] for image in index.images}
        for match in filter(None, map(_PREDICTION.fullmatch, names)):
            if int(match["place"]) < len(index.images):
                found[index.images[int(match["place"])]].append(int(match["epoch"]) if match["epoch"] else MODEL)
        return {image: tuple(rounds) for image, rounds in found.items() if rounds}

    def image(self, image: str) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return an image (CYX) as the network takes it, in half precision, and its truth (YX, -1 if not annotated).

        Raises
        ------
        RunError
            If its file is missing or broken.
        """
        found = _load(_image_file(self._folder, self._place(image)), image=3, truth=2)
        return found["image"].astype(np.float32), found["truth"].astype(np.int32)

    def prediction(self, image: str, found_by: Round) -> NDArray[np.int32]:
        """Return what was found in an image (YX).

        Raises
        ------
        RunError
            If its file is missing or broken.
        """
        found = _load(_prediction_file(self._folder, self._place(image), found_by), labels=2)
        return found["labels"].astype(np.int32)

    def _place(self, image: str) -> int:
        index = self.index()
        if index is None or image not in index.images:
            raise RunError(f"There is no preview of image '{image}' in '{self._folder}'. Choose another image.")
        return index.images.index(image)


def previews_folder(run: Run) -> Path:
    """Return where a run's previews are."""
    return run.folder / "previews"


def _image_file(folder: Path, place: int) -> Path:
    return folder / f"{place:02}.npz"


def _prediction_file(folder: Path, place: int, found_by: Round) -> Path:
    return folder / (f"{place:02}_{MODEL}.npz" if found_by == MODEL else f"{place:02}_epoch_{found_by:06}.npz")


def _index(folder: Path) -> PreviewIndex | None:
    try:
        return PreviewIndex.model_validate_json(read_bytes(folder / "index.json"))
    except (OSError, ValidationError):
        return None


def _small(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels in the smallest type that holds them; -1 stays."""
    lowest, highest = (np.min_scalar_type(int(value)) for value in (labels.min(initial=0), labels.max(initial=0)))
    return np.asarray(labels).astype(np.promote_types(lowest, highest))


def _save(path: Path, **arrays: NDArray[Any]) -> None:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    write_bytes(path, file.getvalue())


def _load(path: Path, **axes: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file that are named, each with this number of axes."""
    try:
        stored = read_arrays(path)
        found = {name: stored[name] for name in axes}
    except _UNREADABLE as error:
        raise RunError(f"The preview '{path}' is missing or broken. Choose another epoch or image.") from error
    if any(found[name].ndim != count or found[name].dtype.kind not in "fiu" for name, count in axes.items()):
        raise RunError(f"The preview '{path}' does not hold what it should. Choose another epoch or image.")
    return found
