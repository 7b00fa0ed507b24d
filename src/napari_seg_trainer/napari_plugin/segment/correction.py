"""An image whose objects a model finds and a person corrects, for the next training."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Layer

from napari_seg_trainer.annotations.annotated_image import group_of_stem
from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.file_names import stem_of
from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder, distinct, named
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.library.model_folder import LibraryModel, job_of
from napari_seg_trainer.library.pretrained import open_model
from napari_seg_trainer.napari_plugin.layers.adding import add_in_turns
from napari_seg_trainer.napari_plugin.layers.annotated_part import is_region
from napari_seg_trainer.napari_plugin.layers.channel_choice import file_offers, match_offers
from napari_seg_trainer.napari_plugin.layers.crops import CROP_OF
from napari_seg_trainer.napari_plugin.layers.grids import placement
from napari_seg_trainer.napari_plugin.layers.names import ORIGINS, Origin
from napari_seg_trainer.napari_plugin.layers.planes import FOLDER, Source, model_of
from napari_seg_trainer.napari_plugin.layers.stacks import LayerTuple, channel_look, open_pairs
from napari_seg_trainer.napari_plugin.parts.theme import colours
from napari_seg_trainer.napari_plugin.segment.tasks import LayerTask
from napari_seg_trainer.segmentation.request import SegmentRequest

if TYPE_CHECKING:  # it takes a moment to import, and does so in a thread
    from napari_seg_trainer.segmentation.ranking import Window

REGION_NAME = "region to annotate"
CONTOUR = 2
"""Width of the outlines of what the model finds, screen pixels."""


@dataclass(frozen=True, eq=False)
class Correction:
    """What is opened for a correction.

    Attributes
    ----------
    model : LibraryModel
    stem : str
        The image's file name without extension.
    layers : list of LayerTuple
        The image's channels, and its labels where it has some.
    channels : tuple of str
        Names of the channels, in the layers' order.
    pixel_size : float, optional
        µm per pixel.
    folder : Path, optional
        The annotation folder that takes the correction.
    window : Window, optional
        The region that is to be annotated; the whole image if not given.
    """

    model: LibraryModel
    stem: str
    layers: list[LayerTuple]
    channels: tuple[str, ...]
    pixel_size: float | None
    folder: Path | None
    window: "Window | None" = None

    def open(self, viewer: Viewer, then: Callable[[LayerTask], None]) -> None:
        """Add the layers to the viewer in turns, then call `then` with what finds the objects.

        Raises
        ------
        DataError
            If the image lacks a channel of the model.
        """
        inputs = [channel.names for channel in self.model.card.channels]
        offers = file_offers(self.channels)
        places = [None if offer is None else offers.index(offer) for offer in match_offers(inputs, offers)]
        missing = [names[0] for names, place in zip(inputs, places, strict=True) if place is None]
        if missing:
            raise DataError(
                f"'{self.stem}' has no channel {missing[0]!r}, only {', '.join(self.channels)}. "
                "Open it, and choose its channels here."
            )
        added = [Layer.create(*layer) for layer in self.layers]
        images = [layer for layer in added if isinstance(layer, Image)]

        def begin() -> None:
            viewer.reset_view()
            sources = tuple(Source(images[place], None, images[place].name) for place in places if place is not None)
            then(LayerTask(self.model, sources, (0,), SegmentRequest(pixel_size=self.pixel_size)))

        add_in_turns(viewer, added, begin)

    def finish(self, viewer: Viewer, labels: Labels, task: LayerTask) -> list[Layer]:
        """Have what was drawn, or else what was found, lead back to the annotation folder; return the layers to export.

        What a person has drawn is to be corrected; what the model finds is beside it, to be compared with. An export of
        that would replace it.
        """
        drawn = self._drawn(viewer)
        if drawn is not None:
            labels.contour, drawn.contour = CONTOUR, 0
            labels = drawn
        elif self.folder is not None:
            labels.metadata[FOLDER] = str(self.folder)
        viewer.layers.selection.active = labels
        grid = task.reference.data.shape[-2:]
        here = [layer for layer in viewer.layers if isinstance(layer, Image) and ORIGINS in layer.metadata]
        images = [layer for layer in here if _stem(layer) == self.stem and layer.data.shape[-2:] == grid]
        return [labels, *images, *self._region(viewer, labels)]

    def _region(self, viewer: Viewer, labels: Labels) -> list[Layer]:
        """Frame the region, and show it; the export takes it for a crop."""
        if self.window is None:
            return []
        window = self.window
        # a shape's corners are between pixels, whose middles have whole numbers
        box = np.array([[window.y0, window.x0], [window.y1, window.x1]]) - 0.5
        look = {"edge_color": colours().warning, "edge_width": 2, "face_color": "transparent"}
        mark = {CROP_OF: labels.unique_id}
        region = viewer.add_shapes(
            box, shape_type="rectangle", name=REGION_NAME, metadata=mark, **look, **placement(labels)
        )
        viewer.layers.selection.active = labels
        viewer.reset_view(layers=[region], margin=0.1)
        return [region]

    def _drawn(self, viewer: Viewer) -> Labels | None:
        """Return the labels that were opened with the image; None where it has none, or somebody has removed them."""
        found = [
            layer
            for layer in viewer.layers
            if isinstance(layer, Labels) and not model_of(layer) and not is_region(layer) and ORIGINS in layer.metadata
        ]
        return next((layer for layer in reversed(found) if _stem(layer) == self.stem), None) if self.annotated else None

    @property
    def annotated(self) -> bool:
        """Whether a person has drawn labels already."""
        return any(kind == "labels" for _, _, kind in self.layers)

    @property
    def advice(self) -> str:
        """What to do now."""
        beside = ", shown filled; the outlines show the model's segmentation" if self.annotated else ""
        where = "" if self.window is None else " in the frame"
        return f"Correct the labels of '{self.stem}'{where}{beside}. Then export them with the Export dock."


def read_correction(model: str, image: Path, window: "Window | None" = None) -> Correction:
    """Read what is needed to correct an image that has no labels yet.

    The first annotation folder that the model was trained on takes the correction.

    Parameters
    ----------
    model : str
        A name in the library.
    image : Path
        An image file.
    window : Window, optional
        The region of it that is to be annotated.

    Raises
    ------
    SegTrainerError
        If the model or the image cannot be used.
    """
    opened = open_model(model)
    return replace(_unannotated(opened, image, _taught_by(opened)), window=window)


def read_validated(model: str, name: str) -> Correction:
    """Read what is needed to correct an image that a model's training had.

    Parameters
    ----------
    model : str
        A name in the library.
    name : str
        Such as ``annotations_nuclei/cell_01``.

    Raises
    ------
    SegTrainerError
        If the model, its job, or the image cannot be used any more.
    """
    opened = open_model(model)
    job = job_of(opened)
    if job is None:
        raise DataError(f"Model '{model}' does not list its training images. Open '{name}' manually.")
    builtin = [builtin_folder(one) for one in job.builtin]
    folders = distinct([*job.data, *builtin, *job.validation_data])
    own = [(folder, pair) for folder in folders for pair in AnnotationFolder.open(folder)]
    for (folder, pair), (found, _) in zip(own, named(pair for _, pair in own), strict=True):
        if found == name:
            # what comes with this program is not to be changed
            return _annotated(opened, pair, None if folder in builtin else folder)
    raise DataError(f"There is no image '{name}' in the training folders any more. Has it been moved?")


def _annotated(model: LibraryModel, pair: AnnotatedPair, folder: Path | None) -> Correction:
    opened = open_pairs([pair], pair.stem)
    if not opened.layers:
        raise DataError(opened.problems[0])
    for _, attributes, _ in opened.layers:
        if folder is not None:
            attributes["metadata"] = {**attributes["metadata"], FOLDER: str(folder)}
    annotated = pair.read()
    return Correction(model, pair.stem, opened.layers, annotated.channels, annotated.pixel_size, folder)


def _unannotated(model: LibraryModel, path: Path, folder: Path | None) -> Correction:
    from napari_seg_trainer.segmentation.files import open_image

    image, stem = open_image(path), stem_of(path)
    metadata = {ORIGINS: (Origin(stem, group_of_stem(stem)),)} | ({FOLDER: str(folder)} if folder else {})
    scale = {} if image.pixel_size is None else {"scale": (image.pixel_size,) * 2, "units": ("um", "um")}
    layers: list[LayerTuple] = []
    for place, channel in enumerate(image.channels):
        name = stem if len(image.channels) == 1 else channel
        attributes = {"name": name, "metadata": metadata, **scale, **channel_look(image.channels, place)}
        layers.append((image.data[place], attributes, "image"))
    return Correction(model, stem, layers, tuple(image.channels), image.pixel_size, folder)


def _taught_by(model: LibraryModel) -> Path | None:
    job = job_of(model)
    return next((folder for folder in job.data if folder.is_dir()), None) if job else None


def _stem(layer: Layer) -> str:
    origins = layer.metadata[ORIGINS]
    return origins[0].stem if len(origins) == 1 else ""
