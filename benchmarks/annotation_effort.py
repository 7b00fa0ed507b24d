"""Does it save annotations to follow the suggestions? AP against the number of annotated images, beside random choice.

For each seed a folder of unannotated images is drawn, a few of them are annotated and StarDist is trained on them.
Then, again and again, some more are annotated, once those that `suggest` names and once some at random, and the
model is trained again from what it was, for as many steps. All models are scored on the same test images, which choose
nothing; trainings are short, so that this takes less than an hour::

    python benchmarks/annotation_effort.py DATA --whole-images
    python benchmarks/annotation_effort.py DATA --add 6 --start 6
    python benchmarks/annotation_effort.py DATA --add 6 --starter

Regions of images are annotated unless ``--whole-images`` is given; random ones are as large. With ``--starter`` the
first model is the one that comes along, with nothing annotated, as people begin.

``DATA`` is a folder with the annotation folders ``annotations_nuclei_train``, ``_val`` and ``_test``.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from common import machine, train_ours

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder
from napari_seg_trainer.annotations.objects import find_objects
from napari_seg_trainer.api import evaluate, suggest
from napari_seg_trainer.cli.quiet import frameworks_logged
from napari_seg_trainer.library.pretrained import open_model
from napari_seg_trainer.segmentation.ranking import Window
from napari_seg_trainer.segmentation.regions import side_for, windows_of

SETTINGS: dict[str, Any] = {"batch_size": 8, "patch_size": 64, "grid": 2, "learning_rate": 1e-3}
STEPS, EPOCHS, MORE_EPOCHS = 30, 20, 8
"""Steps of an epoch, and epochs of the first training and of each later one."""
VALIDATE_EVERY = 4
SCORES = ("ap50", "ap70")
WAYS = ("suggested", "random")
STARTER = "nuclei_fluorescence"
Unit = tuple[str, Window | None]
"""What is annotated at once: an image, by its stem, or a region of it."""


def main() -> None:
    """Train, and print both curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=60, help="in the folder of unannotated images")
    parser.add_argument("--start", type=int, default=3, help="images or regions that are annotated first")
    parser.add_argument("--add", type=int, default=3, help="images or regions that are annotated in each round")
    parser.add_argument("--whole-images", action="store_true", help="annotate whole images, not regions")
    parser.add_argument("--starter", action="store_true", help=f"begin with {STARTER}, and nothing annotated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--test", default="annotations_nuclei_test", help="folder in DATA to score on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    curves: dict[str, list[list[dict[str, float]]]] = {way: [] for way in WAYS}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for way, curve in both_ways(seed, options).items():
            curves[way].append(curve)
    if options.json:
        sys.stdout.write(json.dumps({"machine": machine(), "curves": curves}) + "\n")
    else:
        show(curves, options)


def both_ways(seed: int, options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Return the scores after each round, for both ways of choosing; they begin with the same model."""
    home = Path(mkdtemp(prefix="annotation-effort-"))
    rng = np.random.default_rng(seed)
    pairs = list(AnnotationFolder.open(options.data / "annotations_nuclei_train"))
    pool = {pairs[place].stem: pairs[place] for place in rng.permutation(len(pairs))[: options.images]}
    validating = list(AnnotationFolder.open(options.data / "annotations_nuclei_val"))[::VALIDATE_EVERY]
    folders = {"validation": copy(validating, home / "annotations_validation")}
    folders["test"] = copy(list(AnnotationFolder.open(options.data / options.test)), home / "annotations_test")
    units = [unit for pair in pool.values() for unit in units_of(pair, options.whole_images)]
    order = [units[place] for place in rng.permutation(len(units))]
    first = [] if options.starter else order[: options.start]
    if options.starter:
        start, model = scores_of(STARTER, [], pool, folders), STARTER
    else:
        start, model = train(home, "start", first, pool, folders)
    curves = {}
    for way in WAYS:
        chosen, name = list(first), model
        curves[way] = [start]
        for number in range(1, options.rounds + 1):
            rest = [unit for unit in order if unit not in chosen]
            ranked = suggested(home, name, pool, rest, options.whole_images) if way == "suggested" else rest
            chosen += ranked[: options.add]
            scores, name = train(home, f"{way}-{number}", chosen, pool, folders, pretrained=name)
            curves[way].append(scores)
            told = ", ".join(f"{key} {value:.3f}" for key, value in scores.items())
            sys.stderr.write(f"seed {seed}, {way}: {told}\n")
    shutil.rmtree(home)
    return curves


def units_of(pair: AnnotatedPair, whole: bool) -> list[Unit]:
    """Return what may be annotated of an image: all of it, or regions as large as those that are suggested."""
    if whole:
        return [(pair.stem, None)]
    labels = pair.read().labels
    windows = windows_of(labels.shape, side_for(find_objects(labels).median_area))
    return [(pair.stem, window if len(windows) > 1 else None) for window in windows]


def suggested(home: Path, model: str, pool: dict[str, AnnotatedPair], rest: Sequence[Unit], whole: bool) -> list[Unit]:
    """Return what the model is least sure of first; it sees the images alone."""
    folder = home / "unannotated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for stem in dict.fromkeys(stem for stem, _ in rest):
        shutil.copy(pool[stem].image, folder)
        write_sidecar(pool[stem], folder)
    with frameworks_logged():
        return [(one.image.stem, one.window) for one in suggest(model, folder, regions=not whole)]


def train(
    home: Path,
    name: str,
    units: Sequence[Unit],
    pool: dict[str, AnnotatedPair],
    folders: dict[str, Path],
    pretrained: str | None = None,
) -> tuple[dict[str, float], str]:
    """Train on what is annotated, and return how good the model is, and its name."""
    folder = home / f"annotations_{name}"
    for unit in units:
        annotated(unit, pool).write(folder)
    settings = SETTINGS | {"epochs": MORE_EPOCHS if pretrained else EPOCHS}
    settings["augmentation"] = STEPS * settings["batch_size"] / len(units)
    if pretrained:
        del settings["grid"]  # it comes with the model
    fields = {"data": (folder,), "validation_data": (folders["validation"],), "hyperparameters": settings}
    train_ours(home, name, pretrained=pretrained, **fields)
    return scores_of(name, units, pool, folders), name


def scores_of(
    name: str, units: Sequence[Unit], pool: dict[str, AnnotatedPair], folders: dict[str, Path]
) -> dict[str, float]:
    """Return how good a model is, and how much is annotated."""
    with frameworks_logged():
        found = evaluate(open_model(name), folders["test"]).pooled
    objects = sum(int(np.count_nonzero(np.unique(annotated(unit, pool).labels))) for unit in units)
    return {"images": len(units), "objects": objects} | {key: found[key] for key in SCORES}


def annotated(unit: Unit, pool: dict[str, AnnotatedPair]) -> AnnotatedImage:
    """Return an image, or the region of it, as an export writes it."""
    stem, window = unit
    whole = pool[stem].read()
    if window is None:
        return whole
    name = f"{stem}_roi_{window.x0}_{window.x1}_{window.y0}_{window.y1}"
    image, labels = whole.image[(slice(None), *window.slices)], whole.labels[window.slices]
    return replace(whole, image=image, labels=labels, stem=name, field_of_view=stem)


def copy(pairs: Sequence[AnnotatedPair], folder: Path) -> Path:
    """Put annotated images into a folder."""
    folder.mkdir()
    for pair in pairs:
        for path in (pair.image, pair.labels):
            shutil.copy(path, folder)
        write_sidecar(pair, folder)
    return folder


def write_sidecar(pair: AnnotatedPair, folder: Path) -> None:
    """Say what the image's channels are."""
    (folder / f"{pair.stem}.json").write_text(json.dumps({"channels": pair.read().channels}), encoding="utf-8")


def show(curves: dict[str, list[list[dict[str, float]]]], options: argparse.Namespace) -> None:
    """Print the mean curves, where each reaches what random choice ends with, and in how many seeds it leads."""
    count = len(curves["random"])
    sys.stdout.write(f"Mean of {count} seed{'s'[: count > 1]}, on {options.test}\n")
    columns = "".join(f"{title:>9}" for title in ("AP50", "AP70", "objects"))
    sys.stdout.write(f"{'':6}" + "".join(f"{way:>27}" for way in WAYS) + f"\nimages{columns * len(WAYS)}\n")
    means = {way: {key: mean(curve, key) for key in ("images", "objects", *SCORES)} for way, curve in curves.items()}
    for place, images in enumerate(means["random"]["images"]):
        cells = "".join(
            f"{means[way]['ap50'][place]:9.3f}{means[way]['ap70'][place]:9.3f}{means[way]['objects'][place]:9.0f}"
            for way in WAYS
        )
        sys.stdout.write(f"{images:6.0f}{cells}\n")
    for key in SCORES:
        target = means["random"][key][-1]
        needed = " against ".join(f"{needed_for(target, means[way], key)} {way}" for way in WAYS)
        sys.stdout.write(f"{key} {target:.3f}: {needed}\n")
        for place, images in enumerate(means["random"]["images"][1:], 1):
            gains = [ours[place][key] - other[place][key] for ours, other in zip(*map(curves.get, WAYS), strict=True)]
            ahead = sum(gain > 0 for gain in gains)
            sys.stdout.write(
                f"  after {images:.0f} images suggested leads in {ahead}, by {np.mean(gains):+.3f} on the mean\n"
            )


def mean(curves: list[list[dict[str, float]]], key: str) -> list[float]:
    """Return the mean over the seeds after each round."""
    return np.mean([[point[key] for point in curve] for curve in curves], axis=0).tolist()


def needed_for(target: float, means: dict[str, list[float]], key: str) -> str:
    """Return at how many images and objects a mean curve reaches a score, between two rounds by a straight line."""
    reached = next((place for place, value in enumerate(means[key]) if value >= target), None)
    if reached is None:
        return f"more than {means['images'][-1]:.0f} images"
    before = max(reached - 1, 0)
    images, objects = (
        np.interp(target, means[key][before : reached + 1], means[what][before : reached + 1])
        for what in ("images", "objects")
    )
    return f"{images:.1f} images ({objects:.0f} objects)"


if __name__ == "__main__":
    main()
