"""From napari layers to annotated images: which planes and channels they hold, and on what grid. Knows no Qt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import psutil
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage, group_of_stem, size_text
from napari_seg_trainer.annotations.channels import COLOURS
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.grids import check_same_grid, finest, shape_of, to_layer
from napari_seg_trainer.napari_plugin.layers.names import base_name, origin_of

if TYPE_CHECKING:
    from napari import Viewer

    from napari_seg_trainer.napari_plugin.layers.crops import Crop


_LARGEST_LABEL = int(np.iinfo(np.int32).max)
PROVENANCE = "napari-seg-trainer"
"""Key in a Labels layer's metadata for how it was made."""
PREFIX = "annotations_"
"""Before the population in the name of an annotation folder, as Celldetective has it."""
FOLDER = "annotation folder"
"""Key in a layer's metadata for the folder that the layer was opened from."""
_SAMPLE = (slice(0, 512), slice(0, 512))
_GREY: WeakKeyDictionary[Layer, tuple[Any, bool]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Source:
    """One channel of an image layer.

    Attributes
    ----------
    layer : Image or Labels
    component : int, optional
        Which colour of an RGB layer.
    name : str
        The layer's name, and the colour's.
    grey : bool
        Whether the layer has three colours that are equal, of which one is taken.
    """

    layer: Layer
    component: int | None
    name: str
    grey: bool = False


def sources(layers: Sequence[Image]) -> tuple[Source, ...]:
    """Return the channels of image layers: one each, or red, green and blue of an RGB layer that has colours."""
    found: list[Source] = []
    for layer in layers:
        if layer.rgb and is_grey(layer):
            found.append(Source(layer, 0, layer.name, grey=True))
        elif layer.rgb:
            found += [Source(layer, i, f"{layer.name} {colour}") for i, colour in enumerate(COLOURS)]
        else:
            found.append(Source(layer, None, layer.name))
    return tuple(found)


def is_grey(layer: Image) -> bool:
    """Whether red, green and blue of an RGB layer are equal, as in a grey PNG or JPEG.

    Of a layer that is read when it is looked at, a part of one plane counts here; the rest is compared when it is read.
    """
    data = finest(layer)
    known = _GREY.get(layer)
    if known is None or known[0] is not data:
        part = data if isinstance(data, np.ndarray) else data[(0,) * (data.ndim - 3)][_SAMPLE]
        few = np.asarray(part[..., :: max(1, part.shape[-3] // 64), :: max(1, part.shape[-2] // 64), :])
        known = data, _are_equal(few) and _are_equal(np.asarray(part))
        _GREY[layer] = known
    return known[1]


def _are_equal(colours: NDArray[Any]) -> bool:
    red, green, blue = (colours[..., component] for component in range(3))
    return np.array_equal(red, green) and np.array_equal(red, blue)


def pixel_size(layer: Layer) -> float | None:
    """Return a layer's pixel size in µm.

    None where its unit is not a length, such as "pixel", or where pixels are not square (by more than 1 %).
    """
    sides = pixel_sides(layer)
    return sides[1] if sides is not None and math.isclose(*sides, rel_tol=0.01) else None


def pixel_sides(layer: Layer) -> tuple[float, float] | None:
    """Return height and width of a layer's pixels in µm, by all of its transforms; None where a unit is no length."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    sides = []
    for axis in (-2, -1):
        step = np.zeros(layer.ndim)
        step[axis] = 1
        moved = np.asarray(layer.data_to_world(step)) - origin
        told = [(way, unit) for way, unit in zip(moved, layer.units, strict=True) if abs(way) > 1e-9 * abs(moved).max()]
        lengths = [length for way, unit in told if (length := _micrometres(way, unit)) is not None]
        if len(lengths) < len(told):
            return None
        sides.append(float(f"{math.hypot(*lengths):.12g}"))  # a rotation leaves rounding errors
    height, width = sides
    return (height, width) if min(sides) > 0 else None


def frame_count(layer: Layer) -> int:
    """Return how many planes a layer holds: frames of a time lapse times slices of a stack; 1 if it is 2D."""
    return math.prod(shape_of(layer)[:-2])


def deepest(layers: Sequence[Layer]) -> Layer:
    """Return the layer with the most planes: what is exported from these layers is counted in its frames."""
    return max(layers, key=frame_count)


def shown_frame(viewer: "Viewer", layer: Layer) -> int:
    """Return which of a layer's planes the viewer shows now, counted through all axes but the last two."""
    return frame_at(viewer.dims.point, viewer.dims.units, layer)


def frame_at(point: Sequence[float] | NDArray[Any], units: Sequence[Any] | None, layer: Layer) -> int:
    """Return which of a layer's planes is at a point of the world, or nearest to it; `units` are the point's."""
    leading = shape_of(layer)[:-2]
    position = to_layer(point, units, layer)[: len(leading)]
    index = [min(max(round(at), 0), size - 1) for at, size in zip(position, leading, strict=True)]
    return int(np.ravel_multi_index(index, leading)) if leading else 0


def only_frame(labels: Labels, layer: Layer) -> int | None:
    """Return on which of a layer's planes labels of one plane lie that have as many axes; None for any others.

    A layer without these axes lies on all planes.
    """
    if labels.ndim < layer.ndim or frame_count(labels) > 1 or frame_count(layer) == 1 or labels.ndim <= 2:
        return None
    return frame_at(labels.data_to_world(np.zeros(labels.ndim)), labels.units, layer)


def plane(channel: Source | Layer, frame: int, crop: "Crop | None" = None) -> NDArray[Any]:
    """Return one plane of a channel or layer, or a part of it, read into memory.

    Parameters
    ----------
    channel : Source or Layer
        An RGB layer gives its colours only as sources.
    frame : int
        Counted through all axes but the last two; a 2D layer has the same plane in every frame.
    crop : Crop, optional
        Nothing else is read.

    Returns
    -------
    NDArray, axes YX

    Raises
    ------
    DataError
        If the layer has no such frame, or the memory no room for it.
    """
    source = channel if isinstance(channel, Source) else Source(channel, None, channel.name)
    layer = source.layer
    count = frame_count(layer)
    if count > 1 and not 0 <= frame < count:
        raise DataError(f"Layer {layer.name!r} has the frames 0 to {count - 1}, not {frame}. Choose one of them.")
    leading = shape_of(layer)[:-2]
    return _read(source, np.unravel_index(frame if count > 1 else 0, leading) if leading else (), crop)


def annotated_image(
    labels: Labels,
    sources: Sequence[Source],
    frame: int,
    *,
    stem: str,
    names: Sequence[str] | None = None,
    pixel_size: float | None = None,
    crop: "Crop | None" = None,
) -> AnnotatedImage:
    """Make an annotated image of one frame.

    Parameters
    ----------
    labels : Labels
    sources : sequence of Source
        Layers of the labels' height and width, in the same place of the world. The leading axes may be fewer than
        those of the other layers, or of length 1: such a layer has the same plane in all frames.
    frame : int
        Counted in the `deepest` of the layers.
    stem : str
        File name without extension.
    names : sequence of str, optional
        Of the channels; by default the sources' own.
    pixel_size : float, optional
        µm per pixel; None if it is not known.
    crop : Crop, optional
        The part to take; the whole plane if not given.

    Returns
    -------
    AnnotatedImage

    Raises
    ------
    DataError
        If no channel is given, layers differ in size or place, there is no such frame, or labels exceed 32 bits.
    """
    if not sources:
        raise DataError(f"Labels {labels.name!r} have no image. Choose at least one image layer.")
    check_same_grid(labels, [source.layer for source in sources])
    leading = _common_frames(labels, [source.layer for source in sources])
    count = math.prod(leading)
    if not 0 <= frame < count:
        raise DataError(f"Layer {labels.name!r} and its images have {count} frames; there is no frame {frame}.")
    index = np.unravel_index(frame, leading) if leading else ()
    planes = [_read(source, _own(index, source.layer), crop) for source in sources]
    image_layers = dict.fromkeys(source.layer.name for source in sources)
    origin = origin_of(sources[0].layer, frame, count)
    return AnnotatedImage(
        image=np.stack(planes),
        labels=_int32(_read(Source(labels, None, labels.name), _own(index, labels), crop), labels),
        channels=tuple(source.name for source in sources) if names is None else tuple(names),
        stem=stem,
        pixel_size=pixel_size,
        field_of_view=origin.field_of_view if origin else group_of_stem(base_name(sources[0].layer)),
        frame=origin.frame if origin else (frame if count > 1 else None),
        sources=(*image_layers, labels.name),
        source_file=sources[0].layer.source.path,
    )


def _micrometres(step: float, unit: Any) -> float | None:
    return float((float(step) * unit).to("micrometer").magnitude) if unit.is_compatible_with("micrometer") else None


def _read(source: Source, index: tuple[Any, ...], crop: "Crop | None") -> NDArray[Any]:
    data = finest(source.layer)
    place = (*index, *(crop.slices if crop else (slice(None), slice(None))))
    _check_room(source.layer, crop)
    if source.component is None:
        return np.asarray(data[place])
    if not source.grey:
        return np.asarray(data[(*place, source.component)])
    colours = np.asarray(data[place])
    if not _are_equal(colours):
        raise DataError(
            f"Image {source.layer.name!r} is grey in one place and has colours in another. Convert it to "
            "either grey or colour."
        )
    return colours[..., source.component]


def _check_room(layer: Layer, crop: "Crop | None") -> None:
    """Refuse to read what is larger than the memory that is free."""
    data = finest(layer)
    if isinstance(data, np.ndarray):
        return  # it is there already
    height, width = shape_of(layer)[-2:] if crop is None else (crop.y1 - crop.y0, crop.x1 - crop.x0)
    needed, free = height * width * np.dtype(data.dtype).itemsize, psutil.virtual_memory().available
    if needed > free:
        sizes = f"needs {needed / 2**20:.0f} MiB of memory; {free / 2**20:.0f} MiB are free"
        raise DataError(
            f"A plane of layer {layer.name!r} {sizes}. "
            "Use a part of it: draw a rectangle in a Shapes layer and choose it as the crop when you export."
        )


def _common_frames(labels: Labels, images: Sequence[Layer]) -> tuple[int, ...]:
    """Return the sizes of the leading axes after matching them from the last one, as napari does."""
    leading = shape_of(labels)[:-2]
    for image in images:
        try:
            leading = np.broadcast_shapes(leading, shape_of(image)[:-2])
        except ValueError as error:
            raise DataError(
                f"Labels {labels.name!r} ({size_text(shape_of(labels))}) and image {image.name!r} "
                f"({size_text(shape_of(image))}) differ in their frames. Choose layers of one time lapse or stack."
            ) from error
    return leading


def _own(index: tuple[Any, ...], layer: Layer) -> tuple[Any, ...]:
    leading = shape_of(layer)[:-2]
    own = index[len(index) - len(leading) :]
    return tuple(at if size > 1 else 0 for at, size in zip(own, leading, strict=True))


def _int32(values: NDArray[Any], labels: Labels) -> NDArray[np.int32]:
    for number in (int(values.max(initial=0)), int(values.min(initial=0))):
        if abs(number) > _LARGEST_LABEL:
            raise DataError(
                f"Labels {labels.name!r} hold the number {number}; {_LARGEST_LABEL} is the limit. Renumber the objects."
            )
    return np.ascontiguousarray(values, np.int32)


def model_of(labels: Labels) -> str:
    """Return the name of the model that has found a layer's labels; empty if none has."""
    made = labels.metadata.get(PROVENANCE)
    return str(made.get("model", "")) if isinstance(made, dict) else ""


def source_folder(layer: Layer) -> Path | None:
    """Return the folder that a layer was opened from: that of its file, or the annotation folder."""
    opened = layer.metadata.get(FOLDER) or layer.source.path
    if not opened or layer.source.sample:
        return None
    path = Path(opened)
    folder = path if path.is_dir() and (FOLDER in layer.metadata or path.name.startswith(PREFIX)) else path.parent
    return folder if folder.is_absolute() and folder.is_dir() else None
