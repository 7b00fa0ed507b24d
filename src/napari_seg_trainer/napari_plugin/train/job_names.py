"""Names for models to come."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.library.foreign import model_name_from
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.runs.run import ACTIVE_STATES, list_runs

_PREFIX, _LONGEST_STEM = "annotations_", 60
_TRIES = 100


def name_problem(name: str) -> str:
    """Return why a training cannot make a model of this name; empty if it can."""
    try:
        ModelLibrary().check_new_name(name)
    except SegTrainerError as error:
        return str(error)
    # a run's folder begins with the name, so that few runs need to be read
    rivals = (run for run in list_runs() if run.id.startswith(f"{name}-") and run.makes(name))
    if any(run.state() in ACTIVE_STATES for run in rivals):
        return f"A running training will make a model named '{name}'. Choose another name."
    return ""


def proposed_name(folders: Sequence[Path], builtin: Sequence[str], today: date) -> str:
    """Return a name that is free, such as ``"nuclei-2026-11-23"`` for a folder ``annotations_nuclei``."""
    first = [*(folder.name for folder in folders), *builtin, "model"][0]
    stem = model_name_from(first.removeprefix(_PREFIX))[:_LONGEST_STEM].rstrip("-._")
    base = f"{stem}-{today.isoformat()}"
    names = (base if number == 1 else f"{base}-{number}" for number in range(1, _TRIES))
    # where the library cannot be read no name is free, and the form says why
    return next((name for name in names if not name_problem(name)), base)
