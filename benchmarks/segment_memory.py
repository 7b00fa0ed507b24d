"""How much memory does segmenting an image file take, apart from what the network itself takes?

A uint16 image is segmented with a model of the example engine. What that allocates while it computes does not count,
but its labels do. Allocations are as Python's tracemalloc tells them.

    python benchmarks/segment_memory.py --side 4096
"""

import argparse
import json
import os
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from common import machine
from example_engine import make_known
from numpy.typing import NDArray

CELL, EVERY = 9, 64
"""Radius of a cell, and one in so many pixels."""


class Peak:
    """The highest amount of memory that was held outside of the network."""

    def __init__(self) -> None:
        self.highest = 0

    def around(self, predict: Callable[..., NDArray[np.int32]]) -> Callable[..., NDArray[np.int32]]:
        """Return a prediction whose own memory does not count."""

        def measured(*arguments: Any) -> NDArray[np.int32]:
            self.look()
            labels = predict(*arguments)
            tracemalloc.reset_peak()
            return labels

        return measured

    def look(self) -> None:
        """Take note of the highest amount since the last look."""
        self.highest = max(self.highest, tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()


def write_image(path: Path, side: int) -> int:
    """Write a noisy image of round cells, and return its size in bytes."""
    rng = np.random.default_rng(0)
    image = rng.integers(100, 200, (side, side), np.uint16)
    rows, columns = np.mgrid[-CELL : CELL + 1, -CELL : CELL + 1]
    cell = (rows**2 + columns**2 <= CELL**2) * np.uint16(1000)
    for y in range(EVERY // 2, side - EVERY // 2, EVERY):
        for x in range(EVERY // 2, side - EVERY // 2, EVERY):
            image[y - CELL : y + CELL + 1, x - CELL : x + CELL + 1] += cell
    tifffile.imwrite(path, image, compression="zlib", metadata={"axes": "YX"})
    return image.nbytes


def train(folder: Path) -> Any:
    """Train a model of the example engine on small images of the same kind."""
    from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
    from napari_seg_trainer.api import make_job
    from napari_seg_trainer.library.library import ModelLibrary
    from napari_seg_trainer.runs.run import Run
    from napari_seg_trainer.runs.trainer import train_run
    from napari_seg_trainer.testing.discs import disc_image

    for seed in range(4):
        prepared = disc_image((96, 96), 1, seed)
        pixels = np.clip(prepared.image * 1000, 0, 65_535).astype(np.uint16)
        AnnotatedImage(pixels, prepared.labels, ("channel 0",), f"image_{seed}").write(folder)
    job = make_job(name="cells", engine="threshold", data=[folder], hyperparameters={"epochs": 2})
    train_run(Run.create(job))
    return ModelLibrary().get("cells")


def main() -> None:
    """Measure, and print a line or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096, help="pixels along each side of the image")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    make_known()
    with tempfile.TemporaryDirectory() as place:
        os.environ["NAPARI_SEG_TRAINER_HOME"] = str(Path(place) / "home")
        peak, size, objects = _measure(Path(place), options.side)
    factor = peak / size
    result = 4 / 2  # int32 labels of a uint16 image
    if options.json:
        told = {"side": options.side, "image_bytes": size, "peak_bytes": peak, "objects": objects, "times": factor}
        print(json.dumps({"machine": machine(), **told}))
    else:
        print(
            f"{options.side} × {options.side}, uint16, {size / 1e6:.0f} MB, {objects} objects: at most "
            f"{peak / 1e6:.0f} MB, {factor:.2f} times the image, of which the labels {result:.0f}"
        )


def _measure(place: Path, side: int) -> tuple[int, int, int]:
    from threshold_engine.engine import Threshold

    from napari_seg_trainer.segmentation.files import segment_files

    model = train(place / "annotations")
    size = write_image(place / "image.tif", side)
    peak = Peak()
    Threshold.predict = peak.around(Threshold.predict)  # type: ignore[method-assign]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    segmented = list(segment_files(model, [place / "image.tif"], place / "labels"))
    peak.look()
    tracemalloc.stop()
    return peak.highest - before, size, segmented[0].objects


if __name__ == "__main__":
    main()
