"""Train the starters: small StarDist models that come along in the package, so that they work offline and at once.

``DATA`` holds the annotation folders ``annotations_nuclei_more`` and ``annotations_histology_train`` of stage 1 of the
2018 Data Science Bowl (BBBC038v1, CC0)::

    python scripts/train_starters.py DATA
    python scripts/train_starters.py DATA --only nuclei_tissue --epochs 200

A training that was interrupted goes on when the command is given again; one that is over is packed anew. What is packed
goes to ``src/napari_seg_trainer/starters``, with 16 bits a number.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_seg_trainer.annotations.builtin import builtin_folder, builtin_names
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.kept_facts import look_through
from napari_seg_trainer.api import make_job
from napari_seg_trainer.cli.watch import watch
from napari_seg_trainer.engines.registry import engine_spec, load_engine
from napari_seg_trainer.engines.stardist.state import open_network, write_keras
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import CARD_FILE, LibraryModel, hash_files, write_card
from napari_seg_trainer.paths import HOME_VARIABLE
from napari_seg_trainer.runs import control
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import RunState, list_runs

ROOT = Path(__file__).parents[1]
WORK, TARGET = ROOT / "build" / "starters", ROOT / "src" / "napari_seg_trainer" / "starters"
MOST_BYTES = 4_000_000
PACKED = ("config.json", "thresholds.json", "weights_best.h5")
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""Time of files in an archive, so that the same model is the same archive."""
TISSUE_IMAGES = (
    *"""
    00ae65c1c663 01d44a26f668 0d3640c1f1b8 0e21d7b3eea8 15039b3acccc 1e488c42eb1a
    2255d5aba044 24a20f2a529c 2e2d29fc4444 33a5b0ff232b 3934a094e853 3b0709483b1e
    40946065f7e4 4193474b2f1c 442c4eb01856 45f059cf21d8 4ca5081854df 4cbd6c37f3a5
    4d4f254f3b8b 4e23ecf65040 55f98f43c152 57bd029b19c1 5c6eb9a47852 5ef4442e5b8b
    673baf65ae5c 6b0ac2ab04c0 6d327ab4f0e3 708eb41a3fc8 815524d88283 8e507d58f4c2
    """.split(),
)
"""The images of stained tissue that a starter is trained on; the others are for comparisons."""


@dataclass(frozen=True)
class Starter:
    """A starter, and what it is trained on.

    Attributes
    ----------
    folder : str
        Name of the annotation folder.
    epochs : tuple of int
        How long each round is. In a round, the learning rate is high first and falls at its end; each begins with the
        model of the one before (warm restarts, Loshchilov and Hutter 2017, arXiv:1608.03983).
    stems : tuple of str
        Of its images; all where there are none.
    more : dict
        Other hyperparameters.
    """

    folder: str
    epochs: tuple[int, ...]
    stems: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


COMMON = {"augmentation": 4.0, "patch_size": 128, "learning_rate": 0.001, "keep": 0.0}
STARTERS = {
    "nuclei_fluorescence": Starter("annotations_nuclei_more", (100, 100), more=COMMON),
    "nuclei_tissue": Starter("annotations_histology_train", (200,), TISSUE_IMAGES, COMMON | {"augmentation": 8.0}),
}


def main() -> None:
    """Train and pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=STARTERS)
    parser.add_argument("--epochs", type=int, help="how long each round is that has not begun")
    options = parser.parse_args()
    os.environ[HOME_VARIABLE] = str(WORK / "home")
    for name, starter in STARTERS.items():
        if options.only in (None, name):
            folder = chosen(options.data / starter.folder, starter.stems, WORK / name)
            refuse_known(folder)
            rounds = [options.epochs or epochs for epochs in starter.epochs]
            model = None
            for number, epochs in enumerate(rounds, start=1):
                called = name if number == len(rounds) else f"{name}-round-{number}"
                model = trained(called, folder, starter.more | {"epochs": epochs}, model)
            if model is not None:
                pack(model)


def chosen(source: Path, stems: tuple[str, ...], target: Path) -> Path:
    """Return a folder with these images of an annotation folder; that one itself, if all are wanted."""
    if not stems:
        return source
    target.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        for name in (f"{stem}.tif", f"{stem}_labelled.tif", f"{stem}.json"):
            shutil.copyfile(source / name, target / name)
    return target


def refuse_known(folder: Path) -> None:
    """Refuse to train on an image that the demonstration shows as unseen, or trains on."""
    shown = {content for name in builtin_names() for part in ("train", "test") for content in contents(name, part)}
    pairs = AnnotationFolder.open(folder).pairs
    for pair, looked in zip(pairs, look_through(pairs), strict=True):
        if looked.facts.content in shown:
            sys.exit(f"'{pair.image}' is among the built-in images. A starter must not know them.")


def contents(name: str, part: Any) -> Iterator[str]:
    """Yield the checksum of each image of a built-in dataset."""
    for looked in look_through(AnnotationFolder.open(builtin_folder(name, part)).pairs):
        yield looked.facts.content


def trained(name: str, folder: Path, values: dict[str, Any], start: LibraryModel | None) -> LibraryModel:
    """Train, go on with a training, or find the model of one that is over."""
    found = ModelLibrary().find(name)
    if found is not None:
        return found
    run = next((run for run in list_runs() if run.makes(name)), None)
    given = {"data": (folder,), "validation_split": 0.1, "hyperparameters": values}
    job = make_job(name=name, engine="stardist", pretrained=None if start is None else str(start.folder), **given)
    if run is None:
        run = launch(job)
    elif run.state() not in (RunState.STARTING, RunState.RUNNING):
        control.resume(run)
    if watch(run, offset=run.attempt_begin()):
        sys.exit(1)
    return ModelLibrary().get(name)


def pack(model: LibraryModel) -> None:
    """Write a model into the package, with half the digits, and check that it finds the same."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / model.name
        folder.mkdir()
        for name in PACKED:
            shutil.copyfile(model.folder / name, folder / name)
        write_keras(open_network(folder).network.half(), folder / "weights_best.h5")
        shutil.copyfile(TARGET / "NOTICE", folder / "LICENSE.txt")
        card = model.card.replace(run=None, parent=None, files=hash_files(folder))
        write_card(folder, card)
        target = TARGET / f"{model.name}.zip"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in (CARD_FILE, *card.files):
                member = zipfile.ZipInfo(f"{model.name}/{name}", EARLIEST)
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, (folder / name).read_bytes())
        if target.stat().st_size > MOST_BYTES:
            sys.exit(f"'{target}' has {target.stat().st_size:,} bytes; {MOST_BYTES:,} is the limit.")
        sys.stdout.write(
            f"{target}: {target.stat().st_size:,} bytes, {difference(model.folder, folder):.2%} of the "
            "pixels of the built-in images are labelled otherwise than with 32 bits\n"
        )


def difference(one: Path, other: Path) -> float:
    """Return which part of the pixels of some built-in images two model folders label differently, as object or not."""
    engine = load_engine(engine_spec("stardist"))
    first, second = engine.load(one), engine.load(other)
    channels = json.loads((one / "config.json").read_text(encoding="utf-8"))["n_channel_in"]
    found = []
    for pair in AnnotationFolder.open(builtin_folder("nuclei_dsb2018", "test")).pairs:
        image = pair.read().image[0].astype(np.float32)
        low, high = np.percentile(image, (1, 99.8))
        shown = np.stack([(image - low) / (high - low)] * channels)
        found.append(((first.predict(shown) > 0) != (second.predict(shown) > 0)).mean())
    return float(np.mean(found))


if __name__ == "__main__":
    main()
