"""What the verdict says of three fine-tunings: one that helps, one that does nothing, and one that does harm.

Trains StarDist on the built-in nuclei: a model of few epochs, and from it three others, validated on the same images::

    python benchmarks/verdicts.py

It also tells how much of the time of each training went into scoring whole validation images.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import tifffile
from common import machine, train_ours

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.schema.events import Baseline, Evaluated, Verdict

VALIDATE = 8
SHIFT = 10
SMALL = {"batch_size": 4, "augmentation": 4.0, "patch_size": 128}
CASES = {
    "helps": {"epochs": 30, "learning_rate": 1e-3},
    "does nothing": {"epochs": 2, "learning_rate": 1e-9},
    "does harm": {"epochs": 12, "learning_rate": 1e-3},
}


def main() -> None:
    """Train, and print what is said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12, help="of the model that the others start from")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    home = Path(mkdtemp(prefix="verdicts-"))
    good, bad, validation = folders(home)
    fields: dict[str, Any] = {"validation_data": (validation,)}
    settings = SMALL | {"epochs": options.epochs, "learning_rate": 1e-3}
    result = {"machine": machine(), "parent": outcome(home, "parent", data=(good,), hyperparameters=settings, **fields)}
    for case, own in CASES.items():
        data = (bad if case == "does harm" else good,)
        name = case.replace(" ", "-")
        result[case] = outcome(home, name, data=data, hyperparameters=SMALL | own, pretrained="parent", **fields)
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")


def folders(home: Path) -> tuple[Path, Path, Path]:
    """Return annotated images to learn from, the same with labels that lie beside the objects, and some to validate."""
    good, bad, validation = (home / f"annotations_{name}" for name in ("good", "bad", "validation"))
    for number, pair in enumerate(AnnotationFolder.open(builtin_folder("nuclei_dsb2018"))):
        for target in (validation,) if number < VALIDATE else (good, bad):
            target.mkdir(exist_ok=True)
            for path in filter(None, (pair.image, pair.labels, pair.sidecar)):
                shutil.copy(path, target)
    for path in bad.glob("*_labelled.tif"):
        tifffile.imwrite(path, np.roll(tifffile.imread(path), (SHIFT, SHIFT), (0, 1)))
    return good, bad, validation


def outcome(home: Path, name: str, **fields: Any) -> dict[str, Any]:
    """Train, print the verdict, and return it with the scores and the part of the time that scoring took."""
    run, times = train_ours(home, name, "stardist", **fields)
    events = run.events()
    (verdict,) = (event for event in events if isinstance(event, Verdict) and event.epoch is None)
    baseline = next(event for event in events if isinstance(event, Baseline))
    scored = [event for event in events if isinstance(event, Evaluated)]
    found = {
        "sentences": verdict.sentences,
        "baseline_ap50": baseline.scores["ap50"],
        "ap50": scored[-1].scores["ap50"],
        "rounds": len(scored) - 1,
        "train_seconds": times["train_seconds"],
        "scoring_share": sum(event.seconds or 0.0 for event in scored) / times["train_seconds"],
    }
    sys.stdout.write(f"{name}: {found['rounds']} rounds of scores in {found['scoring_share']:.1%} of the time\n")
    for sentence in verdict.sentences:
        sys.stdout.write(f"  {sentence}\n")
    sys.stdout.flush()
    return found


if __name__ == "__main__":
    main()
