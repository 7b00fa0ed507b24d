import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.job import TrainingJob


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """Make a run's folder that nobody trains: ``make_run(name="nuclei", epochs=10)``."""

    def make(name: str = "nuclei", **hyperparameters) -> Run:
        job = TrainingJob(name=name, engine="toy", data=("annotations",), hyperparameters=hyperparameters)
        return Run.create(job, tmp_path / "runs")

    return make


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen]:
    """A real process that does nothing for a minute."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()
