"""What does it bring to fine-tune a built-in starter on a few images, beside the starter as it is, and from scratch?

``DATA`` is a folder that holds ``dsb2018`` with its annotation folders::

    python benchmarks/few_images.py DATA
    python benchmarks/few_images.py DATA --cases nuclei-3,unlike-3 --sides starter,fine-tuned
    python benchmarks/few_images.py --table

- ``nuclei-3``, ``nuclei-12``: 3 or 12 images of fluorescent nuclei, such as the starter knows.
- ``unlike-3``, ``unlike-12``: the same images, for training and for the test, at half their size and with inverted
  contrast, such as it does not know.
- ``tissue-3``, ``tissue-12``: images of stained tissue that the starter for tissue was not trained on.

Each seed chooses the images (12 include the 3) and is that of both trainings: from the starter, and from random
weights, with the defaults but for their length, 2 minutes each. The test images are scored once, at the end, and choose
nothing. Each result is kept in a file, a line of JSON each; what is there already is not computed again, so that a
benchmark that was ended goes on. Other starters need another file.
"""

import argparse
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from common import (
    HERE,
    Results,
    copy_images,
    draw_images,
    missing,
    parsed,
    parts_parser,
    scores_of_model,
    show_table,
    told,
    train_ours,
)
from skimage.transform import resize

from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.pretrained import resolve_pretrained

STARTERS = {"nuclei": "nuclei_fluorescence", "tissue": "nuclei_tissue"}
STARTER_OF = {"nuclei": "nuclei", "unlike": "nuclei", "tissue": "tissue"}
FOLDERS = {"nuclei": "annotations_nuclei", "unlike": "annotations_nuclei", "tissue": "annotations_histology"}
"""By the kind of images: which starter is for them, and which folders in ``dsb2018`` they are in."""
COUNTS = (3, 12)
CASES = tuple(f"{kind}-{count}" for kind in FOLDERS for count in COUNTS)
SIDES = ("starter", "fine-tuned", "scratch")
ENGINE, NAME = "stardist", "few-images"
MINUTES = 2
ONCE = 0
"""The seed under which the starter is kept, which is the same for all."""
SCORES = ("ap50", "ap70")
GAIN, LOSS = 0.05, 0.01
"""What fine-tuning is to bring in AP with unlike images, and may lose with three that the starter knows."""


def main() -> None:
    """Compute what is missing, and print a table."""
    parser = parts_parser(__doc__, "few-images", CASES, SIDES)
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    for kind, name in STARTERS.items():
        parser.add_argument(f"--{kind}-starter", default=name, metavar="NAME_OR_FOLDER", help=f"in place of {name}")
    options = parsed(parser)
    results = Results(options.results)
    for case, side, seed in missing(options, results):
        if side != "starter" or seed == ONCE:
            add(case, side, seed, options, results)
    show(options, results)


def add(case: str, side: str, seed: int, options: argparse.Namespace, results: Results) -> None:
    """Compute a result, write it down and tell it."""
    home = Path(mkdtemp(prefix="few-images-"))
    found = computed(home, case, side, seed, options)
    shutil.rmtree(home, ignore_errors=True)
    results.add(case, side, seed, found)
    aps = ", ".join(f"{name.upper()} {found['scores'][name]:.3f}" for name in SCORES)
    sys.stdout.write(f"{case}, {side}, seed {seed}: {aps}\n")
    sys.stdout.flush()


def computed(home: Path, case: str, side: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the scores of the starter, or of a model that is trained."""
    os.environ["NAPARI_SEG_TRAINER_HOME"] = str(home / "home")
    kind, count = case.split("-")
    starter = starter_of(kind, options)
    test = test_folder(kind, options.data, home / "test")
    if side == "starter":
        return {"starter": starter, **told(scores_of_model(resolve_pretrained(starter, ENGINE), test))}
    chosen = draw_images(training_images(kind, options.data), int(count), seed)
    write = write_unlike if kind == "unlike" else copy_images
    fields: dict[str, Any] = {"data": (write(chosen, home / "annotations"),), "seed": seed}
    fields["hyperparameters"] = {"minutes": MINUTES}
    if side == "fine-tuned":
        fields["pretrained"] = starter
    _, times = train_ours(home / "home", NAME, ENGINE, **fields)
    model = ModelLibrary().get(NAME)
    return {
        "starter": fields.get("pretrained"),
        "images": [pair.stem for pair in chosen],
        **times,
        **told(scores_of_model(model, test)),
        "epochs": model.card.epochs,
        "best_epoch": model.card.best_epoch,
        "hyperparameters": model.card.hyperparameters,
        "verdict": model.card.verdict,
    }


def starter_of(kind: str, options: argparse.Namespace) -> str:
    """Return the name or the folder of the model that is fine-tuned."""
    text = getattr(options, f"{STARTER_OF[kind]}_starter")
    return str(Path(text).absolute()) if Path(text).is_dir() else text


def training_images(kind: str, data: Path) -> list[AnnotatedPair]:
    """Return the images to choose from."""
    if kind == "tissue":
        return held_out_tissue(data)
    return list(AnnotationFolder.open(data / "dsb2018" / f"{FOLDERS[kind]}_train"))


def held_out_tissue(data: Path) -> list[AnnotatedPair]:
    """Return the training images of tissue that the starter was not trained on."""
    path = HERE.parent / "scripts" / "train_starters.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{path}' cannot be imported")
    script = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = script
    spec.loader.exec_module(script)
    known = set(script.TISSUE_IMAGES)
    pairs = AnnotationFolder.open(data / "dsb2018" / f"{FOLDERS['tissue']}_train")
    return [pair for pair in pairs if pair.stem not in known]


def test_folder(kind: str, data: Path, unlike: Path) -> Path:
    """Return the annotation folder that is scored on; images that are unlike are written into a new one."""
    folder = data / "dsb2018" / f"{FOLDERS[kind]}_test"
    return write_unlike(AnnotationFolder.open(folder).pairs, unlike) if kind == "unlike" else folder


def write_unlike(pairs: Sequence[AnnotatedPair], folder: Path) -> Path:
    """Write images at half their size and with inverted contrast into a new annotation folder."""
    for pair in pairs:
        annotated = pair.read()
        size = tuple(side // 2 for side in annotated.labels.shape)
        smaller = [resize(channel, size, preserve_range=True, anti_aliasing=True) for channel in annotated.image]
        inverted = np.stack([channel.max() - channel for channel in smaller]).round().astype(annotated.image.dtype)
        labels = resize(annotated.labels, size, order=0, preserve_range=True, anti_aliasing=False)
        replace(annotated, image=inverted, labels=labels.astype(np.int32)).write(folder)
    return folder


def show(options: argparse.Namespace, results: Results) -> None:
    """Print a row for each case and score: means over the seeds, and whether they are as wanted."""
    heads = ["case", "score", "seeds", *SIDES, "fine-tuned minus starter (worst)", "minus scratch (worst)", "wanted"]
    show_table(heads, [row for case in options.cases for score in SCORES if (row := row_of(case, score, results))])


def row_of(case: str, score: str, results: Results) -> list[str]:
    """Return the cells of a row; none where nothing is there yet."""
    values = {side: values_of(case, side, score, results) for side in SIDES}
    if not any(values.values()):
        return []
    starter = values["starter"].get(ONCE)
    tuned, scratch = values["fine-tuned"], values["scratch"]
    gains = [value - starter for value in tuned.values()] if starter is not None else []
    ahead = [tuned[seed] - scratch[seed] for seed in tuned if seed in scratch]
    means = [f"{np.mean(list(found.values())):.3f}" if found else "" for found in values.values()]
    return [case, score.upper(), str(len(tuned)), *means, cell(gains), cell(ahead), told_wanted(case, gains, ahead)]


def values_of(case: str, side: str, score: str, results: Results) -> dict[int, float]:
    """Return the scores that are there, by seed."""
    return {seed: found["scores"][score] for seed, found in results.by_seed(case, side).items()}


def cell(differences: Sequence[float]) -> str:
    """Return the mean of differences, and the lowest."""
    return f"{np.mean(differences):+.3f} ({min(differences):+.3f})" if differences else ""


def told_wanted(case: str, gains: Sequence[float], ahead: Sequence[float]) -> str:
    """Return what is wanted of the means, and whether it is so."""
    if not gains:
        return ""
    gain = np.mean(gains)
    if case == "nuclei-3":
        wanted, holds = f"at most {LOSS:g} below the starter", gain >= -LOSS
    elif case == "nuclei-12":
        wanted, holds = "above the starter", gain > 0
    elif not ahead:
        return ""
    else:
        wanted, holds = f"{GAIN:g} above both", min(gain, np.mean(ahead)) >= GAIN
    return f"{wanted}: {'yes' if holds else 'no'}"


if __name__ == "__main__":
    main()
