"""Which images are worst and why, which kinds of mistakes matter, and what to annotate next."""

from collections.abc import Iterator, Mapping, Sequence

from napari_seg_trainer.evaluation.comparison import counted
from napari_seg_trainer.evaluation.mistakes import Mistakes
from napari_seg_trainer.evaluation.scores import ImageScore, Scores
from napari_seg_trainer.evaluation.traits import Kind, Reason

POOR = 0.8
WORST_IMAGES = 3
SUCH_IMAGES = 3
"""So many images of a kind are asked for, as fewer would not tell what is usual for it."""
_MANY = 3
"""Merging or splitting matters where it is at least one such part of what is missed."""
_KINDS: dict[Kind, str] = {
    "large": "images with large cells",
    "small": "images with small cells",
    "dim": "dim images",
    "bright": "bright images",
    "crowded": "images where objects touch",
}


def worst_images(scores: Scores) -> list[ImageScore]:
    """Return the images with the lowest average precision, the lowest first; none where all are good."""
    if len(scores.images) < 2:
        return []
    poor = [image for image in scores.images if image.half.ap < POOR]
    return sorted(poor, key=lambda image: image.half.ap)[:WORST_IMAGES]


def tell_kinds(mistakes: Mistakes) -> str:
    """Name merging and splitting where they make at least a third of what is missed."""
    parts = []
    if _merges(mistakes):
        parts.append(f"{counted(mistakes.merged, 'time')} it takes several objects for one")
    if _splits(mistakes):
        parts.append(f"{counted(mistakes.split, 'object')} it cuts in pieces")
    return f"{' and '.join(parts)}.".capitalize() if parts else ""


def tell_worst(worst: Sequence[ImageScore], reasons: Mapping[str, Reason]) -> str:
    """Name the worst images, what is wrong there, and why that may be."""
    return f"Worst: {'; '.join(f'{image.image} ({_wrong(image, reasons)})' for image in worst)}." if worst else ""


def tell_next(
    scores: Scores, worst: Sequence[ImageScore], reasons: Mapping[str, Reason], learning: bool = False
) -> str:
    """Say what to annotate next.

    More images of each kind that the worst ones are of, and of objects that touch where many are merged or split, other
    than by blur. Whether it is labelled well is asked of a worst image only if nothing else explains it, such as that
    the network was still learning.
    """
    blurred = {name for name, reason in reasons.items() if reason.kind == "blurred"}
    mistakes = Mistakes.total(image.mistakes for image in scores.images if image.image not in blurred)
    first = {reasons[image.image].kind: image.image for image in reversed(worst) if image.image in reasons}
    wanted = [f"{SUCH_IMAGES} or more {_KINDS[kind]} like {first[kind]}" for kind in _KINDS if kind in first]
    if _touching(mistakes) and "crowded" not in first:
        wanted.append("more images where objects touch")
    unexplained = [image for image in worst if image.image not in reasons]
    if learning:
        parts = ["train for longer"] if unexplained else []
    else:
        parts = list(_looking(unexplained, not first and not wanted))
    if wanted:
        parts.append(f"annotate {' and '.join(filter(None, [', '.join(wanted[:-1]), wanted[-1]]))}")
    if "blurred" in first:
        parts.append(f"leave blurred images like {first['blurred']} out, or annotate {SUCH_IMAGES} or more of them")
    return f"Next: {'; '.join(parts)}." if parts else ""


def _looking(unexplained: Sequence[ImageScore], is_all: bool) -> Iterator[str]:
    names = [image.image for image in unexplained if not _touching(image.mistakes)]
    if names:
        one = len(names) == 1
        named = names[0] if one else f"{', '.join(names[:-1])} and {names[-1]}"
        then = f", then annotate more images like {'it' if one else 'them'}" if is_all else ""
        yield f"look whether {named} {'is' if one else 'are'} labelled well{then}"


def _wrong(image: ImageScore, reasons: Mapping[str, Reason]) -> str:
    half = image.half
    parts = [f"{half.false_negative} of {half.true_objects} missed"] if half.true_objects else ["no object there"]
    if image.mistakes.merged:
        parts.append(f"{image.mistakes.merged} merged")
    if image.mistakes.split:
        parts.append(f"{image.mistakes.split} split")
    if half.false_positive:
        parts.append(f"{half.false_positive} not real")
    wrong, reason = ", ".join(parts), reasons.get(image.image)
    return wrong if reason is None else f"{wrong}; {reason.text}"


def _merges(mistakes: Mistakes) -> bool:
    return 0 < mistakes.missed <= _MANY * mistakes.merged


def _splits(mistakes: Mistakes) -> bool:
    return 0 < mistakes.missed <= _MANY * mistakes.split


def _touching(mistakes: Mistakes) -> bool:
    return _merges(mistakes) or _splits(mistakes)
