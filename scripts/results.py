"""Make the README's pictures and table of results: three kinds of images, and one that is made up.

DATA is a folder that holds ``dsb2018`` and ``bacteria`` with their annotation folders, MODELS what the benchmark of the
defaults has trained. The model for cells is trained here, for the minutes given, as the images are made up here, too.
The test images are scored once, and the picture is of the one in the middle::

    python benchmarks/defaults.py DATA --cases nuclei-24,histology-24,bacteria-3 --sides stardist,cellpose --keep MODELS
    python scripts/results.py DATA MODELS
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOME = tempfile.TemporaryDirectory()
os.environ["NAPARI_SEG_TRAINER_HOME"] = HOME.name
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import numpy as np
from cellpose_two_channels import write_cells
from defaults import CASES
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_seg_trainer import evaluate, segment, train
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.library.archive import SUFFIX, import_model
from napari_seg_trainer.library.library import ModelLibrary

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIDE, SHOWN = 200, 400
"""Pixels of an image's crop, and of the picture."""
DRAWN, FOUND = (86, 180, 233), (230, 159, 0)


@dataclass(frozen=True)
class Kind:
    """A kind of images: what it is called, the engine, and the benchmark's case, or what makes its images."""

    title: str
    engine: str
    case: str = ""
    make: Callable[[Path, str], Path] | None = None


ENGINES = {"stardist": "StarDist", "cellpose": "Cellpose"}
CHANNELS = ({"name": "cytoplasm"}, {"name": "nuclei"})
KINDS = {
    "nuclei": Kind("Fluorescent nuclei", "stardist", "nuclei-24"),
    "histology": Kind("Nuclei in stained tissue, in colour", "stardist", "histology-24"),
    "bacteria": Kind("Bacteria, phase contrast", "cellpose", "bacteria-3"),
    "cells": Kind("Cells with a channel of nuclei (simulated around real nuclei)", "cellpose", make=write_cells),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    rows = [f"| {row}" for row in ("images | engine | training images | AP at IoU 0.5 | 0.7 |", "--- | " * 5)]
    for name in options.kinds.split(","):
        rows.append(result(name, KINDS[name], options))
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()
    sys.stdout.write("\n".join(rows) + "\n")


def result(name: str, kind: Kind, options: argparse.Namespace) -> str:
    """Train or import the model, score it, make the picture, and return the row of the table."""
    if kind.make:
        made = {part: kind.make(Path(HOME.name) / f"annotations_{name}_{part}", part) for part in ("train", "test")}
        train(made["train"], name=name, engine=kind.engine, minutes=options.minutes, channels=CHANNELS)
        images, test = len(AnnotationFolder.open(made["train"]).pairs), made["test"]
    else:
        import_model(options.models / f"{kind.case}-{kind.engine}{SUFFIX}", ModelLibrary(), name=name)
        images, test = CASES[kind.case].images, options.data / f"{CASES[kind.case].folder}_test"
    scores = evaluate(name, test)
    ranked = sorted(scores.images, key=lambda image: image.half.ap)
    middle = ranked[len(ranked) // 2].image.rpartition("/")[2]
    pair = next(pair for pair in AnnotationFolder.open(test) if pair.stem == middle)
    picture(pair.read(), name).save(IMAGES / f"result-{name}.png", optimize=True)
    aps = " | ".join(f"{scores.pooled[key]:.2f}" for key in ("ap50", "ap70"))
    return f"| {kind.title} | {ENGINES[kind.engine]} | {images} | {aps} |"


def picture(annotated: Any, model: str) -> Image.Image:
    """Return the middle of an image, with what was drawn in blue and what the model finds in orange."""
    found = segment(model, annotated.image, channels=annotated.channels, pixel_size=annotated.pixel_size)
    height, width = annotated.labels.shape
    top, left = max(0, (height - SIDE) // 2), max(0, (width - SIDE) // 2)
    window = slice(top, top + SIDE), slice(left, left + SIDE)
    planes = annotated.image[(slice(None), *window)].astype(np.float32)
    low, high = (np.percentile(planes, at, axis=(1, 2), keepdims=True) for at in (1, 99.8))
    scaled = np.clip((planes - low) / np.maximum(high - low, 1e-6), 0, 1)
    colour = scaled if len(scaled) == 3 else np.repeat(scaled[:1], 3, axis=0)
    enlarged = max(1, round(SHOWN / scaled.shape[-1]))
    shown = Image.fromarray((colour.transpose(1, 2, 0) * 255).astype(np.uint8))
    shown = shown.resize((shown.width * enlarged, shown.height * enlarged), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(shown)
    for labels, line in ((annotated.labels[window], DRAWN), (found[window], FOUND)):
        for y, x in np.argwhere(edges(labels, enlarged)):
            draw.point((int(x), int(y)), fill=line)
    return shown.quantize(128)


def edges(labels: np.ndarray, enlarged: int) -> np.ndarray:
    """Return where the enlarged labels have an outline, rounded."""
    large = np.zeros((labels.shape[0] * enlarged, labels.shape[1] * enlarged), np.int32)
    for number in np.unique(labels[labels > 0]):
        mask = np.kron(labels == number, np.ones((enlarged, enlarged), bool))
        large[ndimage.gaussian_filter(mask.astype(np.float32), enlarged) > 0.5] = number
    return (ndimage.maximum_filter(large, 3) != large) | (ndimage.minimum_filter(large, 3) != large)


if __name__ == "__main__":
    main()
