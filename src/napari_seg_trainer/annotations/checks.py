"""What can be wrong with one annotated image that could be read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from napari_seg_trainer.annotations.annotated_image import NUMBERS, AnnotatedImage
from napari_seg_trainer.annotations.causes import cause_of
from napari_seg_trainer.annotations.findings import Finding, Severity, capped
from napari_seg_trainer.annotations.forgotten import bright_spots
from napari_seg_trainer.annotations.objects import Objects, Point, find_holes, find_objects, rim
from napari_seg_trainer.annotations.region import IGNORED, annotated_part

TINY_FRACTION = 0.05
TINY_PIXELS = 10
"""Objects below this many pixels, or below that fraction of the median object, are called tiny."""

LEAST_AROUND = 0.1
"""Of what surrounds objects, this part is to be background."""
PARTLY = "partly-annotated"
UNKNOWN_AROUND = "unknown-surroundings"
"""Code of the finding that it is not: a mistake, where the numbers are a file's own."""

FEW_LABELS = 3
PIECES_PER_LABEL = 5
"""A mask with no more labels than `FEW_LABELS`, and at least this many pieces per label, shows classes, not objects."""

Check = Callable[[AnnotatedImage, Objects], Iterator[Finding]]


def examine_image(image: AnnotatedImage, file: Path | None = None) -> list[Finding]:
    """Look at one annotated image, such as one that is about to be exported.

    Parameters
    ----------
    image : AnnotatedImage
    file : Path, optional
        Where it comes from; named in the findings.

    Returns
    -------
    list of Finding
        Worst first.
    """
    found = findings_of(image, find_objects(image.labels))
    return found if file is None else [finding.replace(file=file) for finding in found]


def findings_of(image: AnnotatedImage, objects: Objects) -> list[Finding]:
    """Look at an annotated image whose objects were found; the worst finding comes first."""
    checks: tuple[Check, ...] = (_values, _unannotated)
    if not len(objects.labels):
        checks = (*checks, _empty)
    elif (cause := cause_of(image, objects)) is not None:
        checks = (*checks, lambda _image, _objects: iter([cause]))
    elif _is_class_mask(objects):
        checks = (*checks, _class_mask)
    else:
        checks = (*checks, _pieces, _holes, _tiny, _forgotten, _cut)
    found = [finding for check in checks for finding in capped(list(check(image, objects)))]
    return sorted(found, key=lambda finding: -finding.severity)


def _warning(code: str, message: str, label: int | None = None, position: Point | None = None) -> Finding:
    return Finding(severity=Severity.WARNING, code=code, message=message, label=label, position=position)


def _values(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    for name, plane in zip(image.channels, image.image, strict=True):
        finite = np.isfinite(plane) if plane.dtype.kind == "f" else np.True_
        if not finite.all():
            count = int(plane.size - finite.sum())
            message = (
                f"Channel {name!r} has {count} pixels that are not numbers (NaN or infinite). They are treated as dark."
            )
            y, x = np.argwhere(~finite)[0].tolist()
            yield _warning("not-a-number", message, position=(y, x))
        elif plane.min() == plane.max():
            message = f"Channel {name!r} has the same value everywhere. Check that the correct channel was exported."
            yield _warning("constant-channel", message)


def _unannotated(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    if objects.ignored is None:
        return
    lowest = int(image.labels.min())
    if lowest < IGNORED:
        message = f"The mask holds negative labels ({lowest}). {NUMBERS}"
        yield Finding(severity=Severity.ERROR, code="negative-labels", message=message)
    elif objects.ignored.all():
        message = "No part of this image is annotated: all of its mask is -1. Annotate a part, or remove the image."
        yield Finding(severity=Severity.ERROR, code="nothing-annotated", message=message)
    elif len(objects.labels) and _background_around(objects) < LEAST_AROUND:
        message = (
            "What surrounds the objects is not annotated (-1), so a model cannot learn where they end. Use 0 for "
            "background and -1 only for parts that nobody has looked at."
        )
        yield _warning(UNKNOWN_AROUND, message)
    else:
        message = (
            f"Only {annotated_part(image.labels):.0%} of this image is annotated. The rest is left out of training and "
            "of scores."
        )
        yield Finding(severity=Severity.INFO, code=PARTLY, message=message)


def _background_around(objects: Objects) -> float:
    """Return which part of what touches objects, and is none, is background."""
    inside, background = objects.image > 0, objects.background
    around = known = 0
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        for one, other in ((here, there), (there, here)):
            border = inside[one] & ~inside[other]
            around += int(np.count_nonzero(border))
            known += int(np.count_nonzero(border & background[other]))
    return known / around if around else 1.0


def _empty(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    yield _warning("empty-mask", "The mask has no objects. That is fine only if the image shows none.")


def _is_class_mask(objects: Objects) -> bool:
    count = len(objects.labels)
    if count > FEW_LABELS:
        return False
    areas = objects.pieces.areas
    # stray pixels of a brush are pieces too, but no objects
    larger = int((areas >= max(TINY_PIXELS, 0.1 * areas.max())).sum())
    return larger >= (3 if count == 1 else PIECES_PER_LABEL * count)


def _class_mask(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    pieces, count = len(objects.pieces.areas), len(objects.labels)
    labels = "a single label" if count == 1 else f"only {count} labels"
    way_out = (
        "Give each object its own number (in Fiji: Analyze Particles, Count Masks; in napari: fill each object "
        "with a new label)."
    )
    message = f"The mask has {labels} for {pieces} separate objects, as black-and-white masks do. {way_out}"
    yield Finding(severity=Severity.ERROR, code="binary-mask", message=message, label=int(objects.labels[0]))


def _pieces(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    for number, count, smallest, position in objects.pieces.scattered():
        label = int(objects.labels[number - 1])
        message = (
            f"Object {label} is in {count} pieces, the smallest of {_pixels(smallest)}. "
            "Give each piece its own label, fill the gap, or erase the stray piece."
        )
        yield _warning("several-pieces", message, label, position)


def _holes(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    for hole in find_holes(objects):
        label = int(objects.labels[hole.owner - 1])
        yield _warning("hole", f"Object {label} has a hole of {_pixels(hole.area)}. Fill it.", label, hole.position)


def _tiny(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    median = objects.median_area
    for i in np.flatnonzero(objects.areas < max(TINY_PIXELS, TINY_FRACTION * median)):
        label, area = int(objects.labels[i]), int(objects.areas[i])
        message = (
            f"Object {label} has only {_pixels(area)}, where {median:.0f} are usual in this image. "
            "Erase it if it is a stray mark."
        )
        yield _warning("tiny-object", message, label, objects.position(int(i) + 1))


def _forgotten(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    for spot in bright_spots(image.image, objects):
        message = f"A bright spot of {_pixels(spot.area)} has no label. Label it if it is an object."
        yield _warning("unlabelled-object", message, position=spot.position)


def _cut(image: AnnotatedImage, objects: Objects) -> Iterator[Finding]:
    count = int(np.count_nonzero(rim(objects.image)))
    if count:
        verb = "is" if count == 1 else "are"
        message = f"{count} of {len(objects.labels)} objects {verb} cut by the image's border. Larger crops cut fewer."
        yield Finding(severity=Severity.INFO, code="cut-by-border", message=message)


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count} pixels"
