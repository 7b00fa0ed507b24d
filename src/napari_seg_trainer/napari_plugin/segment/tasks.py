"""What is to be segmented, and doing it step by step. Knows no Qt; run it in a thread."""

import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import size_text
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.napari_plugin.layers.grids import plane_shape
from napari_seg_trainer.napari_plugin.layers.planes import Source, deepest, frame_count, plane
from napari_seg_trainer.napari_plugin.models.warm import WarmService
from napari_seg_trainer.segmentation.request import SegmentRequest

if TYPE_CHECKING:  # it takes a moment to import, and does so in a thread
    from napari_seg_trainer.segmentation.ranking import Suggestion


@dataclass(frozen=True)
class LayerTask:
    """Planes of image layers.

    Attributes
    ----------
    model : LibraryModel
    inputs : tuple of Source
        What feeds the model, in the order of its inputs.
    frames : tuple of int
        Which planes, counted in `reference`.
    request : SegmentRequest
        What holds for all of them.
    """

    model: LibraryModel
    inputs: tuple[Source, ...]
    frames: tuple[int, ...]
    request: SegmentRequest = field(default_factory=SegmentRequest)

    @property
    def reference(self) -> Image:
        """The layer whose frames and grid the labels have."""
        return deepest([source.layer for source in self.inputs])

    @property
    def steps(self) -> int:
        """How many planes."""
        return len(self.frames)


@dataclass(frozen=True)
class FolderTask:
    """Image files.

    Attributes
    ----------
    model : LibraryModel
    images : tuple of Path
    output : Path
        Folder of the label files.
    request : SegmentRequest
        What holds for all of them.
    """

    model: LibraryModel
    images: tuple[Path, ...]
    output: Path
    request: SegmentRequest = field(default_factory=SegmentRequest)

    @property
    def steps(self) -> int:
        """How many images."""
        return len(self.images)

    def taken(self) -> list[int]:
        """Return which images have label files already.

        Raises
        ------
        DataError
            If two images would have the same one.
        """
        from napari_seg_trainer.segmentation.files import without_labels

        left = set(without_labels(self.images, self.output))
        return [place for place, image in enumerate(self.images) if image not in left]

    def without(self, places: Collection[int]) -> "FolderTask":
        """Return the task without some of its images."""
        gone = set(places)
        return replace(self, images=tuple(image for i, image in enumerate(self.images) if i not in gone))


Task = LayerTask | FolderTask


@dataclass(frozen=True)
class ItemDone:
    """One plane or file is done.

    Attributes
    ----------
    frame : int
        Which plane, or which file of the task.
    objects : int
        How many were found.
    seconds : float
        How long it took.
    labels : NDArray of int32, axes YX, optional
        Of a plane.
    problem : str
        Why a file could not be segmented.
    warning : str
        Why the result may be poor.
    suggestion : Suggestion, optional
        How sure a model is, where it was asked.
    """

    frame: int
    objects: int
    seconds: float
    labels: NDArray[np.int32] | None = None
    problem: str = ""
    warning: str = ""
    suggestion: "Suggestion | None" = None


ItemsDone = Generator[ItemDone, None, None]
Tell = Callable[[float], object]
"""Called in the thread that computes."""


def segment_layers(warm: WarmService, task: LayerTask, stop: threading.Event, tell: Tell) -> ItemsDone:
    """Segment one plane after the other, until all are done or `stop` is set.

    `tell` is called with how many planes are done, parts of one included.

    Raises
    ------
    SegTrainerError
        If a plane or the model cannot be used; the planes before were reported.
    """
    from napari_seg_trainer.segmentation.files import count_objects
    from napari_seg_trainer.segmentation.service import CancelledError

    service, request = warm.get(), replace(task.request, name=task.reference.name)
    for place, frame in enumerate(task.frames):
        if stop.is_set():
            return
        began = time.monotonic()
        image = np.stack([plane(source, frame) for source in task.inputs])
        on_tile = partial(_tell_part, tell, place)
        try:
            labels = service.segment(task.model, image, request, on_tile=on_tile)
        except CancelledError:
            return
        yield ItemDone(frame, count_objects(labels), time.monotonic() - began, labels)


def _tell_part(tell: Tell, place: int, done: int, total: int) -> None:
    tell(place + done / max(total, 1))


def segment_folder(warm: WarmService, task: FolderTask, stop: threading.Event, tell: Tell) -> ItemsDone:
    """Segment one file after the other, also after one that cannot be, until all are done or `stop` is set.

    `tell` is called with how many files are computed, parts of one included.

    Raises
    ------
    SegTrainerError
        If the folder of the labels cannot be made.
    """
    from napari_seg_trainer.segmentation.files import segment_files
    from napari_seg_trainer.segmentation.service import CancelledError

    files = segment_files(
        task.model,
        task.images,
        task.output,
        task.request,
        overwrite=True,
        service=warm.get(),
        progress=tell,
    )
    try:
        for place, file in enumerate(files):
            yield ItemDone(place, file.objects, file.seconds, problem=file.problem, warning=file.warning)
            if stop.is_set():
                return
    except CancelledError:
        return


def frames_misfit(layers: Sequence[Image]) -> str:
    """Return why the planes of some layers cannot be segmented together; empty if they can."""
    first = layers[0]
    for other in layers[1:]:
        if plane_shape(first) != plane_shape(other):
            sizes = " and ".join(f"{layer.name!r} is {size_text(plane_shape(layer))}" for layer in (first, other))
            return f"{sizes} pixels. Choose images of one size."
        if 1 < frame_count(first) != frame_count(other) > 1:
            counts = " and ".join(f"{layer.name!r} has {frame_count(layer)} frames" for layer in (first, other))
            return f"{counts}. Choose images of one time lapse or stack."
    return ""
