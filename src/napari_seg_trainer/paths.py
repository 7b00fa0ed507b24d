"""Where the library, the runs and the downloads live."""

import errno
import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "NAPARI_SEG_TRAINER_HOME"


class NoHomeError(FileNotFoundError):
    """The folder that is to hold everything is one of a user that there is not."""


def home() -> Path:
    """Return the folder that holds everything: ``NAPARI_SEG_TRAINER_HOME``, or the user's data folder.

    Raises
    ------
    NoHomeError
        If it is below the home of a user who has none.
    """
    chosen = os.environ.get(HOME_VARIABLE)
    folder = os.path.expanduser(chosen or platformdirs.user_data_dir("napari-seg-trainer", appauthor=False))
    if folder.startswith("~"):
        raise NoHomeError(errno.ENOENT, f"This user has no home folder. Set {HOME_VARIABLE} to a folder", folder)
    return Path(folder).absolute()


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
