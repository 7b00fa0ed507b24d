"""One training of an engine on discs, with what can be seen of it from outside."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from napari_seg_trainer.engines.protocol import EngineSpec, Predictor, TrainingData, TrainingTask
from napari_seg_trainer.engines.registry import load_engine
from napari_seg_trainer.evaluation.matching import Matching, match
from napari_seg_trainer.paths import HOME_VARIABLE
from napari_seg_trainer.testing.discs import disc_data
from napari_seg_trainer.testing.recording import RecordingContext

CACHE = "cache/"


@dataclass(frozen=True, eq=False)
class Training:
    """A training that is over.

    Attributes
    ----------
    context : RecordingContext
        What was reported to it.
    data : TrainingData
    model : Path
        The model's folder, where one was exported.
    written_elsewhere : tuple of str
        Files that came into being in the working folder or the user's library; the cache apart.
    data_untouched : bool
        Whether the data's files are as they were.
    """

    context: RecordingContext
    data: TrainingData
    model: Path
    written_elsewhere: tuple[str, ...]
    data_untouched: bool


def train_on_discs(
    spec: EngineSpec,
    task: TrainingTask,
    shapes: Sequence[tuple[int, int]],
    folder: Path,
    *,
    first_epoch: int = 1,
    last_epoch: int | None = None,
    last_step: int | None = None,
    checkpoint: Path | None = None,
    export: bool = True,
    looks: bool = False,
    home: Path | None = None,
) -> Training:
    """Train a new engine in `folder`, on images of these shapes; the other arguments are `RecordingContext`'s.

    Where it `looks`, a validation image is segmented after each epoch. Trainings with one `home` share the user's
    cache, and with it what an engine has measured about this machine.
    """
    data = disc_data(folder / "data", task.channels, shapes)
    parameters = task.parameters.completed(data.facts(pretrained=task.pretrained is not None))
    task = TrainingTask(task.channels, parameters, task.seed, task.pretrained)
    before = contents(folder / "data")
    context = RecordingContext(
        folder / "checkpoints",
        checkpoint=checkpoint,
        first_epoch=first_epoch,
        last_epoch=last_epoch,
        last_step=last_step,
    )
    context.looks_at = np.asarray(data.validation[0].image) if looks else None
    engine = load_engine(spec)
    model = folder / "a modèl"  # as people name folders
    home = home or folder / "home"
    known = contents(home)
    with _working_folder(folder / "elsewhere", home) as elsewhere:
        engine.train(task, data, context)
        if export:
            model.mkdir()
            engine.export(context.epoch_folder(max(context.metrics)), data, model, context)
    at_home = [
        path for path, value in contents(home).items() if not path.startswith(CACHE) and known.get(path) != value
    ]
    written = (*contents(elsewhere), *at_home)
    return Training(context, data, model, written, contents(folder / "data") == before)


def expected_calls(steps: int, epochs: range) -> list[tuple[str, int, int]]:
    """Return the calls that a context gets in these epochs, each of `steps` steps."""
    calls = [("start", 0, 0)]
    for epoch in epochs:
        calls += [("step", epoch, step) for step in range(1, steps + 1)]
        calls.append(("epoch", epoch, 0))
    return calls


def average_precision(predictor: Predictor, data: TrainingData) -> float:
    """Return the average precision at IoU 0.5, pooled over the validation images."""
    pooled = Matching(0.5, 0, 0, 0)
    for prepared in data.validation:
        pooled += match(prepared.labels, predictor.predict(prepared.image), (0.5,))[0]
    return pooled.ap


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder, by its place."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def _working_folder(folder: Path, home: Path) -> Iterator[Path]:
    """Make `folder` the current one, and `home` the user's own."""
    folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(HOME_VARIABLE, str(home))
        yield folder
