"""Samples a second of a training, and AP after as many epochs, against plain cellpose 3's `train_seg`.

``DATA`` is a folder with ``annotations_nuclei_train``, ``annotations_nuclei_val`` and ``annotations_nuclei_test``. Both
train from scratch in fresh processes, in turn::

    python benchmarks/cellpose_throughput.py DATA
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import mkdtemp

from common import AS_CELLPOSE, cellpose3, machine, plain_cellpose, scores_of, steps_of, train_ours

from napari_seg_trainer.api import evaluate
from napari_seg_trainer.library.library import ModelLibrary


def main() -> None:
    """Run both in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--cellpose3", type=Path, help="Python of an environment with cellpose 3; made if not given")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    python = cellpose3(options.cellpose3)
    home = Path(mkdtemp(prefix="cellpose-throughput-"))
    result = {"machine": machine(), "epochs": options.epochs, "ours": ours(options, home)}
    result["plain"] = plain(options, home, python)
    result["ratio"] = result["ours"]["samples_per_second"] / result["plain"]["samples_per_second"]
    result["ours in plain"] = scores_in_plain(options, home, python)
    sys.stdout.write((json.dumps(result) if options.json else told(result)) + "\n")


def told(result: dict) -> str:
    """Return the result for people."""
    lines = [str(result["machine"])]
    for who in ("ours", "plain"):
        side = result[who]
        aps = ", ".join(f"{name.upper()} {value:.3f}" for name, value in side["scores"].items())
        lines.append(f"{who}: {side['samples_per_second']:.2f} samples a second, {aps} after {result['epochs']} epochs")
    lines.append(f"ratio of samples a second: {result['ratio']:.2f}")
    aps = ", ".join(f"{name.upper()} {value:.3f}" for name, value in result["ours in plain"].items())
    lines.append(f"our weights, opened and used by plain cellpose 3: {aps}")
    return "\n".join(lines)


def ours(options: argparse.Namespace, home: Path) -> dict:
    """Train with this project, every sample once an epoch, as plain cellpose does."""
    train, validation, test = (options.data / f"annotations_nuclei_{part}" for part in ("train", "val", "test"))
    values = {"epochs": options.epochs, "batch_size": options.batch, "augmentation": 1.0}
    values |= AS_CELLPOSE | {"learning_rate": options.learning_rate}
    run, times = train_ours(
        home, "speed", "cellpose", data=(train,), validation_data=(validation,), hyperparameters=values
    )
    samples = steps_of(run) * options.batch * options.epochs
    scores = evaluate(ModelLibrary().get("speed"), test).pooled
    return times | {
        "samples_per_second": samples / times["train_seconds"],
        "scores": {name: scores[name] for name in ("ap50", "ap70", "ap90")},
    }


def plain(options: argparse.Namespace, home: Path, python: Path) -> dict:
    """Train with plain cellpose."""
    train, test = (options.data / f"annotations_nuclei_{part}" for part in ("train", "test"))
    arguments = ["--data", train, "--test", test, "--output", home / "plain", "--epochs", options.epochs]
    arguments += ["--batch", options.batch, "--learning-rate", options.learning_rate]
    found = plain_cellpose(python, list(map(str, arguments)))
    return found | {"scores": scores_of(home / "plain", test)}


def scores_in_plain(options: argparse.Namespace, home: Path, python: Path) -> dict[str, float]:
    """Segment with our weights in plain cellpose."""
    test = options.data / "annotations_nuclei_test"
    weights = ModelLibrary().get("speed").folder / "weights.pth"
    arguments = ["--weights", weights, "--test", test, "--output", home / "ours-in-plain"]
    plain_cellpose(python, list(map(str, arguments)))
    return scores_of(home / "ours-in-plain", test)


if __name__ == "__main__":
    main()
