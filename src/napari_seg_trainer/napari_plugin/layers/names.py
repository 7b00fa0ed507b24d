"""What a layer, and the files made of it, are called. Knows no Qt."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Layer

from napari_seg_trainer.annotations import file_names
from napari_seg_trainer.annotations.file_names import stem_of
from napari_seg_trainer.annotations.pixels import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from napari_seg_trainer.napari_plugin.layers.crops import Crop

ORIGINS = "annotated images"
"""Key in a layer's metadata for the tuple of `Origin` that our reader puts there, one for each frame."""
_ANOTHER = re.compile(r"\s*\[\d+\]$")  # napari's mark of a second layer of one name
NEW_LABELS = " - Labels"  # napari's name for a new layer above an image
LABELS_OF = " labels"
"""Behind the name of an image, or of a population, in that of its labels."""
_SCENE = re.compile(
    r"\b(scene|series|position|pos|point|field|fov|image|site|well|tile)[ _:#=-]*([A-P]?\d+)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Origin:
    """The annotated image that one frame of a layer was opened from.

    Attributes
    ----------
    stem : str
        Its file name without extension.
    field_of_view : str
        Its field of view.
    frame : int, optional
        Frame of the time lapse that it was once taken from.
    """

    stem: str
    field_of_view: str
    frame: int | None = None


def stem_for(layer: Layer, frame: int, frames: int, crop: "Crop | None", name: str = "") -> str:
    """Return a file name for a frame or crop, such as ``nuclei_t004_roi_0_64_32_96`` (X0, X1, Y0, Y1).

    Parameters
    ----------
    layer : Layer
        Named after its file, else after itself; one that was opened from an annotation folder keeps its images' names.
    frame, frames : int
        Which one of how many; left out of the name if there is only one.
    crop : Crop, optional
    name : str
        In place of the layer's.

    Returns
    -------
    str
        Without extension and without what a file system refuses.
    """
    origin = origin_of(layer, frame, frames)
    digits = max(3, len(str(frames - 1)))
    numbered = (name or base_name(layer)) + (f"_t{frame:0{digits}}" if frames > 1 else "")
    stem = origin.stem if origin and not name else numbered
    return stem + (f"_roi_{crop.x0}_{crop.x1}_{crop.y0}_{crop.y1}" if crop else "")


def origin_of(layer: Layer, frame: int, frames: int) -> Origin | None:
    """Return which annotated image a frame of a layer was opened from, if our reader opened it from one.

    Parameters
    ----------
    layer : Layer
    frame, frames : int
        Which one of how many; a layer with another number of frames is no help.
    """
    origins = layer.metadata.get(ORIGINS, ())
    return origins[frame] if len(origins) == frames and 0 <= frame < frames else None


def base_name(layer: Layer) -> str:
    """Return a name for files of a layer: that of its own file and scene, else the layer's.

    It is without what file systems refuse.
    """
    path = layer.source.path
    of_file = "_".join(filter(None, (without_mask_ending(stem_of(Path(path))), scene_of(layer)))) if path else ""
    name = of_file or bare_name(layer)
    safe = re.sub(r'[<>:"/\\|?*\x00-\x1f\s]+', "_", name).strip("._")
    return safe or "image"


def scene_of(layer: Layer) -> str:
    """Return which scene of its file a layer shows, such as "Scene 2", where its name contains it; empty if not."""
    path = layer.source.path
    if path is None:
        return ""
    told = _SCENE.search(without_number(layer.name).replace(Path(path).name, " ").replace(stem_of(Path(path)), " "))
    return told[0] if told else ""


def own_part(layer: Layer) -> str:
    """Return a layer's name without its file's and its scene's, which some readers put beside it, parted by ``::``."""
    path, scene = layer.source.path, scene_of(layer)
    others = {scene} if path is None else {scene, Path(path).name, stem_of(Path(path))}
    parts = [part.strip() for part in bare_name(layer).split("::")]
    return " ".join(part for part in parts if part and part not in others) or bare_name(layer)


def bare_name(layer: Layer) -> str:
    """Return a layer's name without a file's ending, napari's number, or what marks it as the labels of an image."""
    name = without_number(layer.name).removesuffix(NEW_LABELS)
    return without_mask_ending(without_image_ending(name))


def without_number(name: str) -> str:
    """Return a layer's name without what napari adds to the second of one name, such as ``[1]``."""
    return _ANOTHER.sub("", " ".join(name.split()))


def without_image_ending(name: str) -> str:
    """Return a name without ``.tif`` and the like."""
    lower = name.lower()
    ending = next((end for end in (".ome.tif", ".ome.tiff", *IMAGE_SUFFIXES) if lower.endswith(end)), "")
    return name[: len(name) - len(ending)] or name


def without_mask_ending(name: str) -> str:
    """Return a name without ``_labelled``, ``_masks`` and the like, or cellpose's ``_seg``."""
    return file_names.without_mask_ending(name).removesuffix("_seg") or name
