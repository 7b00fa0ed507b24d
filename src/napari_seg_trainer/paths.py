"""Where the library, the runs and the downloads live."""

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "NAPARI_SEG_TRAINER_HOME"


def home() -> Path:
    """Return the folder that holds everything: ``NAPARI_SEG_TRAINER_HOME``, or the user's data folder."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_data_dir("napari-seg-trainer", appauthor=False))


def models_folder() -> Path:
    """Return the model library's folder; it may not exist yet."""
    return home() / "models"


def runs_folder() -> Path:
    """Return the folder of all runs; it may not exist yet."""
    return home() / "runs"


def downloads_folder() -> Path:
    """Return the folder of downloaded pretrained models; it may not exist yet."""
    return home() / "downloads"


def cache_folder() -> Path:
    """Return the folder of what can be computed again, and may be deleted at any time; it may not exist yet."""
    return home() / "cache"
