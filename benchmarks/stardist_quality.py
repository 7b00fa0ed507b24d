"""AP on images that neither has seen, against plain StarDist with the same number of steps on the same patches.

``DATA`` is a folder with ``annotations_nuclei_train``, ``annotations_nuclei_val`` and ``annotations_nuclei_test``::

    python benchmarks/stardist_quality.py DATA

The test images are scored once, at the end, and choose nothing. With ``--until 0.735`` the weights that each epoch
ended with are scored afterwards, too, with the thresholds of the finished model, and the minutes of training are
printed after which each side first had that AP50.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from common import first_that_has, machine, steps_of, train_ours, train_plain

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.api import evaluate
from napari_seg_trainer.evaluation.scores import Scores, score_image
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.segmentation.segment import Segmenter


def main() -> None:
    """Train both, score both, print a table."""
    options = parse()
    train, validation, test = (options.data / f"annotations_nuclei_{part}" for part in ("train", "val", "test"))
    home = Path(mkdtemp(prefix="stardist-quality-"))
    kept = [home / side if options.until else None for side in ("ours", "plain")]
    run, times = train_ours(
        home,
        "quality",
        kept=kept[0],
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
    if kept[0]:
        model = ModelLibrary().get("quality")
        truth = [pair.read() for pair in AnnotationFolder.open(test).pairs]
        reached = first_that_has(options.until, kept[0], lambda weights: ap50_of(Segmenter(model, weights), truth))
        result["ours"]["seconds_until"] = reached
    show("this project", result["ours"], result)
    if not options.only_ours:
        arguments = ["--data", str(train), "--validation", str(validation), "--test", str(test)]
        if options.plain:
            epochs, steps, patch, batch = (int(number) for number in options.plain.split(","))
        else:
            epochs, patch, batch = options.epochs, options.patch, options.batch
        arguments += ["--epochs", str(epochs), "--steps", str(steps), "--patch", str(patch), "--batch", str(batch)]
        if kept[1]:
            arguments += ["--until", str(options.until), "--kept", str(kept[1])]
        result["plain"] = train_plain([*arguments, "--seed", str(options.seed)])
        show("plain StarDist", result["plain"], result | {"epochs": epochs, "steps": steps * epochs})
    shutil.rmtree(home, ignore_errors=True)
    if options.until and not options.only_ours:
        sys.stdout.write(told_until(options.until, result) + "\n")
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")


def ap50_of(segmenter: Segmenter, truth: Sequence[AnnotatedImage]) -> float:
    """Return AP50, pooled over all images."""
    scores = [score_image(each.stem, each.labels, segmenter.segment(each.image)) for each in truth]
    return Scores.of(scores).pooled["ap50"]


def told_until(wanted: float, result: dict[str, Any]) -> str:
    """Return after how many minutes each side had the wanted AP50, and the ratio."""
    times = [result[side]["seconds_until"] for side in ("ours", "plain")]
    told = [f"after {time / 60:.1f} min" if time else "never" for time in times]
    ratio = f": ratio {times[0] / times[1]:.2f}" if all(times) else ""
    return f"AP50 {wanted:g}: this project {told[0]}, plain StarDist {told[1]}{ratio}"


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
    parser.add_argument("--until", type=float, metavar="AP50", help="when did the weights of an epoch first reach it?")
    parser.add_argument(
        "--plain",
        metavar="EPOCHS,STEPS,PATCH,BATCH",
        help="what plain StarDist is trained with, where it is not the same",
    )
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
