"""Train plain StarDist on two annotation folders: the peer of the StarDist benchmarks, in a process of its own.

It uses `StarDist2D.train` as StarDist's own examples do (flips, right-angle rotations, intensity changes), prints one
JSON object with the seconds that `train` took, and with ``--test`` the scores on a third folder, or with ``--output``
as well the labels that it finds there. What is not given is StarDist's default; ``--seconds`` ends the training in the
middle of an epoch, which then counts as one.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import first_that_has
from csbdeep.utils import normalize
from keras.callbacks import Callback
from numpy.typing import NDArray
from stardist.matching import matching_dataset
from stardist.models import Config2D, StarDist2D

from napari_seg_trainer.annotations.folder import open_folders

Images = list[NDArray[Any]]
SIDE = 256
DIVISIBLE = 8
"""Patches of StarDist's default, in pixels, and by what times the grid its network needs them divisible."""


def main() -> None:
    """Train, and score where a test folder is given."""
    options = parse()
    images, labels = read(options.data)
    validation = read([options.validation])
    with TemporaryDirectory() as folder:
        model = StarDist2D(make_config(options, [*images, *validation[0]]), name="plain", basedir=folder)
        np.random.seed(options.seed)
        if options.kept or options.seconds:
            model.prepare_for_training()
        if options.kept:
            model.callbacks.append(KeepEpochs(options.kept))
        if options.seconds:
            model.callbacks.append(StopAfter(options.seconds))
        began = time.perf_counter()
        model.train(images, labels, validation_data=validation, augmenter=augment, seed=options.seed)
        result: dict[str, Any] = {"train_seconds": time.perf_counter() - began}
        result["steps"] = int(model.keras_model.optimizer.iterations)
        if options.test:
            model.load_weights("weights_best.h5")
            model.optimize_thresholds(*validation, optimize_kwargs={"verbose": 0})
            finished = time.perf_counter()
            test = read([options.test])
            if options.output:
                write_labels(model, options.test, test[0], options.output)
            else:
                result["scores"] = score(model, *test)
            result["aside_seconds"] = time.perf_counter() - finished
            if options.kept:
                reached = first_that_has(options.until, options.kept, lambda path: ap50_of(model, path, *test))
                result["seconds_until"] = reached
    sys.stdout.write("\n" + json.dumps(result) + "\n")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--output", type=Path, help="folder for the labels of the test images, in place of scores")
    parser.add_argument("--until", type=float, help="AP50 on the test images; with it, --kept")
    parser.add_argument("--kept", type=Path, help="folder for the weights of all epochs")
    parser.add_argument("--seconds", type=float, help="end the training after these")
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--steps", type=int, default=100, help="steps an epoch")
    parser.add_argument("--patch", type=int, help=f"{SIDE}, or what the smallest image has, if not given")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--grid", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def make_config(options: argparse.Namespace, images: Images) -> Config2D:
    """Return StarDist's defaults but for what the benchmark fixes."""
    patch = options.patch or usual_patch(images, options.grid)
    return Config2D(
        n_rays=32,
        n_channel_in=1 if images[0].ndim == 2 else images[0].shape[-1],
        grid=(options.grid, options.grid),
        train_patch_size=(patch, patch),
        train_batch_size=options.batch,
        train_epochs=options.epochs,
        train_steps_per_epoch=options.steps,
        train_tensorboard=False,
    )


def usual_patch(images: Images, grid: int) -> int:
    """Return the side of the default patches, or what fits into the smallest image."""
    smallest = min(min(image.shape[:2]) for image in images)
    return min(SIDE, smallest) // (DIVISIBLE * grid) * DIVISIBLE * grid


class StopAfter(Callback):
    """Ends the training once the seconds are over, counted from its first step."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds, self._began = seconds, 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        """Take the time."""
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """End the epoch here, which is validated as any other, and the training with it."""
        if time.perf_counter() - self._began >= self._seconds:
            self.model.stop_training = True


class KeepEpochs(Callback):
    """Keeps the weights that each epoch ended with, in a file that is called after the seconds since the first step."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir(parents=True)
        self._folder, self._began = folder, 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Take the time of the first one."""
        self._began = self._began or time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the weights."""
        self.model.save_weights(self._folder / f"{time.perf_counter() - self._began:09.2f}.weights.h5")


def read(folders: Sequence[Path]) -> tuple[Images, Images]:
    """Return normalized images, YX or YXC, and labels, YX; each channel is normalized by itself."""
    annotated = [pair.read() for pair in open_folders(folders)]
    images = [each.image[0] if len(each.image) == 1 else np.moveaxis(each.image, 0, -1) for each in annotated]
    return [normalize(image, 1, 99.8, axis=(0, 1)) for image in images], [each.labels for each in annotated]


def augment(image: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Turn, mirror and change the brightness."""
    turns, mirror = np.random.randint(4), np.random.rand() < 0.5
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if mirror:
        image, labels = image[:, ::-1], labels[:, ::-1]
    return image * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2), labels


def ap50_of(model: StarDist2D, weights: Path, images: Images, labels: Images) -> float:
    """Return the pooled AP at IoU 0.5 with the weights of an epoch."""
    model.keras_model.load_weights(weights)
    return score(model, images, labels)["ap50"]


def write_labels(model: StarDist2D, folder: Path, images: Images, output: Path) -> None:
    """Write what the model finds in the images of a folder."""
    output.mkdir(parents=True)
    for pair, image in zip(open_folders([folder]), images, strict=True):
        np.save(output / f"{pair.stem}.npy", model.predict_instances(image, show_tile_progress=False)[0])


def score(model: StarDist2D, images: Images, labels: Images) -> dict[str, float]:
    """Return the pooled AP at IoU 0.5, 0.7 and 0.9."""
    found = [model.predict_instances(image, show_tile_progress=False)[0] for image in images]
    results = matching_dataset(labels, found, thresh=(0.5, 0.7, 0.9), show_progress=False)
    return {f"ap{round(100 * each.thresh)}": float(each.accuracy) for each in results}


if __name__ == "__main__":
    main()
