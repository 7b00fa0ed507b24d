"""What the benchmarks share: running both sides in processes of their own, and telling about the machine."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder
from napari_seg_trainer.api import compare, make_job, wait_for
from napari_seg_trainer.evaluation.scores import Scores, score_image
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.runs.checkpoint import epoch_folder
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import EpochEnded, Evaluated, Started

HERE = Path(__file__).parent
CELLPOSE3 = "cellpose==3.1.1.3"
AS_CELLPOSE = {"optimizer": "SGD", "patch_size": 224, "diameter": 30.0}
"""What Cellpose 3's own function trains with here, for comparisons of like with like."""
APS = ("ap50", "ap70", "ap90")
_PACKAGES = ("stardist", "tensorflow", "cellpose", "torch", "numpy")


def machine() -> dict[str, Any]:
    """Describe the machine, the day and the versions."""
    return {
        "date": str(date.today()),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: found for package in _PACKAGES if (found := _version(package))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def train_ours(
    home: Path, name: str, engine: str = "stardist", kept: Path | None = None, **fields: Any
) -> tuple[Run, dict[str, float]]:
    """Train with this project, in the process that a user's training runs in.

    Parameters
    ----------
    home : Path
        Of the run and of the library.
    name, engine : str
    kept : Path, optional
        Folder for the weights of all epochs, each in a folder that is called after the seconds since the first step.
    fields
        Of the job; it starts from scratch unless they say otherwise.

    Returns
    -------
    Run, dict
        ``train_seconds``: from the first step to the last epoch's end, as `StarDist2D.train` is timed.
        ``total_seconds``: from the command to the model in the library.
    """
    os.environ["NAPARI_SEG_TRAINER_HOME"] = str(home)
    began = time.perf_counter()
    run = launch(make_job(name=name, engine=engine, **({"pretrained": None} | fields)))
    if kept is not None:
        keep_epochs(run, kept)
    wait_for(run)
    total = time.perf_counter() - began
    events = run.events()
    started = next(event for event in events if isinstance(event, Started))
    last = [event for event in events if isinstance(event, EpochEnded)][-1]
    return run, {"train_seconds": (last.time - started.time).total_seconds(), "total_seconds": total}


def keep_epochs(run: Run, folder: Path) -> None:
    """Copy the weights of each epoch while a training runs: only those of the best and the last one stay."""
    began = None
    for event in run.follow():
        if isinstance(event, Started):
            began = event.time
        if isinstance(event, EpochEnded) and began is not None:
            target = folder / f"{(event.time - began).total_seconds():09.2f}"
            with suppress(OSError):  # the next epoch has ended already
                shutil.copytree(epoch_folder(run, event.epoch), target)


def first_that_has(wanted: float, kept: Path, score: Callable[[Path], float]) -> float | None:
    """Return after how many seconds the kept weights first score as well as wanted; None where none do."""
    for path in sorted(kept.iterdir()):
        if score(path) >= wanted:
            return float(path.name.split(".weights")[0])
    return None


def steps_of(run: Run) -> int:
    """Return how many steps an epoch of a run has."""
    return next(event.steps_per_epoch for event in run.events() if isinstance(event, Started))


def validation_scores(run: Run) -> dict[str, float]:
    """Return the scores on the validation images."""
    return next(event.scores for event in run.events() if isinstance(event, Evaluated))


def cellpose3(python: Path | None) -> Path:
    """Return the Python of an environment with cellpose 3, which is made beside the project unless one is given."""
    folder = HERE.parent / ".venv-cellpose3"
    found = python or folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not found.exists():
        sys.stderr.write(f"Making an environment with {CELLPOSE3} in {folder}; this takes minutes, once.\n")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(found), "-m", "pip", "install", "--quiet", CELLPOSE3], check=True)
    return found


def plain_cellpose(python: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Train, or only predict, with plain cellpose 3 by `plain_cellpose.py`; its last line is the result."""
    command = [str(python), str(HERE / "plain_cellpose.py"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def scores_of(folder: Path, truth: Path) -> dict[str, float]:
    """Return AP, pooled over all images of an annotation folder, of the label files that lie in another folder."""
    return told(scores_of_labels(folder, truth))["scores"]


def scores_of_labels(folder: Path, truth: Path) -> Scores:
    """Return the scores of label files (``STEM.npy``) against the annotation folder with the same images."""
    return Scores.of(
        score_image(pair.stem, pair.read().labels, np.load(folder / f"{pair.stem}.npy").astype(np.int32))
        for pair in AnnotationFolder.open(truth)
    )


def scores_of_model(model: LibraryModel, truth: Path) -> Scores:
    """Return the scores of a model on an annotation folder, computed in a process of its own."""
    (scores,) = compare([model], truth).values()
    return scores


def told(scores: Scores) -> dict[str, dict[str, float]]:
    """Return AP as results keep it: ``scores``, pooled over all images, and ``mean``, of the images' own."""
    return {
        "scores": {name: scores.pooled[name] for name in APS},
        "mean": {name: scores.mean[name] for name in APS},
    }


def train_plain(arguments: Sequence[str]) -> dict[str, Any]:
    """Train plain StarDist with `plain_stardist.py`; its last line is the result."""
    command = [sys.executable, str(HERE / "plain_stardist.py"), *arguments]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"total_seconds": time.perf_counter() - began}


def copy_images(pairs: Iterable[AnnotatedPair], folder: Path) -> Path:
    """Make an annotation folder of some images of another one."""
    folder.mkdir(parents=True)
    for pair in pairs:
        for path in filter(None, (pair.image, pair.labels, pair.sidecar)):
            shutil.copy(path, folder)
    return folder


def draw_images(pairs: Sequence[AnnotatedPair], count: int, seed: int) -> list[AnnotatedPair]:
    """Draw some images; with the same seed, more images include those of fewer."""
    if count > len(pairs):
        raise ValueError(f"{count} images are wanted, and there are {len(pairs)}")
    return [pairs[place] for place in np.random.default_rng(seed).permutation(len(pairs))[:count]]


class Results:
    """The results of a benchmark that is run in parts: a file with one JSON object a line.

    What is in it already need not be computed again; a line that was not finished is passed over.

    Parameters
    ----------
    path : Path
        Made with the first result.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str, int], dict[str, Any]] = {}
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in text.splitlines():
            with suppress(json.JSONDecodeError):
                result = json.loads(line)
                self._found[result["case"], result["side"], result["seed"]] = result
        self._begins_line = not text or text.endswith("\n")

    def find(self, case: str, side: str, seed: int) -> dict[str, Any] | None:
        """Return a result; None where there is none yet."""
        return self._found.get((case, side, seed))

    def by_seed(self, case: str, side: str) -> dict[int, dict[str, Any]]:
        """Return the results of a side, by seed."""
        return {seed: found for (*where, seed), found in sorted(self._found.items()) if where == [case, side]}

    def add(self, case: str, side: str, seed: int, found: dict[str, Any]) -> dict[str, Any]:
        """Write a result down, with the machine, and return it."""
        result = {"case": case, "side": side, "seed": seed, **found, "machine": machine()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(("" if self._begins_line else "\n") + json.dumps(result) + "\n")
        self._begins_line = True
        self._found[case, side, seed] = result
        return result


def parts_parser(
    description: str | None, name: str, cases: Sequence[str], sides: Sequence[str]
) -> argparse.ArgumentParser:
    """Return the command line of a benchmark that is run in parts.

    Parameters
    ----------
    description : str, optional
    name : str
        Of the benchmark, for its file of results.
    cases, sides : sequence of str
        All there are.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    file = HERE.parent / "build" / f"benchmarks-{name}.jsonl"
    parser.add_argument("data", type=Path, nargs="?", help="folder that holds dsb2018 and bacteria")
    parser.add_argument("--results", type=Path, default=file, metavar="FILE", help="where results are kept")
    for what, known in (("cases", cases), ("sides", sides)):
        told_as = f"separated by commas, of {', '.join(known)}"
        parser.add_argument(f"--{what}", type=_words_of(known), default=tuple(known), metavar="NAMES", help=told_as)
    parser.add_argument("--table", action="store_true", help="compute nothing, and print what there is")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line of a benchmark that is run in parts."""
    options = parser.parse_args()
    if options.data is None and not options.table:
        parser.error("the folder of the data is missing")
    return options


def _words_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def words(text: str) -> tuple[str, ...]:
        given = text.split(",")
        unknown = [word for word in given if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; choose of {', '.join(known)}")
        return tuple(word for word in known if word in given)

    return words


def missing(options: argparse.Namespace, results: Results) -> Iterator[tuple[str, str, int]]:
    """Yield case, side and seed of each result that is wanted and not there yet; none where a table alone is wanted."""
    for seed in range(0 if options.table else options.seeds):
        for case, side in product(options.cases, options.sides):
            if results.find(case, side, seed) is None:
                yield case, side, seed


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    for row in (heads, ["---"] * len(heads), *rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n")
