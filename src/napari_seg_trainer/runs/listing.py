"""All runs, and one among them."""

import os
from pathlib import Path

from napari_seg_trainer.errors import RunError
from napari_seg_trainer.paths import runs_folder
from napari_seg_trainer.runs.run import Run, modified


def list_runs(folder: Path | None = None) -> list[Run]:
    """Return all runs, the newest first."""
    base = folder or runs_folder()
    if not base.is_dir():
        return []
    # a folder that begins with a dot is being deleted
    made = {path: modified(path / "job.json") for path in base.iterdir() if path.name[0] != "."}
    return [Run(path) for path in sorted(made, key=lambda path: made[path], reverse=True) if made[path]]


def find_run(text: str, folder: Path | None = None) -> Run:
    """Return the run with this id, folder, or model name (the newest of that name).

    Raises
    ------
    RunError
        If there is none.
    """
    if os.path.isfile(Path(text) / "job.json"):  # pathlib's own raises for a text that is too long for a path
        return Run(Path(text).absolute())
    runs = list_runs(folder)
    found = next((run for run in runs if run.id == text), None) or next((run for run in runs if run.makes(text)), None)
    if found is not None:
        return found
    raise RunError(f"There is no run {text!r}. 'napari-seg-trainer runs' lists them.")
