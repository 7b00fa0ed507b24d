"""Time to segment an image of 512 × 512 pixels and one of 4096 × 4096, against plain `StarDist2D.predict_instances`.

Plain StarDist, a `Segmenter` and the warm process of a `SegmentationService`, each started afresh, segment the same
image in turn with the same StarDist model, so that a change in the machine's load meets all of them. The first time of
the small image counts from before the imports::

    python benchmarks/prediction.py [--model MODEL]

Without a model, one is trained on the built-in images first.
"""

import argparse
import itertools
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import HERE, machine, train_ours
from numpy.typing import NDArray

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import open_folders
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.pretrained import open_model

SIDES = ("plain", "segmenter", "service")
SIZES = {"small": 512, "large": 4096}
TIMES = {"small": 16, "large": 4}


def main() -> None:
    """Run all sides and print their ratios."""
    options = parse()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = open_model(options.model).folder if options.model else train(folder, options.epochs)
        for name, side in SIZES.items():
            np.save(folder / f"{name}.npy", mosaic(side))
        rounds = [run_round(number, model, folder) for number in range(options.rounds)]
    result = {"machine": machine(), "rounds": rounds, "medians": summarize(rounds)}
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        show(result)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="StarDist model of one channel: a name in the library, or a model folder")
    parser.add_argument("--epochs", type=int, default=15, help="of the model that is trained where none is given")
    parser.add_argument("--rounds", type=int, default=3, help="how often all sides are started")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def train(home: Path, epochs: int) -> Path:
    """Train a model on the built-in images, and return its folder."""
    train, validation = builtin_folder("nuclei_dsb2018", "train"), builtin_folder("nuclei_dsb2018", "test")
    hyperparameters = {"epochs": epochs, "batch_size": 4, "augmentation": 4.0, "patch_size": 128, "grid": 2}
    train_ours(home, "prediction", data=(train,), validation_data=(validation,), hyperparameters=hyperparameters)
    return ModelLibrary().get("prediction").folder


def mosaic(side: int) -> NDArray[np.uint16]:
    """Return an image of the built-in ones, each mirrored to fill squares of 512 pixels."""
    pairs = list(open_folders([builtin_folder("nuclei_dsb2018", "test")]))
    pieces = [pair.read().image[0] for pair in pairs]
    squares = [np.pad(piece, [(0, max(0, 512 - length)) for length in piece.shape], "symmetric") for piece in pieces]
    count = side // 512
    rows = [[squares[(y * count + x) % len(squares)][:512, :512] for x in range(count)] for y in range(count)]
    return np.block(rows).astype(np.uint16)


def run_round(number: int, model: Path, folder: Path) -> dict[str, Any]:
    """Start all sides, and return the answers of each for each image, the first one first."""
    answers: dict[str, Any] = {side: {name: [] for name in SIZES} for side in SIDES}
    with ExitStack() as stack:
        processes = {side: stack.enter_context(start(side, model, folder)) for side in SIDES}
        for name, times in TIMES.items():
            for i in range(times):
                first = (number + i) % len(SIDES)
                for side in SIDES[first:] + SIDES[:first]:
                    answers[side][name].append(ask(processes[side], name))
        for process in processes.values():
            process.stdin.close()
    return answers


def start(side: str, model: Path, folder: Path) -> subprocess.Popen[str]:
    """Start one side; it imports nothing of its own yet."""
    images = [str(folder / f"{name}.npy") for name in SIZES]
    command = [sys.executable, str(HERE / "one_prediction.py"), side, str(model), *images]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


def ask(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """Have a side segment an image."""
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def summarize(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each side's median seconds, and the median of its ratios to plain StarDist's time of the same turn."""
    whens = {"first": slice(1), "next": slice(1, None)}
    summary: dict[str, Any] = {side: {} for side in SIDES}
    for side, name, when in itertools.product(SIDES, SIZES, whens):
        own, plain = (
            [answer["seconds"] for each in rounds for answer in each[who][name][whens[when]]] for who in (side, "plain")
        )
        ratios = [a / b for a, b in zip(own, plain, strict=True)]
        summary[side][f"{name} {when}"] = {"seconds": median(own), "ratio": median(ratios)}
    return summary


def show(result: dict[str, Any]) -> None:
    """Print a table."""
    sys.stdout.write(f"{result['machine']}\n")
    for side, times in result["medians"].items():
        objects = [result["rounds"][0][side][name][0]["objects"] for name in SIZES]
        cells = [f"{what} {time['seconds']:.3f} s ({time['ratio']:.2f}×)" for what, time in times.items()]
        sys.stdout.write(f"{side}: {', '.join(cells)}; {objects[0]} and {objects[1]} objects\n")


if __name__ == "__main__":
    main()
