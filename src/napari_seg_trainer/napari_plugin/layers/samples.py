"""The built-in annotated images as napari samples."""

from napari.layers import Layer

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder
from napari_seg_trainer.napari_plugin.layers.stacks import LayerTuple, open_pairs

_NUCLEI = "nuclei_dsb2018"


def nuclei() -> list[LayerTuple]:
    """Return all annotated images of nuclei that share the commonest size, as a stack with its labels."""
    return open_pairs(_pairs(), "nuclei").layers[-2:]


def one_image_of_nuclei() -> list[LayerTuple]:
    """Return one annotated image of nuclei, with its labels."""
    return open_pairs(_pairs()[:1], "nuclei").layers


def sample_layers() -> list[Layer]:
    """Return the layers of that image, as the docks open it."""
    return [Layer.create(*layer) for layer in one_image_of_nuclei()]


def _pairs() -> tuple[AnnotatedPair, ...]:
    return AnnotationFolder.open(builtin_folder(_NUCLEI)).pairs
