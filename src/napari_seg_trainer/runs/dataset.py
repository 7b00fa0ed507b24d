"""From a job's folders to what an engine learns from."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage, content_hash
from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.doctor import Severity, examine_image
from napari_seg_trainer.annotations.folder import AnnotatedPair, named, open_folders
from napari_seg_trainer.annotations.objects import find_objects
from napari_seg_trainer.annotations.prepare import (
    PreparedImage,
    PreparedImages,
    check_scale,
    prepare_image,
    resize_labels,
    scale_factor,
)
from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.runs.inputs import default_inputs, places_of_inputs
from napari_seg_trainer.schema.job import ChannelInput, TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """What a first look at an annotated image tells.

    Attributes
    ----------
    name : str
        Folder and stem, unique in the dataset.
    pair : AnnotatedPair
    field : str
        Its field of view.
    channels : tuple of str
    pixel_size : float, optional
        µm per pixel.
    content : str
        SHA-256 of pixels and labels.
    warnings : int
        How many things the data check warns of.
    diameters, extents : NDArray of float64
        Of its objects: diameter of the circle of equal area, longer side of the bounding box, in its own pixels.
    """

    name: str
    pair: AnnotatedPair
    field: str
    channels: tuple[str, ...]
    pixel_size: float | None
    content: str
    warnings: int
    diameters: NDArray[np.float64]
    extents: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """All of a job's images, looked at once.

    Attributes
    ----------
    images : tuple of ImageFacts
    split : Split
    channels : tuple of ModelChannel
        The model's inputs.
    inputs : tuple of ChannelInput
        The same, with the index where the user chose one.
    pixel_size : float, optional
        µm per pixel that images are brought to.
    held_out : tuple of ImageFacts
        The images of the job's test data, which are on no side of the split.
    """

    images: tuple[ImageFacts, ...]
    split: Split
    channels: tuple[ModelChannel, ...]
    inputs: tuple[ChannelInput, ...]
    pixel_size: float | None
    held_out: tuple[ImageFacts, ...] = ()

    def side(self, names: Sequence[str]) -> list[ImageFacts]:
        """Return the images of one side of the split."""
        wanted = set(names)
        return [facts for facts in self.images if facts.name in wanted]

    def factor(self, facts: ImageFacts) -> float:
        """Return by how much an image is scaled."""
        return scale_factor(facts.pixel_size, self.pixel_size)

    def object_sizes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return diameters and extents of the training objects, in the model's pixels."""
        training = self.side(self.split.training)
        return (
            np.concatenate([facts.diameters * self.factor(facts) for facts in training]),
            np.concatenate([facts.extents * self.factor(facts) for facts in training]),
        )

    def prepare(self, names: Sequence[str], folder: Path, progress: Progress) -> PreparedImages:
        """Write one side of the split as the network takes it."""
        return self._write(self.side(names), folder, progress)

    def prepare_held_out(self, folder: Path, progress: Progress) -> PreparedImages:
        """Write the test images as the network takes them."""
        return self._write(self.held_out, folder, progress)

    def _write(self, side: Sequence[ImageFacts], folder: Path, progress: Progress) -> PreparedImages:
        return PreparedImages.write(
            folder, self._prepared(side), lambda done: progress("preparing images", done, len(side))
        )

    def _prepared(self, side: Iterable[ImageFacts]) -> Iterator[PreparedImage]:
        for facts in side:
            annotated = facts.pair.read()
            places = places_of_inputs(facts.channels, self.inputs, facts.name)
            image = prepare_image(annotated.image, places, self.channels, self.factor(facts))
            shape = (image.shape[1], image.shape[2])
            # numbered without gaps: for a label of a thousand million, engines would make tables of that size
            labels = find_objects(annotated.labels).image
            yield PreparedImage(facts.name, image, resize_labels(labels, shape))


def open_dataset(
    job: TrainingJob, parent: ModelCard | None, progress: Progress, most_channels: int | None = None
) -> Dataset:
    """Look at all images of a job, and settle split, channels and pixel size.

    Parameters
    ----------
    job : TrainingJob
    parent : ModelCard, optional
        Of the pretrained model, whose channels and pixel size hold where the job gives none.
    progress : callable
        Told the stage, how many images are done, and how many there are.
    most_channels : int, optional
        How many channels the engine takes, where that does not depend on the pretrained model.

    Raises
    ------
    DataError
        If an image is broken, a channel is missing, a pixel size is impossible, or there is too little to train on.
    """
    folders = [*job.data, *(builtin_folder(name) for name in job.builtin)]
    training = open_folders(folders)
    validation = open_folders(job.validation_data) if job.validation_data else []
    if len(training) + len(validation) < 2:
        raise DataError(
            f"There is only one annotated image in '{folders[0]}': none is left to validate on. "
            "Annotate at least one more."
        )
    test = open_folders(job.test_data) if job.test_data else []
    everything = tuple(_look([*training, *validation, *test], progress))
    images, held_out = everything[: len(everything) - len(test)], everything[len(everything) - len(test) :]
    _refuse_leak(images, held_out, "Test")
    if not any(facts.diameters.size for facts in images[: len(training)]):
        raise DataError(f"All {len(training)} masks in '{folders[0]}' are empty. Draw the objects first, then train.")
    inputs = _inputs(job, parent, images[0], most_channels)
    for facts in everything:
        places_of_inputs(facts.channels, inputs, facts.name)
    dataset = Dataset(
        images=images,
        split=_split(job, images, len(training)),
        channels=tuple(ModelChannel(name=given.name, normalization=given.normalization) for given in inputs),
        inputs=inputs,
        pixel_size=_pixel_size(job, parent, images),
        held_out=held_out,
    )
    for facts in everything:
        check_scale(dataset.factor(facts), facts.pixel_size, dataset.pixel_size, facts.name)
    if not dataset.object_sizes()[0].size:
        raise DataError("None of the training images has an object. Annotate more images, or choose another seed.")
    return dataset


def _look(pairs: Sequence[AnnotatedPair], progress: Progress) -> Iterator[ImageFacts]:
    for i, (name, pair) in enumerate(named(pairs), 1):
        annotated = pair.read()
        yield _facts(name, pair, annotated, _warnings(pair, annotated))
        progress("reading images", i, len(pairs))


def _warnings(pair: AnnotatedPair, annotated: AnnotatedImage) -> int:
    """Return how many warnings the data check has; its errors are raised."""
    findings = examine_image(annotated, pair.image)
    error = next((finding for finding in findings if finding.severity == Severity.ERROR), None)
    if error is not None:
        raise DataError(f"'{pair.labels}': {error.message}")
    return sum(finding.severity == Severity.WARNING for finding in findings)


def _facts(name: str, pair: AnnotatedPair, annotated: AnnotatedImage, warnings: int) -> ImageFacts:
    objects = find_objects(annotated.labels)
    boxes = ndimage.find_objects(objects.image)
    return ImageFacts(
        name=name,
        pair=pair,
        # a stem tells a field of view apart in its own folder only
        field=annotated.field_of_view or f"{pair.image.parent}/{annotated.group}",
        channels=annotated.channels,
        pixel_size=annotated.pixel_size,
        content=content_hash(annotated.image, annotated.labels),
        warnings=warnings,
        diameters=np.sqrt(objects.areas * 4 / np.pi),
        extents=np.array([max(side.stop - side.start for side in box) for box in boxes if box], np.float64),
    )


def _inputs(
    job: TrainingJob, parent: ModelCard | None, first: ImageFacts, most_channels: int | None
) -> tuple[ChannelInput, ...]:
    if not job.channels:
        return default_inputs(first.channels, parent, most_channels)
    places = places_of_inputs(first.channels, job.channels, first.name)
    return tuple(given.replace(name=first.channels[place]) for given, place in zip(job.channels, places, strict=True))


def _split(job: TrainingJob, images: Sequence[ImageFacts], training: int) -> Split:
    names = [facts.name for facts in images]
    if job.validation_data:
        _refuse_leak(images[:training], images[training:], "Validation")
        return Split(seed=job.seed, training=tuple(names[:training]), validation=tuple(names[training:]))
    # copies of one image, whatever their names, must not part either
    fields = {facts.content: facts.field for facts in reversed(images)}
    return Split.draw(names, [fields[facts.content] for facts in images], job.validation_split, job.seed)


def _refuse_leak(known: Sequence[ImageFacts], others: Sequence[ImageFacts], what: str) -> None:
    """Refuse images that were seen before: the same pixels, or others of the same field of view."""
    contents, fields = ({getattr(facts, key): facts.name for facts in known} for key in ("content", "field"))
    for facts in others:
        way_out = f"Remove it from one of the folders, or the {what.lower()} tells nothing."
        if facts.content in contents:
            same = contents[facts.content]
            raise DataError(f"{what} image {facts.name!r} is the same as the training image {same!r}. {way_out}")
        if what == "Test" and facts.field in fields:
            same = fields[facts.field]
            raise DataError(f"{what} image {facts.name!r} shows the same field of view as {same!r}. {way_out}")


def _pixel_size(job: TrainingJob, parent: ModelCard | None, images: Sequence[ImageFacts]) -> float | None:
    if job.pixel_size is not None:
        return job.pixel_size
    if parent is not None and parent.pixel_size is not None:
        return parent.pixel_size
    known = [facts.pixel_size for facts in images if facts.pixel_size is not None]
    return float(np.median(known)) if len(known) == len(images) else None
