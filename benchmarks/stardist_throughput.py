"""Wall time of a training, against plain `StarDist2D.train` on the same images, patches, steps and validation.

Both train in fresh processes, in turn, on the built-in images::

    python benchmarks/stardist_throughput.py
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import machine, steps_of, train_ours, train_plain

from napari_seg_trainer.annotations.builtin import builtin_folder


def main() -> None:
    """Run both in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="how often to run both")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--augmentation", type=float, default=4.0, help="samples an epoch, per image")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pairs = [run_pair(options) for _ in range(options.pairs)]
    ratios = [pair["ours"]["train_seconds"] / pair["plain"]["train_seconds"] for pair in pairs]
    result = {"machine": machine(), "pairs": pairs, "ratios": ratios, "median_ratio": statistics.median(ratios)}
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    sys.stdout.write(f"{result['machine']}\n")
    for pair, ratio in zip(pairs, ratios, strict=True):
        ours, plain = pair["ours"]["train_seconds"], pair["plain"]["train_seconds"]
        sys.stdout.write(f"{pair['steps']} steps: ours {ours:.1f} s, plain StarDist {plain:.1f} s, ratio {ratio:.2f}\n")
    sys.stdout.write(f"median ratio {result['median_ratio']:.2f}\n")


def run_pair(options: argparse.Namespace) -> dict[str, Any]:
    """Train once with each."""
    train, validation = builtin_folder("nuclei_dsb2018", "train"), builtin_folder("nuclei_dsb2018", "test")
    with TemporaryDirectory() as home:
        run, ours = train_ours(
            Path(home),
            "throughput",
            data=(train,),
            validation_data=(validation,),
            hyperparameters={
                "epochs": options.epochs,
                "batch_size": options.batch,
                "augmentation": options.augmentation,
                "patch_size": options.patch,
                "grid": 2,
            },
        )
        steps = steps_of(run)
    arguments = ["--data", str(train), "--validation", str(validation), "--epochs", str(options.epochs)]
    arguments += ["--steps", str(steps), "--patch", str(options.patch), "--batch", str(options.batch)]
    return {"steps": steps * options.epochs, "ours": ours, "plain": train_plain(arguments)}


if __name__ == "__main__":
    main()
