"""What do images bring of which only half the objects are annotated?

``DATA`` is a folder that holds ``dsb2018`` with its annotation folders::

    python benchmarks/partial.py DATA
    python benchmarks/partial.py DATA --cases stardist --seeds 1
    python benchmarks/partial.py --table

Of each image, half the objects are annotated: those nearest to one that is drawn at random. What is nearer to one of
these than to any other object, and no farther from it than a typical diameter, was painted as the annotated part. Three
trainings, each from scratch and equally long:

- ``partial``: on these images, as `Export` writes them.
- ``crops``: on as many objects in crops of the same images in which every object is annotated; the crop of each image
  is the one of many random ones whose number of objects comes closest.
- ``background``: on the same annotations as ``partial``, with all the rest taken for background.

The test images are scored once, at the end, and choose nothing. Each result is kept in a file, a line of JSON each;
what is there already is not computed again, so that a benchmark that was ended goes on.
"""

import argparse
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from common import Results, draw_images, missing, parsed, parts_parser, scores_of_model, show_table, told, train_ours
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.objects import find_objects
from napari_seg_trainer.annotations.region import within
from napari_seg_trainer.library.library import ModelLibrary

CASES = ("stardist", "cellpose")
SIDES = ("partial", "crops", "background")
NAME, IMAGES, TRIES, LEAST = "partial", 24, 300, 4
FOLDER = "dsb2018/annotations_nuclei"
MINUTES = {"stardist": 3.0, "cellpose": 5.0}
SCORE = "ap50"
LOSS = 0.02
"""By how much, in AP, half the objects of an image may be worse than as many in whole crops."""


def main() -> None:
    """Compute what is missing, and print a table."""
    parser = parts_parser(__doc__, NAME, CASES, SIDES)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    options = parsed(parser)
    results = Results(options.results)
    for case, side, seed in missing(options, results):
        add(case, side, seed, options, results)
    show(options, results)


def add(case: str, side: str, seed: int, options: argparse.Namespace, results: Results) -> None:
    """Compute a result, write it down and print it."""
    home = Path(mkdtemp(prefix="partial-"))
    os.environ["NAPARI_SEG_TRAINER_HOME"] = str(home / "home")
    pairs = AnnotationFolder.open(options.data / f"{FOLDER}_train").pairs
    rng, objects = np.random.default_rng(seed), 0
    for pair in draw_images([pair for pair in pairs if _objects(pair.read()) >= LEAST], IMAGES, seed):
        whole = pair.read()
        labels = half(whole.labels, rng)
        wanted = len(np.unique(labels[labels > 0]))
        if side == "crops":
            image = crop(whole, wanted, np.random.default_rng((seed, wanted)))
        else:
            image = replace(whole, labels=labels if side == "partial" else np.maximum(labels, 0))
        objects += _objects(image)
        image.write(home / "annotations")
    fields = {"data": (home / "annotations",), "seed": seed, "hyperparameters": {"minutes": MINUTES[case]}}
    _, times = train_ours(home / "home", NAME, case, **fields)
    model = ModelLibrary().get(NAME)
    found = {"objects": objects, **times, **told(scores_of_model(model, options.data / f"{FOLDER}_test"))}
    results.add(case, side, seed, found | {"epochs": model.card.epochs, "verdict": model.card.verdict})
    sys.stdout.write(f"{case}, {side}, seed {seed}: {objects} objects, AP50 {found['scores'][SCORE]:.3f}\n")
    sys.stdout.flush()
    shutil.rmtree(home, ignore_errors=True)


def half(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Return half the objects of labels (YX), which lie together; what is not near one of them is -1."""
    objects = find_objects(labels)
    count = len(objects.labels)
    centres = np.array([objects.position(number) for number in range(1, count + 1)])
    away = np.linalg.norm(centres - centres[rng.integers(count)], axis=1)
    chosen = np.isin(objects.image, 1 + np.argsort(away)[: (count + 1) // 2])
    others = (objects.image > 0) & ~chosen
    near, far = (
        ndimage.distance_transform_edt(~mask) if mask.any() else np.full(labels.shape, np.inf)
        for mask in (chosen, others)
    )
    painted = (near < far) & (near <= 2 * np.sqrt(objects.median_area / np.pi))
    return within(np.where(chosen, objects.image, 0), painted & ~others)


def crop(whole: AnnotatedImage, wanted: int, rng: np.random.Generator) -> AnnotatedImage:
    """Return the crop of an image, of many random ones, whose number of objects comes closest to the one wanted."""
    best, nearest = (slice(None), slice(None)), abs(_objects(whole) - wanted)
    for _ in range(TRIES):
        window = []
        for side in whole.labels.shape:
            length = round(side * float(rng.uniform(0.4, 0.95)))
            start = int(rng.integers(0, side - length + 1))
            window.append(slice(start, start + length))
        count = len(np.unique(whole.labels[tuple(window)])) - 1
        if abs(count - wanted) < nearest:
            best, nearest = (window[0], window[1]), abs(count - wanted)
    return replace(whole, image=whole.image[(slice(None), *best)], labels=whole.labels[best])


def _objects(image: AnnotatedImage) -> int:
    return int(np.count_nonzero(np.unique(image.labels) > 0))


def show(options: argparse.Namespace, results: Results) -> None:
    """Print the scores of each side, and by how much ``partial`` is ahead of the others, in the mean of the seeds."""
    rows = []
    for case in options.cases:
        found = {side: results.by_seed(case, side) for side in SIDES}
        values = {side: [one["scores"][SCORE] for one in found[side].values()] for side in SIDES}
        cells = [
            f"{np.mean(each):.3f} ({min(each):.3f} to {max(each):.3f})" if each else "" for each in values.values()
        ]
        ahead = [_ahead(found, other) for other in SIDES[1:]]
        rows.append([case, str(len(values["partial"])), *cells, *ahead])
    wanted = (f"minus crops (at least -{LOSS:g})", "minus background (clearly above 0)")
    show_table(["engine", "seeds", *SIDES, *(f"partial {words}" for words in wanted)], rows)


def told_of(values: list[float], how: str = ".3f") -> str:
    """Return the mean of values, and the lowest and the highest of them."""
    return f"{np.mean(values):{how}} ({min(values):{how}} to {max(values):{how}})" if values else ""


def _ahead(found: dict[str, dict[int, dict[str, Any]]], other: str) -> str:
    gains = [
        one["scores"][SCORE] - found[other][seed]["scores"][SCORE]
        for seed, one in found["partial"].items()
        if seed in found[other]
    ]
    return told_of(gains, "+.3f")


if __name__ == "__main__":
    main()
