"""What does a user get who chooses only a folder, a name and an engine, beside the peers with their own defaults?

``DATA`` is a folder that holds ``dsb2018`` and ``bacteria`` with their annotation folders::

    python benchmarks/defaults.py DATA
    python benchmarks/defaults.py DATA --cases nuclei-3,nuclei-6 --sides stardist,plain-stardist
    python benchmarks/defaults.py DATA --keep MODELS
    python benchmarks/defaults.py --table

This project trains first, on the images that the seed chooses (more images include those of fewer), with nothing else
in its job: where one of the starters that come along suits the images, the training starts from that. Then the peer of
the same kind gets the same images, parted into training and validation as they were, and
as many seconds of training, from the first step to the last epoch's end:

- Plain StarDist (`plain_stardist.py`): 32 rays on a grid of 2, as in its examples, and else the defaults of its
  configuration; the training is ended in the middle of an epoch; best weights by validation loss, thresholds optimised
  on the validation images. Of colour images it gets the three channels.
- Plain cellpose 3 (`plain_cellpose.py`): the defaults of `train_seg`, with as many epochs as fit, which is measured
  before. Images with few objects are not left out. It has no use for the validation images, and takes colour
  images as grey (``channels=[0, 0]``): the default of its command; it has no more than two channels. That command has
  other defaults for optimizer and learning rate; ``--sides plain-cellpose-command`` is with those.

The test images are scored once, at the end, and choose nothing. Each result is kept in a file, a line of JSON each;
what is there already is not computed again, so that a benchmark that was ended goes on. ``builtin-24`` is this project
alone, StarDist with the images that it brings. ``--keep`` exports this project's models to a folder, each as
``CASE-ENGINE.segmodel``, from which ``scripts/results.py`` makes the README's pictures.
"""

import argparse
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from common import (
    Results,
    cellpose3,
    copy_images,
    draw_images,
    parsed,
    parts_parser,
    plain_cellpose,
    scores_of_labels,
    scores_of_model,
    show_table,
    told,
    train_ours,
    train_plain,
)

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.library.archive import export_model
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.schema.events import Started
from napari_seg_trainer.schema.job import AUTOMATIC, SCRATCH


@dataclass(frozen=True)
class Case:
    """How many images of an annotation folder in DATA, which ends in ``_train`` and has a partner in ``_test``."""

    folder: str
    images: int


CASES = {
    **{f"nuclei-{count}": Case("dsb2018/annotations_nuclei", count) for count in (3, 6, 12, 24)},
    **{f"histology-{count}": Case("dsb2018/annotations_histology", count) for count in (6, 24)},
    "bacteria-3": Case("bacteria/annotations_bacteria", 3),
}
BUILTIN_CASE, BUILTIN = "builtin-24", "nuclei_dsb2018"
ENGINES = ("stardist", "cellpose")
COMMAND = "plain-cellpose-command"
PEERS = {"plain-stardist": "stardist", "plain-cellpose": "cellpose", COMMAND: "cellpose"}
"""Who is beside which engine of this project."""
SIDES = ("stardist", "plain-stardist", "cellpose", "plain-cellpose")
ALL_SIDES = (*SIDES, COMMAND)
NAME = "defaults"
SCORES = ("ap50", "ap70")
WHAT = "AP50 / AP70, minutes of training (in all)"
BEHIND = 0.01
"""By how much, in AP, this project may be behind a peer."""


def main() -> None:
    """Compute what is missing, and print a table."""
    parser = parts_parser(__doc__, "defaults", (*CASES, BUILTIN_CASE), ALL_SIDES)
    parser.set_defaults(sides=SIDES)
    parser.add_argument("--seed", type=int, default=0, help="chooses the images, and the peers' first weights")
    parser.add_argument("--scratch", action="store_true", help="start from scratch; takes a file of results of its own")
    parser.add_argument("--keep", type=Path, metavar="MODELS", help="folder that gets this project's models")
    parser.add_argument("--cellpose3", type=Path, help="Python of an environment with cellpose 3; made if not given")
    options = parsed(parser)
    results = Results(options.results)
    if not options.table:
        for case in options.cases:
            for side in options.sides:
                if case in CASES or side == "stardist":
                    result_of(case, side, options, results)
    show(options, results)


def result_of(case: str, side: str, options: argparse.Namespace, results: Results) -> dict[str, Any]:
    """Return a result, computed if it is not there yet."""
    found = results.find(case, side, options.seed)
    if found is not None:
        return found
    home = Path(mkdtemp(prefix="defaults-"))
    if side in ENGINES:
        new = ours(home, case, side, options)
    else:
        new = peer(home, case, side, result_of(case, PEERS[side], options, results), options)
    shutil.rmtree(home, ignore_errors=True)
    result = results.add(case, side, options.seed, new)
    sys.stdout.write(f"{case}, {side}: {WHAT}: {told_briefly(result)}\n")
    sys.stdout.flush()
    return result


def job_of(case: str, home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a user chooses, apart from the name and the engine: the data and nothing else."""
    start = {"pretrained": SCRATCH if options.scratch else AUTOMATIC}
    if case == BUILTIN_CASE:
        return start | {"builtin": (BUILTIN,)}
    known = CASES[case]
    pairs = AnnotationFolder.open(options.data / f"{known.folder}_train").pairs
    return start | {"data": (copy_images(draw_images(pairs, known.images, options.seed), home / "annotations"),)}


def test_folder(case: str, options: argparse.Namespace) -> Path:
    """Return the annotation folder that a case is scored on."""
    return builtin_folder(BUILTIN, "test") if case == BUILTIN_CASE else options.data / f"{CASES[case].folder}_test"


def ours(home: Path, case: str, engine: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train with this project, and score the model."""
    run, times = train_ours(home, NAME, engine, **job_of(case, home, options))
    model = ModelLibrary().get(NAME)
    card = model.card
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        export_model(model, options.keep / f"{case}-{engine}.segmodel", overwrite=True)
    return {
        "training": [Path(name).name for name in run.split.training],
        "validation": [Path(name).name for name in run.split.validation],
        **times,
        **told(scores_of_model(model, test_folder(case, options))),
        "device": next(event.device for event in run.events() if isinstance(event, Started)),
        "epochs": card.epochs,
        "best_epoch": card.best_epoch,
        "parent": card.parent,
        "hyperparameters": card.hyperparameters,
        "verdict": card.verdict,
    }


def peer(home: Path, case: str, side: str, beside: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Train a peer on the same images for as many seconds, and score it."""
    pairs = {pair.stem: pair for pair in AnnotationFolder.open(options.data / f"{CASES[case].folder}_train")}
    parts = {
        part: copy_images([pairs[stem] for stem in beside[part]], home / part) for part in ("training", "validation")
    }
    test, labels = test_folder(case, options), home / "labels"
    words = ["--data", parts["training"], "--test", test, "--output", labels]
    words += ["--seconds", beside["train_seconds"], "--seed", options.seed]
    python = None if side == "plain-stardist" else cellpose3(options.cellpose3)
    began = time.perf_counter()
    if python is None:
        found = train_plain(list(map(str, [*words, "--validation", parts["validation"]])))
    else:
        found = plain_cellpose(python, list(map(str, words + ["--as-command"] * (side == COMMAND))))
    found["total_seconds"] = time.perf_counter() - began - found.pop("aside_seconds")
    given = {part: beside[part] for part in parts} | {"seconds": beside["train_seconds"]}
    return given | found | told(scores_of_labels(labels, test))


def show(options: argparse.Namespace, results: Results) -> None:
    """Print a row for each case, and what the verdicts say."""
    chosen = {case: found for case in options.cases if (found := sides_of(case, options.seed, results))}
    sides = [side for side in ALL_SIDES if any(side in found for found in chosen.values())]
    rows = []
    for case, found in chosen.items():
        cells = [told_briefly(found[side]) if side in found else "" for side in sides]
        rows.append([case, *cells, told_behind(found)])
    show_table([WHAT, *sides, f"behind by more than {BEHIND:g}"], rows)
    for case, found in chosen.items():
        for engine in ENGINES:
            if found.get(engine, {}).get("verdict"):
                sys.stdout.write(f"{case}, {engine}: {found[engine]['verdict'][0]}\n")


def sides_of(case: str, seed: int, results: Results) -> dict[str, dict[str, Any]]:
    """Return the results of a case that are there."""
    return {side: found for side in ALL_SIDES if (found := results.find(case, side, seed)) is not None}


def told_briefly(result: dict[str, Any]) -> str:
    """Return scores and minutes, for a cell of the table."""
    aps = " / ".join(f"{result['scores'][name]:.3f}" for name in SCORES)
    return f"{aps}, {result['train_seconds'] / 60:.1f} ({result['total_seconds'] / 60:.1f})"


def told_behind(found: dict[str, dict[str, Any]]) -> str:
    """Return which peers this project is behind, and in what; nothing where no peer is there."""
    both = [(engine, side) for side, engine in PEERS.items() if engine in found and side in found]
    if not both:
        return ""
    behind = [
        f"{side} in {name.upper()}, by {gap:.3f}"
        for engine, side in both
        for name in SCORES
        if (gap := found[side]["scores"][name] - found[engine]["scores"][name]) > BEHIND
    ]
    return "; ".join(behind) or "no"


if __name__ == "__main__":
    main()
