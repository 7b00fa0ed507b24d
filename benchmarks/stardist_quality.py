"""AP on images that neither has seen, against plain StarDist with the same number of steps on the same patches.

``DATA`` is a folder with ``annotations_nuclei_train``, ``annotations_nuclei_val`` and ``annotations_nuclei_test``::

    python benchmarks/stardist_quality.py DATA

The test images are scored once, at the end, and choose nothing.
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import mkdtemp

from common import machine, steps_of, train_ours, train_plain

from napari_seg_trainer.api import evaluate
from napari_seg_trainer.library.library import ModelLibrary


def main() -> None:
    """Train both, score both, print a table."""
    options = parse()
    train, validation, test = (options.data / f"annotations_nuclei_{part}" for part in ("train", "val", "test"))
    home = Path(mkdtemp(prefix="stardist-quality-"))
    run, times = train_ours(
        home,
        "quality",
        data=(train,),
        validation_data=(validation,),
        seed=options.seed,
        hyperparameters={
            "epochs": options.epochs,
            "batch_size": options.batch,
            "augmentation": options.augmentation,
            "patch_size": options.patch,
            "learning_rate": options.learning_rate,
        },
    )
    steps = steps_of(run)
    scores = evaluate(ModelLibrary().get("quality"), test)
    result = {"machine": machine(), "epochs": options.epochs, "steps": steps * options.epochs}
    result["ours"] = times | {
        "scores": {key: scores.pooled[key] for key in ("ap50", "ap70", "ap90")},
        "mean": scores.mean,
    }
    show("this project", result["ours"], result)
    if not options.only_ours:
        arguments = ["--data", str(train), "--validation", str(validation), "--test", str(test)]
        arguments += ["--epochs", str(options.epochs), "--steps", str(steps), "--patch", str(options.patch)]
        result["plain"] = train_plain([*arguments, "--batch", str(options.batch), "--seed", str(options.seed)])
        show("plain StarDist", result["plain"], result)
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--augmentation", type=float, default=4.0, help="samples an epoch, per image")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of this project; plain StarDist has its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    return parser.parse_args()


def show(who: str, side: dict, result: dict) -> None:
    """Print one row."""
    aps = ", ".join(f"{name.upper()} {value:.3f}" for name, value in side["scores"].items())
    minutes, total = side["train_seconds"] / 60, side["total_seconds"] / 60
    sys.stdout.write(
        f"{who}: {result['epochs']} epochs, {result['steps']} steps, {minutes:.1f} min of training "
        f"({total:.1f} min in all): {aps}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
