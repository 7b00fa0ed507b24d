"""Saves image layers with a Labels layer as an annotated image."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari.layers import Labels, Layer

from napari_seg_trainer.annotations.annotated_image import LABELS_SUFFIX
from napari_seg_trainer.annotations.file_names import stem_of
from napari_seg_trainer.annotations.layouts import masks_of
from napari_seg_trainer.annotations.metadata import channel_names
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.export.defaults import proposed_names
from napari_seg_trainer.napari_plugin.layers.planes import annotated_image, deepest, frame_count, pixel_size, sources

_ENDING = ".tif"


def write_annotated(path: str, layer_data: Sequence[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write ``STEM.tif`` with the images as channels, ``STEM_labelled.tif`` and ``STEM.json``.

    Parameters
    ----------
    path : str
        Of ``STEM.tif``, which is replaced if it is there: napari has asked. The other two are never replaced.
    layer_data : sequence of tuple
        Data, attributes and type of one or more image layers, whose names become the channels' names unless they are
        files', and of one Labels layer.

    Returns
    -------
    list of str
        The paths of the three files.

    Raises
    ------
    DataError
        If the layers hold several frames or do not fit together, or a file may not be written.
    """
    folder, stem = _place(Path(path))
    layers = [_layer(*given) for given in layer_data]
    (labels,) = (layer for layer in layers if isinstance(layer, Labels))
    images = [layer for layer in layers if layer is not labels]
    frames = frame_count(deepest(layers))
    if frames > 1:
        raise DataError(
            f"These layers hold {frames} frames, and '{stem}{_ENDING}' can hold one. "
            "Use Layers > Annotate > Export annotations, which makes a file for each frame."
        )
    channels = sources(images)
    names = channel_names(proposed_names(channels, labels), len(channels))
    item = annotated_image(labels, channels, 0, stem=stem, names=names, pixel_size=pixel_size(images[0]))
    return [str(written) for written in item.write(folder, overwrite=True)]


def _layer(data: Any, attributes: dict[str, Any], kind: str) -> Layer:
    try:
        return Layer.create(data, attributes, kind)
    # napari raises whatever an array of objects, or of no pixels, makes it stumble over
    except Exception as error:
        reason = " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
        raise DataError(
            f"Layer {attributes.get('name', kind)!r} cannot be saved ({reason}). "
            "Give images as numbers, and labels as whole numbers, of at least one pixel."
        ) from error


def _place(path: Path) -> tuple[Path, str]:
    """Return folder and stem, after a look at what is there."""
    name = path.name
    stem = name[: -len(_ENDING)] if name.lower().endswith(_ENDING) else name
    if stem_of(Path(stem + _ENDING)) != stem:
        raise DataError(f"'{name}' would not be found by its labels. Choose '{stem_of(path)}{_ENDING}'.")
    names = [f"{stem}{_ENDING}", f"{stem}{LABELS_SUFFIX}{_ENDING}", f"{stem}.json"]
    there = [other for other in names if other != name and os.path.lexists(path.with_name(other))]
    # with a mask of another program beside ours, nobody would know which one counts
    taken = next(iter([*there, *(mask.name for mask in masks_of(path.parent, stem))]), None)
    if taken is not None:
        raise DataError(
            f"'{taken}' already exists in '{path.parent}'. Choose another name, "
            "or use Layers > Annotate > Export annotations, which asks before it replaces."
        )
    return path.parent, stem
