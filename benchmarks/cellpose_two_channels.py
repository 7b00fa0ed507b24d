"""Does a channel of nuclei help Cellpose to segment cells?

Around the real nuclei of the built-in images, cells are made up: each nucleus gets a rim of cytoplasm. Where cells
touch, the channel of cytoplasm shows no border between them; the nuclei tell how many there are. Two models are trained
from scratch, one with the cytoplasm alone, one with both channels, and scored on images that neither has seen::

    python benchmarks/cellpose_two_channels.py
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from common import machine, train_ours
from scipy.ndimage import gaussian_filter
from skimage.segmentation import expand_labels

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.api import evaluate
from napari_seg_trainer.library.library import ModelLibrary

CHANNELS = ("cytoplasm", "nuclei")
RIM = 0.4
"""Width of the rim, of a typical nucleus's diameter."""


def main() -> None:
    """Make the images, train twice, score both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    home = Path(mkdtemp(prefix="two-channels-"))
    train, test = (write_cells(home / f"annotations_cells_{part}", part) for part in ("train", "test"))
    result = {"machine": machine(), "epochs": options.epochs}
    for channels in (CHANNELS[:1], CHANNELS):
        name = "-and-".join(channels)
        train_ours(
            home / "home",
            name,
            "cellpose",
            data=(train,),
            channels=[{"name": channel} for channel in channels],
            seed=options.seed,
            hyperparameters={"epochs": options.epochs, "batch_size": 8, "augmentation": 4.0, "patch_size": 128},
        )
        scores = evaluate(ModelLibrary().get(name), test).pooled
        result[name] = {key: scores[key] for key in ("ap50", "ap70", "ap90")}
        told = ", ".join(f"{key.upper()} {value:.3f}" for key, value in result[name].items())
        sys.stdout.write(f"{' and '.join(channels)}: {told}\n")
        sys.stdout.flush()
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")


def write_cells(folder: Path, part: str) -> Path:
    """Write cells around the nuclei of the built-in images, and return their folder."""
    for number, pair in enumerate(AnnotationFolder.open(builtin_folder("nuclei_dsb2018", part))):
        nuclei = pair.read()
        diameter = np.median(np.sqrt(np.bincount(nuclei.labels.ravel())[1:] * 4 / np.pi))
        cells = expand_labels(nuclei.labels, RIM * diameter)
        image = np.stack([cytoplasm(cells, number), nuclei.image[0].astype(np.float32)])
        AnnotatedImage(image.astype(np.float32), cells, CHANNELS, pair.stem).write(folder)
    return folder


def cytoplasm(cells: np.ndarray, seed: int) -> np.ndarray:
    """Return an image (YX) that is bright and grainy wherever there is a cell, whichever one it is."""
    rng = np.random.default_rng(seed)
    grain = gaussian_filter(rng.normal(0, 1, cells.shape), 2.0)
    inside = gaussian_filter((cells > 0).astype(np.float32), 1.0)
    return (100 + 400 * inside * (1 + 1.5 * grain) + rng.normal(0, 20, cells.shape)).clip(0)


if __name__ == "__main__":
    main()
