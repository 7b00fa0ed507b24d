"""Which images a Labels layer was drawn on, as far as the viewer's layers show."""

from collections.abc import Callable, Sequence
from pathlib import Path

from napari.layers import Image, Labels, Layer

from napari_seg_trainer.annotations.file_names import stem_of
from napari_seg_trainer.napari_plugin.layers.names import (
    NEW_LABELS,
    ORIGINS,
    bare_name,
    scene_of,
    without_mask_ending,
    without_number,
)
from napari_seg_trainer.napari_plugin.layers.planes import FOLDER, PROVENANCE


def belonging(labels: Labels, layers: Sequence[Layer], fits: Callable[[Image], bool]) -> list[Image]:
    """Return the images that labels were drawn on; the first gives the annotated image its name.

    The first of these rules that finds one counts: opened from one file or folder with the labels; of the labels' own
    name ("X - Labels" belongs to "X", "X_labelled" as well); segmented by the model that has found the labels; the one
    right below the labels, else above. Further channels of the same file come along.

    Parameters
    ----------
    labels : Labels
    layers : sequence of Layer
        Those of the viewer, from the bottom up.
    fits : callable
        Whether an image can be a channel of these labels.

    Returns
    -------
    list of Image
        In the order of `layers`, but for the first; empty if none fits.
    """
    layers = list(layers)  # each part of napari's own list is another list with events, which takes 20 ms
    images = [layer for layer in layers if isinstance(layer, Image) and fits(layer)]
    alike = _nearest(labels, layers, _of_one_name(labels, images))
    for found in (_opened_together(labels, images), alike, _segmented(labels, images)):
        if found:
            return _with_siblings(found, images)
    return _with_siblings(_nearest(labels, layers, images), images)


def is_named_after_file(layer: Layer) -> bool:
    """Whether a layer has the name that napari gave it: that of its file, or none of its own."""
    path = layer.source.path
    name = without_number(layer.name)
    given = {type(layer).__name__} if path is None else {Path(path).name, Path(path).stem, stem_of(Path(path))}
    return name in given or bare_name(layer) in given or name != bare_name(layer)


def _opened_together(labels: Labels, images: Sequence[Image]) -> list[Image]:
    origins, folder, path = labels.metadata.get(ORIGINS), labels.metadata.get(FOLDER), labels.source.path

    def is_with_it(image: Image) -> bool:
        if path is not None and image.source.path == path:
            return True
        # the labels that a model finds in such an image have its origins, and no folder
        same_folder = folder is None or folder == image.metadata.get(FOLDER)
        return bool(origins) and image.metadata.get(ORIGINS) == origins and same_folder

    found = [image for image in images if is_with_it(image)]
    # a folder may be open twice: what was opened at once has the very same origins
    at_once = [image for image in found if origins is not None and image.metadata.get(ORIGINS) is origins]
    return at_once or found


def _of_one_name(labels: Labels, images: Sequence[Image]) -> list[Image]:
    """Return the images that are called as the labels; napari's numbers count where one is called exactly so."""
    exact = [image for image in images if f"{image.name}{NEW_LABELS}" == labels.name]
    found = exact or [image for image in images if _names(labels) & _names(image)]
    folder = _folder(labels)
    here = [image for image in found if folder is not None and _folder(image) == folder]
    return here or found


def _segmented(labels: Labels, images: Sequence[Image]) -> list[Image]:
    made = labels.metadata.get(PROVENANCE)
    if not isinstance(made, dict) or not isinstance(made.get("channels"), dict):
        return []
    paths = made["images"] if isinstance(made.get("images"), dict) else {}
    wanted = [(name, paths.get(channel)) for channel, name in made["channels"].items()]
    # a colour is called after its layer and itself
    return [
        image
        for image in images
        if any(
            (name == image.name or str(name).startswith(f"{image.name} "))
            and (path is None or path == str(image.source.path))
            for name, path in wanted
        )
    ]


def _nearest(labels: Labels, layers: Sequence[Layer], images: Sequence[Image]) -> list[Image]:
    """Return the first of these images below the labels, else above; none where there are none."""
    at = next((place for place, layer in enumerate(layers) if layer is labels), 0)  # it may have been removed just now
    below = [layer for layer in layers[:at] if layer in images]
    above = [layer for layer in layers[at:] if layer in images]
    return below[-1:] or above[:1]


def _with_siblings(found: Sequence[Image], images: Sequence[Image]) -> list[Image]:
    """Add the further channels of a file, and of one scene in it, that was opened as several layers."""
    places = {(image.source.path, scene_of(image)) for image in found if image.source.path is not None}
    more = [image for image in images if image not in found and (image.source.path, scene_of(image)) in places]
    return [*found, *more]


def _names(layer: Layer) -> set[str]:
    path = layer.source.path
    names = {bare_name(layer)} | ({without_mask_ending(stem_of(Path(path)))} if path else set())
    return {name.casefold() for name in names} - {"labels", "image"}


def _folder(layer: Layer) -> Path | None:
    return Path(layer.source.path).parent if layer.source.path else None
