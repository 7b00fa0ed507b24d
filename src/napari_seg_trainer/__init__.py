"""Train segmentation models on your own corrected images.

The names below are loaded when they are first used, so that ``import napari_seg_trainer`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
    from napari_seg_trainer.annotations.folder import AnnotationFolder
    from napari_seg_trainer.api import compare, evaluate, load_annotations, segment, suggest, train
    from napari_seg_trainer.errors import SegTrainerError
    from napari_seg_trainer.library.library import ModelLibrary
    from napari_seg_trainer.library.model_folder import LibraryModel
    from napari_seg_trainer.runs.run import Run
    from napari_seg_trainer.schema.job import ChannelInput, Normalization, TrainingJob
    from napari_seg_trainer.schema.model_card import ModelCard

_HOMES = {
    "AnnotatedImage": "annotations.annotated_image",
    "AnnotationFolder": "annotations.folder",
    "ChannelInput": "schema.job",
    "LibraryModel": "library.model_folder",
    "ModelCard": "schema.model_card",
    "ModelLibrary": "library.library",
    "Normalization": "schema.job",
    "Run": "runs.run",
    "SegTrainerError": "errors",
    "TrainingJob": "schema.job",
    "compare": "api",
    "evaluate": "api",
    "load_annotations": "api",
    "segment": "api",
    "suggest": "api",
    "train": "api",
}

__all__ = [
    "AnnotatedImage",
    "AnnotationFolder",
    "ChannelInput",
    "LibraryModel",
    "ModelCard",
    "ModelLibrary",
    "Normalization",
    "Run",
    "SegTrainerError",
    "TrainingJob",
    "compare",
    "evaluate",
    "load_annotations",
    "segment",
    "suggest",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
