"""The export in a process of its own, for those that must not import a learning framework; quick to import."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.paths import home

LICENSES = (
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC0-1.0",
    "MIT",
    "BSD-3-Clause",
    "Apache-2.0",
    "GPL-3.0-only",
)
"""SPDX identifiers; the first is taken where none is chosen."""


def export_bioimageio_in_process(
    model: str,
    path: Path,
    *,
    authors: Sequence[str] = (),
    license: str = LICENSES[0],
    image: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Do what `export.export_bioimageio` does in a process of its own, and wait for it.

    Parameters
    ----------
    model : str
        A name in the library, or a model folder.
    path, authors, license, overwrite
        As for `export.export_bioimageio`.
    image : Path, optional
        An image file with the model's channels, whose middle becomes the test image, which everybody sees.

    Raises
    ------
    LibraryError
        Whatever went wrong, in one line.
    """
    path = Path(os.path.expanduser(path)).absolute()
    words = ["export-bioimageio", f"--license={license}", *(f"--author={name}" for name in authors)]
    words += [] if image is None else [f"--image={image}"]
    words += ["--overwrite"] if overwrite else []
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "napari_seg_trainer", *words, "--", model, str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment | {"NO_COLOR": "1", "PYTHONUTF8": "1"},
        creationflags=flags,
        check=False,
    )
    if done.returncode != 0:
        raise LibraryError(_told(done.stderr, done.returncode))
    return path


def user_name() -> str:
    """Return the full name of this computer's user, or "unknown"."""
    if sys.platform == "win32":
        return "unknown"
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_gecos.split(",")[0]
    except KeyError:  # a user that only the kernel knows, as in containers
        name = ""
    return name.replace("/", " ").replace("\\", " ").strip() or "unknown"


def _told(errors: str, status: int) -> str:
    """Return the line that the command wrote for the user."""
    mark = "Error: "
    lines = [line.removeprefix(mark) for line in errors.splitlines() if line.startswith(mark)]
    if lines:
        return lines[-1]
    return f"The export ended without a message (exit status {status}). '{home() / 'log.txt'}' may show why."
