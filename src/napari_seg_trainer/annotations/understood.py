"""How data was understood: images, objects, layout, channels, pixel size and axes, in one line."""

from collections.abc import Sequence

from napari_seg_trainer.annotations.facts import ImageFacts
from napari_seg_trainer.annotations.findings import counted
from napari_seg_trainer.annotations.layouts import LAYOUT_TITLES
from napari_seg_trainer.schema.axes import PLANE

_MOST_SETS = 3


def in_one_line(facts: Sequence[ImageFacts], sets: Sequence[tuple[str, ...]], layouts: Sequence[str]) -> str:
    """Return what is known of images, of the sets of channels that they have, and of their folders' layouts."""
    if not facts:
        return "No image can be used."
    partial = sum(image.annotated < 1 for image in facts)
    layout = ", ".join(LAYOUT_TITLES[layout] for layout in layouts)
    told = (
        f"{counted(len(facts), 'image')} of {_sizes(facts)} pixels",
        counted(sum(image.areas.size for image in facts), "object"),
        f"{counted(partial, 'image')} annotated in part" if partial else "",
        f"layout: {layout}" if layout else "",
        " or ".join(_channels(facts, names) for names in sets[:_MOST_SETS])
        + (f" or {len(sets) - _MOST_SETS} other sets" if len(sets) > _MOST_SETS else ""),
        _pixel_sizes(facts),
        f"axes {PLANE}",
    )
    return "; ".join(filter(None, told)) + "."


def _sizes(facts: Sequence[ImageFacts]) -> str:
    """Return width and height, or those of the smallest and the largest image."""
    shapes = sorted({image.shape[1:] for image in facts}, key=lambda shape: shape[0] * shape[1])
    ends = [f"{width} × {height}" for height, width in (shapes[0], shapes[-1])]
    return " to ".join(dict.fromkeys(ends))


def _channels(facts: Sequence[ImageFacts], names: tuple[str, ...]) -> str:
    alike = [image for image in facts if image.channels == names]
    told = []
    for place, name in enumerate(names):
        limits = [limit for image in alike if (limit := image.ranges[place]) is not None]
        types = "/".join(sorted({image.dtype for image in alike}))
        between = f" {min(low for low, _ in limits):g} to {max(high for _, high in limits):g}" if limits else ""
        told.append(f"{name} ({types}{between})")
    return ", ".join(told)


def _pixel_sizes(facts: Sequence[ImageFacts]) -> str:
    known = sorted({image.pixel_size for image in facts if image.pixel_size is not None})
    if not known:
        return "unknown pixel size"
    told = " to ".join(dict.fromkeys(f"{size:.4g}" for size in (known[0], known[-1])))
    some = "" if all(image.pixel_size is not None for image in facts) else ", unknown for some images"
    return f"{told} µm per pixel{some}"
