"""The patch stream: which piece of which image the network sees, when, and how it is altered."""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.region import IGNORED
from napari_seg_trainer.schema.axes import PLANE, Axes

T = TypeVar("T")
R = TypeVar("R")

_TRIES = 20


@dataclass(frozen=True, eq=False)
class Patch:
    """A piece of an image: `image` float32 C and `axes`, `labels` int32 `axes`.

    The labels are -1 outside of the image, and where it is not annotated.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    axes: Axes = PLANE


def samples_per_epoch(images: int, augmentation: float) -> int:
    """Return how many samples an epoch has at least."""
    return math.ceil(round(images * augmentation, 6))  # 10 * 1.1 is more than 11 in binary


@dataclass(frozen=True)
class PatchPlan:
    """What the patches of a training look like.

    Attributes
    ----------
    size : (int, int)
        Height and width in pixels.
    batch_size : int
        Patches a batch.
    augmentation : float
        Samples an epoch, as a multiple of the number of images.
    foreground : float
        Probability with which a patch must hold a piece of an object, where its image has one.
    seed : int
    """

    size: tuple[int, int]
    batch_size: int
    augmentation: float = 2.0
    foreground: float = 0.9
    seed: int = 0

    def batches_per_epoch(self, images: int) -> int:
        """Return the number of full batches that hold at least ``images * augmentation`` samples."""
        return math.ceil(samples_per_epoch(images, self.augmentation) / self.batch_size)


Draw = Callable[[int, bool, np.random.Generator], Any]
"""Returns a sample of the image at a place among all, augmented or not."""


class PatchStream:
    """Batches of patches in which every image is visited in every epoch.

    Each sample is drawn from its own generator, seeded with the plan's seed, the epoch and the sample's place, so that
    a batch does not depend on which thread makes it, nor on whether the training was resumed.

    Parameters
    ----------
    images : sequence
        Of `PreparedImage`, or whatever `draw` draws from.
    plan : PatchPlan
    draw : callable, optional
        How a sample is drawn; a `Patch`, by default.
    """

    def __init__(self, images: Sequence[Any], plan: PatchPlan, draw: Draw | None = None) -> None:
        self.images = images
        self.plan = plan
        self._draw = self._patch if draw is None else draw
        self.batches_per_epoch = plan.batches_per_epoch(len(images))

    def visits(self, epoch: int) -> list[tuple[int, bool]]:
        """Return the epoch's samples in order: the image's index, and whether the sample is augmented.

        Every image comes once as it is; the other samples are augmented and spread evenly over the images.
        """
        rng = np.random.default_rng((self.plan.seed, epoch))
        count, samples = len(self.images), self.batches_per_epoch * self.plan.batch_size
        extra: list[int] = []
        while len(extra) < samples - count:
            extra.extend(rng.permutation(count)[: samples - count - len(extra)].tolist())
        visits = [(i, False) for i in range(count)] + [(i, True) for i in extra]
        return [visits[i] for i in rng.permutation(len(visits))]

    def batch(self, epoch: int, visits: Sequence[tuple[int, bool]], number: int) -> list[Any]:
        """Return batch `number` of the epoch whose visits are given."""
        start = number * self.plan.batch_size
        places = range(start, start + self.plan.batch_size)
        return [self._draw(*visits[i], np.random.default_rng((self.plan.seed, epoch, i))) for i in places]

    def _patch(self, index: int, augmented: bool, rng: np.random.Generator) -> Patch:
        prepared = self.images[index]
        return augment(prepared, self.plan, rng) if augmented else draw_patch(prepared, self.plan, rng)

    def epoch(
        self, epoch: int, work: Callable[[list[Any]], R], workers: int = 1, ahead: int = 4
    ) -> Generator[R, None, None]:
        """Yield ``work(batch)`` for each batch of the epoch, computed ahead in background threads."""
        return self.epochs([epoch], work, workers, ahead)

    def epochs(
        self, epochs: Iterable[int], work: Callable[[list[Any]], R], workers: int = 1, ahead: int = 4
    ) -> Generator[R, None, None]:
        """Yield the same for one epoch after the other: the next one is begun while the last one's end is used."""
        visits = lru_cache(maxsize=2)(self.visits)

        def made(place: tuple[int, int]) -> R:
            epoch, number = place
            return work(self.batch(epoch, visits(epoch), number))

        return prefetched(made, product(epochs, range(self.batches_per_epoch)), workers, ahead)


def prefetched(
    work: Callable[[T], R], items: Iterable[T], workers: int = 1, ahead: int = 4
) -> Generator[R, None, None]:
    """Yield ``work(item)`` in order while threads compute up to `ahead` results in advance.

    What `work` raises is raised here. Closing the iterator ends the threads.
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="patches")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def draw_patch(prepared: PreparedImage, plan: PatchPlan, rng: np.random.Generator) -> Patch:
    """Cut a patch at a random place, with an object in it as often as the plan wants, if the image has one."""
    return cut(prepared, _draw_corner(prepared, plan.size, (0, 0), rng.random() < plan.foreground, rng), plan.size)


def _draw_corner(
    prepared: PreparedImage,
    size: tuple[int, int],
    margin: tuple[int, int],
    needs_object: bool,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Return where a piece of the image begins, with a piece of an object in it, if wanted, off its margin.

    Something in it is annotated, anyhow. A few places are tried first, as then all that have an object are as likely;
    where objects are rare, it is one around a pixel of them. A piece with a margin may then reach over the image's end.
    """
    shape = prepared.labels.shape
    last = [max(0, n - s) for n, s in zip(shape, size, strict=True)]
    for _ in range(_TRIES):
        y, x = (int(rng.integers(0, end + 1)) for end in last)
        inner = [slice(at + m, at + s - m) for at, s, m in zip((y, x), size, margin, strict=True)]
        if (prepared.labels[tuple(inner)] >= (1 if needs_object else 0)).any():
            return y, x
    place = prepared.draw_object_pixel(rng)
    if place is None:
        return y, x
    y, x = (int(rng.integers(at - s + m + 1, at - m + 1)) for at, s, m in zip(place, size, margin, strict=True))
    return (y, x) if any(margin) else (min(max(0, y), last[0]), min(max(0, x), last[1]))


def cut(prepared: PreparedImage, corner: tuple[int, int], size: tuple[int, int]) -> Patch:
    """Cut a patch of `size` (YX, pixels) whose first pixel is at `corner`, which may lie outside.

    Outside of the image its mirror image is seen, labelled -1.
    """
    inside: list[slice] = []
    margin: list[tuple[int, int]] = []
    for start, length, full in zip(corner, size, prepared.labels.shape, strict=True):
        low, high = max(0, start), max(max(0, start), min(start + length, full))
        inside.append(slice(low, high))
        margin.append((low - start, start + length - high))
    image = np.asarray(prepared.image[(slice(None), *inside)])
    labels = np.asarray(prepared.labels[tuple(inside)])
    if any(any(pair) for pair in margin):
        image = np.pad(image, [(0, 0), *margin], mode="symmetric")
        labels = np.pad(labels, margin, constant_values=IGNORED)
    return Patch(image, labels)


def augment(prepared: PreparedImage, plan: PatchPlan, rng: np.random.Generator) -> Patch:
    """Return a patch that is turned, mirrored, scaled and changed in brightness at random.

    Half of the patches are turned by any angle and scaled by 0.8 to 1.25, the others by right angles only, which
    costs no resampling.
    """
    free = rng.random() < 0.5
    patch = _free_transform(prepared, plan, rng) if free else draw_patch(prepared, plan, rng)
    image, labels = _flip(patch.image, patch.labels, rng)
    return Patch(change_brightness(image, rng), np.ascontiguousarray(labels))


def change_brightness(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return an image (CYX) with each channel multiplied by 0.6 to 1.6, shifted by up to 0.15, and with noise."""
    channels = (len(image), 1, 1)
    changed = image * rng.uniform(0.6, 1.6, channels) + rng.uniform(-0.15, 0.15, channels)
    changed = changed + rng.normal(0.0, rng.uniform(0.0, 0.04), image.shape)
    return np.ascontiguousarray(changed, np.float32)


def _flip(image: NDArray[Any], labels: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    square = labels.shape[0] == labels.shape[1]
    turns = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    image, labels = np.rot90(image, turns, (1, 2)), np.rot90(labels, turns)
    if rng.random() < 0.5:
        image, labels = image[:, :, ::-1], labels[:, ::-1]
    return image, labels


def _free_transform(prepared: PreparedImage, plan: PatchPlan, rng: np.random.Generator) -> Patch:
    angle, scale = rng.uniform(-math.pi / 4, math.pi / 4), math.exp(rng.uniform(math.log(0.8), math.log(1.25)))
    matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / scale
    target = np.array(plan.size)
    source = np.ceil(np.abs(matrix) @ target).astype(int) + 2
    size = int(source[0]), int(source[1])
    # of the larger piece, the corners are cut off: what is within this margin stays in the turned one
    inside = min(plan.size) / scale / (math.cos(angle) + abs(math.sin(angle)))
    top, left = (min((side - 1) // 2, math.ceil((side - inside) / 2)) for side in size)
    patch = cut(prepared, _draw_corner(prepared, size, (top, left), rng.random() < plan.foreground, rng), size)
    offset = (source - 1) / 2 - matrix @ ((target - 1) / 2)
    how: dict[str, Any] = {"matrix": matrix, "offset": offset, "output_shape": plan.size, "mode": "nearest"}
    image = np.stack([affine_transform(plane, order=1, **how) for plane in patch.image])
    return Patch(image, affine_transform(patch.labels, order=0, **how))
