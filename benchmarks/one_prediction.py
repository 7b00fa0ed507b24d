"""One side of `prediction.py`, in a process of its own: it segments the image that each line of stdin names.

It answers with one JSON object a line: the seconds it took, and the number of objects. The first time counts from
before anything of the side is imported.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Segment = Callable[[NDArray[Any]], NDArray[np.int32]]
TILE = 1024


def main() -> None:
    """Segment until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("images", type=Path, nargs="+", help=".npy files; their stems are the names")
    options = parser.parse_args()
    images = {path.stem: np.load(path) for path in options.images}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the frameworks print is no answer
    segment: Segment | None = None
    for line in sys.stdin:
        began = time.perf_counter()
        segment = segment or SIDES[options.side](options.model)
        labels = segment(images[line.strip()])
        answer = {"seconds": time.perf_counter() - began, "objects": int(labels.max())}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def plain(folder: Path) -> Segment:
    """Plain StarDist; images over 1024 pixels in tiles of that size."""
    from csbdeep.utils import normalize
    from stardist.models import StarDist2D

    model = StarDist2D(None, name=folder.name, basedir=str(folder.parent))

    def segment(image: NDArray[Any]) -> NDArray[np.int32]:
        tiles = tuple(-(-length // TILE) for length in image.shape)
        return model.predict_instances(normalize(image, 1, 99.8), n_tiles=tiles, show_tile_progress=False)[0]

    return segment


def segmenter(folder: Path) -> Segment:
    """This project, in this process."""
    from napari_seg_trainer.library.pretrained import open_model
    from napari_seg_trainer.segmentation.request import SegmentRequest
    from napari_seg_trainer.segmentation.segment import Segmenter

    segmenter = Segmenter(open_model(folder))
    return lambda image: segmenter.segment(image[np.newaxis], SegmentRequest(["channel 0"]))


def service(folder: Path) -> Segment:
    """This project, in its prediction process."""
    from napari_seg_trainer.library.pretrained import open_model
    from napari_seg_trainer.segmentation.request import SegmentRequest
    from napari_seg_trainer.segmentation.service import SegmentationService

    service, model = SegmentationService(), open_model(folder)
    return lambda image: service.segment(model, image[np.newaxis], SegmentRequest(["channel 0"]))


SIDES: dict[str, Callable[[Path], Segment]] = {"plain": plain, "segmenter": segmenter, "service": service}

if __name__ == "__main__":
    main()
