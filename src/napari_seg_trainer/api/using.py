"""Using models, as a script does."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.channels import all_unnamed
from napari_seg_trainer.annotations.folder import open_folders
from napari_seg_trainer.api.arguments import OnImages, StrPath, opened, paths_of, say_nothing
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.runs.checkpoint import second_checkpoint
from napari_seg_trainer.segmentation.ranking import Suggestion, in_regions, rank
from napari_seg_trainer.segmentation.regions import Covered, covered_by, training_folders
from napari_seg_trainer.segmentation.request import SegmentRequest
from napari_seg_trainer.segmentation.segment import Segmenter, size_warning
from napari_seg_trainer.segmentation.suggest import look_at_images, unannotated


def segment(
    model: str | LibraryModel,
    image: NDArray[Any],
    *,
    channels: Sequence[str] | None = None,
    pixel_size: float | None = None,
    use: Sequence[str] = (),
    settings: Mapping[str, JsonValue] | None = None,
    progress: OnImages = say_nothing,
) -> NDArray[np.int32]:
    """Return the instances that a model finds in an image, computed in this process.

    Parameters
    ----------
    model : str or LibraryModel
        A name in the library, a model folder, or an opened model.
    image : NDArray, axes YX or CYX
        Intensities as they are.
    channels : sequence of str, optional
        The image's channel names; needed where it has others than the model.
    pixel_size : float, optional
        µm per pixel. Without it, or where it is far from the model's, a `UserWarning` shows it.
    use : sequence of str
        Names or numbers of the channels that feed the model, where the names differ.
    settings : mapping, optional
        Of the prediction, such as ``{"probability": 0.6}`` for StarDist; the model's own where not given.
    progress : callable, optional
        Called with how many tiles of a large image are done, and how many there are.

    Returns
    -------
    NDArray of int32, axes YX

    Raises
    ------
    SegTrainerError
        If the model or a channel is missing.
    """
    pixels = np.asarray(image)
    if pixels.ndim not in (2, 3):
        raise DataError(f"The image has {pixels.ndim} axes. Give one with axes YX, or CYX with its channels first.")
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    names = list(all_unnamed(len(pixels)) if channels is None else channels)
    if len(names) != len(pixels):
        raise DataError(f"The image has {len(pixels)} channel(s), but {len(names)} name(s) are given.")
    chosen = opened(model)
    doubt = size_warning(chosen.card, pixel_size)
    if doubt:
        warnings.warn(doubt, stacklevel=2)
    request = SegmentRequest(names, pixel_size, use, settings=settings)
    return Segmenter(chosen).segment(pixels, request, progress)


def suggest(
    model: str | LibraryModel,
    images: StrPath | Sequence[StrPath],
    *,
    use: Sequence[str] = (),
    pixel_size: float | None = None,
    regions: bool = True,
    progress: OnImages = say_nothing,
) -> list[Suggestion]:
    """Return which images or regions to annotate next: first those that represent most of what a model is unsure of.

    What the model was trained on counts as annotated. It is computed in this process.

    Parameters
    ----------
    model : str or LibraryModel
        As for `segment`.
    images : path or sequence of paths
        Image files, and folders with such; images in folders that are annotated already are left out.
    use : sequence of str
        As for `segment`.
    pixel_size : float, optional
        µm per pixel, where the files lack it or are wrong; it counts for all.
    regions : bool
        Name regions of large images (`Suggestion.window`), which take a few minutes each, in place of whole images.
    progress : callable, optional
        As for `evaluate`.

    Returns
    -------
    list of Suggestion
        All images or regions; images that could not be looked at come last, with the reason.

    Raises
    ------
    SegTrainerError
        If the model or a place is missing, or there is no image.
    """
    chosen = opened(model)
    covered = covered_by(training_folders(chosen)) if regions else None
    found = list(looked_at(chosen, paths_of(images), use, pixel_size, covered, progress))
    return rank(in_regions(found), covered.looks) if covered else rank(found)


def looked_at(
    model: LibraryModel,
    places: Sequence[Path],
    use: Sequence[str] = (),
    pixel_size: float | None = None,
    covered: Covered | None = None,
    progress: OnImages = say_nothing,
) -> Iterator[Suggestion]:
    """Yield how sure a model is of each image, as they come; the parameters are those of `look_at_images`."""
    images = unannotated(places)
    request = SegmentRequest(pixel_size=pixel_size, use=use)
    yield from look_at_images(
        model,
        images,
        request,
        checkpoint=second_checkpoint(model.card),
        covered=covered,
        progress=lambda done: progress(done, len(images)),
    )


def load_annotations(folders: StrPath | Sequence[StrPath]) -> list[AnnotatedImage]:
    """Read all annotated images of one or more annotation folders.

    Raises
    ------
    DataError
        If a folder or a file cannot be used.
    """
    return [pair.read() for pair in open_folders(paths_of(folders))]
