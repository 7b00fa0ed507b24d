"""Make the pictures of what each engine finds, which *Which?* in the training form shows.

Each engine is trained with the form's defaults on the built-in images, and segments one of the built-in test images. It
takes about ten minutes without a GPU::

    python scripts/engine_pictures.py
"""

import os
import sys
import tempfile
from pathlib import Path

HOME = tempfile.TemporaryDirectory()
os.environ["NAPARI_SEG_TRAINER_HOME"] = HOME.name

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage

from napari_seg_trainer import segment, train
from napari_seg_trainer.annotations.builtin import builtin_folder

ROOMS = Path(__file__).parents[1] / "src" / "napari_seg_trainer" / "engines"
DATASET = "nuclei_dsb2018"
ENGINES = {"stardist": {}, "cellpose": {"minutes": 6}}
CROP, ENLARGED = (110, 160), 3
COLOURS = 64
OUTLINE = (230, 159, 0)


def main() -> None:
    path, top, left = busiest()
    image = tifffile.imread(path)
    for engine, length in ENGINES.items():
        train((), name=engine, engine=engine, builtin=(DATASET,), **length)
        labels = segment(engine, image)
        picture = outlined(
            np.squeeze(image)[top:, left:][: CROP[0], : CROP[1]], labels[top:, left:][: CROP[0], : CROP[1]]
        )
        file = ROOMS / engine / "found.png"
        Image.fromarray(picture).quantize(COLOURS).save(file, optimize=True)
        sys.stdout.write(f"{file.name}: {file.stat().st_size / 1000:.0f} kB\n")


def busiest() -> tuple[Path, int, int]:
    """Return the test image, and the place in it, with the most annotated objects in a crop."""
    best, found = -1, None
    for path in sorted(builtin_folder(DATASET, "test").glob("*.tif")):
        mask = path.with_name(f"{path.stem}_labelled.tif")
        if not mask.is_file():
            continue
        labels = np.squeeze(tifffile.imread(mask))
        for top in range(0, max(1, labels.shape[0] - CROP[0]), 20):
            for left in range(0, max(1, labels.shape[1] - CROP[1]), 20):
                count = len(np.unique(labels[top : top + CROP[0], left : left + CROP[1]]))
                if count > best:
                    best, found = count, (path, top, left)
    assert found is not None, "there are test images"
    return found


def outlined(plane: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return an enlarged picture (YXC) with a line around each object."""
    low, high = np.percentile(plane, (1, 99.8))
    grey = np.clip((plane - low) / (high - low), 0, 1) * 255
    large = ndimage.zoom(grey, ENLARGED, order=1)
    numbers = labels.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
    smooth = np.zeros_like(numbers)
    for number in np.unique(numbers[numbers > 0]):  # pixels become a curve
        smooth[ndimage.gaussian_filter((numbers == number).astype(np.float32), ENLARGED) > 0.5] = number
    edge = (ndimage.maximum_filter(smooth, 3) != smooth) | (ndimage.minimum_filter(smooth, 3) != smooth)
    picture = np.repeat(large[: edge.shape[0], : edge.shape[1], None], 3, axis=2)
    picture[edge[: large.shape[0], : large.shape[1]]] = OUTLINE
    return picture.astype(np.uint8)


if __name__ == "__main__":
    main()
