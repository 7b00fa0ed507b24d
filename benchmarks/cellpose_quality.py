"""AP on images that it has never seen, of a Cellpose model that was trained from scratch.

``DATA`` is a folder with ``annotations_nuclei_train``, ``annotations_nuclei_val`` and ``annotations_nuclei_test``::

    python benchmarks/cellpose_quality.py DATA

The test images are scored once, at the end, and choose nothing.
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import mkdtemp

from common import AS_CELLPOSE, cellpose3, machine, plain_cellpose, scores_of, steps_of, train_ours, validation_scores

from napari_seg_trainer.api import evaluate
from napari_seg_trainer.library.library import ModelLibrary


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain-epochs", type=int, default=0, help="how many epochs plain cellpose 3 trains; 0: not")
    parser.add_argument("--cellpose3", type=Path, help="Python of an environment with cellpose 3; made if not given")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    train, validation, test = (options.data / f"annotations_nuclei_{part}" for part in ("train", "val", "test"))
    home = Path(mkdtemp(prefix="cellpose-quality-"))
    values = {"epochs": options.epochs, "batch_size": options.batch, "augmentation": 1.0}
    values |= AS_CELLPOSE | {"learning_rate": options.learning_rate}
    run, times = train_ours(
        home,
        "quality",
        "cellpose",
        data=(train,),
        validation_data=(validation,),
        seed=options.seed,
        hyperparameters=values,
    )
    scores = evaluate(ModelLibrary().get("quality"), test)
    result = {"machine": machine(), "epochs": options.epochs, "steps": steps_of(run) * options.epochs}
    result["ours"] = times | {"scores": scores.pooled, "mean": scores.mean, "validation": validation_scores(run)}
    show("this project", options.epochs, result["ours"])
    if options.plain_epochs:
        arguments = ["--data", train, "--test", test, "--output", home / "plain", "--epochs", options.plain_epochs]
        arguments += ["--batch", options.batch, "--learning-rate", options.learning_rate]
        found = plain_cellpose(cellpose3(options.cellpose3), list(map(str, arguments)))
        result["plain"] = found | {"scores": scores_of(home / "plain", test)}
        show("plain cellpose 3", options.plain_epochs, result["plain"])
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")


def show(who: str, epochs: int, side: dict) -> None:
    """Print one row."""
    aps = ", ".join(f"{name.upper()} {side['scores'][name]:.3f}" for name in ("ap50", "ap70", "ap90"))
    minutes, total = (side.get(name, 0) / 60 for name in ("train_seconds", "total_seconds"))
    in_all = f" ({total:.1f} min in all)" if total else ""
    sys.stdout.write(f"{who}: {epochs} epochs, {minutes:.1f} min of training{in_all}: {aps}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
