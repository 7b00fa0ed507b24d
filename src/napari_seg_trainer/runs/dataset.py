"""From a job's folders to what an engine learns from."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.channels import (
    as_channel,
    default_inputs,
    distinct_sets,
    is_same_name,
    places_of_inputs,
)
from napari_seg_trainer.annotations.doctor import Severity, Survey, usual_pixel_size
from napari_seg_trainer.annotations.facts import ImageFacts, Looked, is_same, stamps_of
from napari_seg_trainer.annotations.folder import AnnotatedPair, named, open_folders
from napari_seg_trainer.annotations.kept_facts import look_through
from napari_seg_trainer.annotations.objects import renumbered
from napari_seg_trainer.annotations.prepare import (
    PreparedImage,
    PreparedImages,
    check_scale,
    prepare_image,
    rescaled_shape,
    resize_labels,
    scale_factor,
)
from napari_seg_trainer.annotations.selection import spread
from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.schema.axes import PLANE, Axes
from napari_seg_trainer.schema.job import AUTOMATIC, ChannelInput, TrainingFacts, TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

OnStage = Callable[[str, int, int], None]
"""Called with what is being done, how many parts of it are done, and of how many."""


@dataclass(frozen=True, eq=False)
class DatasetImage:
    """An annotated image of a job, and what is known of it.

    Attributes
    ----------
    name : str
        Folder and stem, unique in the dataset.
    looked : Looked
    facts : ImageFacts
    content : str
        SHA-256 of pixels and labels.
    field : str
        Its field of view.
    """

    name: str
    looked: Looked
    facts: ImageFacts
    content: str
    field: str

    @classmethod
    def of(cls, name: str, looked: Looked) -> Self:
        """Name an image that was looked at.

        Raises
        ------
        DataError
            If no training can use it.
        """
        facts = looked.usable()
        return cls(name, looked, facts, facts.content, facts.field(looked.pair))

    def warnings(self) -> int:
        """Return how many things the data check warns of."""
        return sum(finding.severity == Severity.WARNING for finding in self.looked.findings())

    def read(self) -> AnnotatedImage:
        """Read it.

        Raises
        ------
        DataError
            If its files are no longer those that were looked at.
        """
        pair = self.looked.pair
        annotated = pair.read()
        if not is_same(stamps_of(pair), self.looked.stamps):
            raise DataError(
                f"Image '{pair.image}' or its mask has changed since it was checked. Start the training again."
            )
        return annotated


@dataclass(frozen=True, eq=False)
class Dataset:
    """All of a job's images, looked at once.

    Attributes
    ----------
    images : tuple of DatasetImage
    split : Split
    channels : tuple of ModelChannel
        The model's inputs.
    inputs : tuple of ChannelInput
        The same, with the index where the user chose one.
    pixel_size : float, optional
        µm per pixel that images are brought to.
    held_out : tuple of DatasetImage
        The images of the job's test data, which are on no side of the split.
    axes : str
        Of all images: ``"YX"``.
    """

    images: tuple[DatasetImage, ...]
    split: Split
    channels: tuple[ModelChannel, ...]
    inputs: tuple[ChannelInput, ...]
    pixel_size: float | None
    held_out: tuple[DatasetImage, ...] = ()
    axes: Axes = PLANE

    def side(self, names: Sequence[str]) -> list[DatasetImage]:
        """Return the images of one side of the split."""
        wanted = set(names)
        return [image for image in self.images if image.name in wanted]

    def factor(self, image: DatasetImage) -> float:
        """Return by how much an image is scaled."""
        return scale_factor(image.facts.pixel_size, self.pixel_size)

    def object_sizes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return diameters and extents of the training objects, one number an object, in the model's pixels."""
        return _object_sizes([image.facts for image in self.side(self.split.training)], self.pixel_size)

    def samples(self, most: int) -> Iterator[PreparedImage]:
        """Yield a few of the images to learn from, evenly among them, as the network takes them."""
        names = self.split.training
        yield from self._prepared(self.side([names[place] for place in spread(len(names), most)]))

    def prepare(self, names: Sequence[str], folder: Path, progress: OnStage) -> PreparedImages:
        """Write one side of the split as the network takes it."""
        return self._write(self.side(names), folder, progress)

    def prepare_held_out(self, folder: Path, progress: OnStage) -> PreparedImages:
        """Write the test images as the network takes them."""
        return self._write(self.held_out, folder, progress)

    def _write(self, side: Sequence[DatasetImage], folder: Path, progress: OnStage) -> PreparedImages:
        return PreparedImages.write(
            folder, self._prepared(side), lambda done: progress("preparing images", done, len(side))
        )

    def _prepared(self, side: Iterable[DatasetImage]) -> Iterator[PreparedImage]:
        for image in side:
            annotated = image.read()
            places = places_of_inputs(image.facts.channels, self.inputs, image.name)
            planes = [annotated.image[place] for place in places]
            pixels = prepare_image(planes, self.channels, self.factor(image))
            shape = (pixels.shape[1], pixels.shape[2])
            # numbered without gaps: for a label of a thousand million, engines would make tables of that size
            labels = annotated.labels if image.facts.numbered else renumbered(annotated.labels)
            yield PreparedImage(image.name, pixels, resize_labels(labels, shape))


def open_dataset(
    job: TrainingJob, parent: ModelCard | None, progress: OnStage, most_channels: int | None = None
) -> Dataset:
    """Look at all images of a job, and decide split, channels and pixel size.

    Parameters
    ----------
    job : TrainingJob
    parent : ModelCard, optional
        Of the pretrained model, whose channels and pixel size hold where the job gives none.
    progress : callable
        Called with the stage, how many images are done, and how many there are.
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
            f"There is only one annotated image in '{folders[0]}': none is left for validation. "
            "Annotate at least one more."
        )
    test = open_folders(job.test_data) if job.test_data else []
    everything = tuple(_look([*training, *validation, *test], progress))
    images, held_out = everything[: len(everything) - len(test)], everything[len(everything) - len(test) :]
    _refuse_leak(images, held_out, "Test")
    if not any(image.facts.areas.size for image in images[: len(training)]):
        raise DataError(f"All {len(training)} masks in '{folders[0]}' are empty. Draw the objects first, then train.")
    usual = distinct_sets(image.facts.channels for image in images)[0]
    inputs = _inputs(job, parent, next(image for image in images if image.facts.channels == usual), most_channels)
    for image in everything:
        places_of_inputs(image.facts.channels, inputs, image.name)
    dataset = Dataset(
        images=images,
        split=_split(job, images, len(training)),
        channels=tuple(map(as_channel, inputs)),
        inputs=inputs,
        pixel_size=_pixel_size(job, parent, [image.facts for image in images]),
        held_out=held_out,
    )
    for image in everything:
        check_scale(dataset.factor(image), image.facts.pixel_size, dataset.pixel_size, image.name)
    if not dataset.object_sizes()[0].size:
        raise DataError("None of the training images has an object. Annotate more images, or choose another seed.")
    return dataset


def _look(pairs: Sequence[AnnotatedPair], progress: OnStage) -> Iterator[DatasetImage]:
    names = [name for name, _ in named(pairs)]
    with closing(look_through(pairs)) as looks:
        for done, (name, looked) in enumerate(zip(names, looks, strict=True), 1):
            yield DatasetImage.of(name, looked)
            progress("reading images", done, len(pairs))


def _inputs(
    job: TrainingJob, parent: ModelCard | None, first: DatasetImage, most_channels: int | None
) -> tuple[ChannelInput, ...]:
    if not job.channels:
        return default_inputs(first.facts.channels, parent, most_channels)
    names = first.facts.channels
    places = places_of_inputs(names, job.channels, first.name)
    return tuple(_spelt(given, names[place]) for given, place in zip(job.channels, places, strict=True))


def _spelt(given: ChannelInput, name: str) -> ChannelInput:
    """Return an input with its name as an image spells it; another name stays another one."""
    is_own = given.index is not None or is_same_name(given.name, name)
    return given.replace(name=name) if is_own else given


def expected_facts(
    job: TrainingJob,
    survey: Survey,
    parent: ModelCard | None,
    found: float | None = None,
    inverted: bool = False,
) -> TrainingFacts | None:
    """Return what the parameters of a training will be chosen by, as far as a look at its folders shows.

    Parameters
    ----------
    job : TrainingJob
    survey : Survey
        Of the folders to train on and to validate on.
    parent : ModelCard, optional
        Of the pretrained model, where it is known.
    found : float, optional
        Which part of the drawn objects that finds.
    inverted : bool
        Whether it finds them where the images' contrast is inverted.

    Returns
    -------
    TrainingFacts, optional
        None where there is too little to train on.
    """
    images = survey.images
    if job.validation_data:
        chosen = [facts for path, facts in images if not any(map(path.is_relative_to, job.validation_data))]
    else:
        names = [str(path) for path, _ in images]
        try:
            split = Split.draw(names, survey.fields, job.validation_split, job.seed)
        except DataError:
            return None
        learned = set(split.training)
        chosen = [facts for name, (_, facts) in zip(names, images, strict=True) if name in learned]
    size = _pixel_size(job, parent, [facts for _, facts in images])
    if not any(facts.areas.size for facts in chosen):
        return None
    shapes = [rescaled_shape(facts.shape[1:], scale_factor(facts.pixel_size, size)) for facts in chosen]
    is_pretrained = parent is not None or job.pretrained not in (None, AUTOMATIC)
    return TrainingFacts(shapes, *_object_sizes(chosen, size), is_pretrained, found, inverted)


def _object_sizes(
    images: Sequence[ImageFacts], pixel_size: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return diameters and extents of all objects in images that are brought to a pixel size (µm), in its pixels."""
    factors = [scale_factor(facts.pixel_size, pixel_size) for facts in images]
    return (
        np.concatenate([facts.diameters * factor for facts, factor in zip(images, factors, strict=True)]),
        np.concatenate([facts.extents * factor for facts, factor in zip(images, factors, strict=True)]),
    )


def _split(job: TrainingJob, images: Sequence[DatasetImage], training: int) -> Split:
    names = [image.name for image in images]
    if job.validation_data:
        _refuse_leak(images[:training], images[training:], "Validation")
        return Split(seed=job.seed, training=tuple(names[:training]), validation=tuple(names[training:]))
    # copies of one image, whatever their names, must not part either
    fields = {image.content: image.field for image in reversed(images)}
    return Split.draw(names, [fields[image.content] for image in images], job.validation_split, job.seed)


def _refuse_leak(known: Sequence[DatasetImage], others: Sequence[DatasetImage], what: str) -> None:
    """Refuse images that were seen before: the same pixels, or others of the same field of view."""
    contents = {image.content: image.name for image in known}
    fields = {image.field: image.name for image in known}
    for image in others:
        way_out = f"Remove it from one of the folders, or the {what.lower()} is meaningless."
        if image.content in contents:
            same = contents[image.content]
            raise DataError(f"{what} image {image.name!r} is the same as the training image {same!r}. {way_out}")
        if what == "Test" and image.field in fields:
            same = fields[image.field]
            raise DataError(f"{what} image {image.name!r} shows the same field of view as {same!r}. {way_out}")


def _pixel_size(job: TrainingJob, parent: ModelCard | None, images: Sequence[ImageFacts]) -> float | None:
    if job.pixel_size is not None:
        return job.pixel_size
    if parent is not None and parent.pixel_size is not None:
        return parent.pixel_size
    return usual_pixel_size(images)
