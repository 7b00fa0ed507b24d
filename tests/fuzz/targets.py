"""What is given any bytes: it works, or raises an error that is meant for the user, and touches nothing else."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from napari_seg_trainer.annotations.image_file import read_labels
from napari_seg_trainer.annotations.sidecar import read_sidecar
from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.library.archive import export_model, import_model
from napari_seg_trainer.library.library import ModelLibrary

MARKER = "it_ran"
SECRET = b"a secret of the user's"


class Finding(AssertionError):
    """What no bytes may bring about."""


def import_zip(content: bytes, folder: Path) -> None:
    """Import an archive; a model that comes of it can be exported and imported again."""
    path, library = folder / "sent" / "model.zip", ModelLibrary(folder / "home" / "models")
    path.write_bytes(content)
    with _meant_for_the_user():
        model = import_model(path, library)
        model.verify()
        if SECRET in b"".join(file.read_bytes() for file in model.folder.rglob("*") if file.is_file()):
            raise Finding("the secret is in the model")
        again = import_model(export_model(model, folder / "home" / "again.zip"), library, name="again")
        if again.card.files != model.card.files:
            raise Finding("the model changed on its way out and in")
    left = {entry for entry in _entries(library.folder) if entry.startswith(".")}
    if left:
        raise Finding(f"in the library stays {left}")


def sidecar(content: bytes, folder: Path) -> None:
    """Read the JSON file beside an image."""
    path = folder / "sent" / "cell.json"
    path.write_bytes(content)
    with _meant_for_the_user():
        read_sidecar(path)


def seg_npy(content: bytes, folder: Path) -> None:
    """Read Cellpose's masks."""
    path = folder / "sent" / "cell_seg.npy"
    path.write_bytes(content)
    with _meant_for_the_user():
        labels = read_labels(path)
        if labels.ndim != 2 or labels.min() < 0:
            raise Finding(f"labels of shape {labels.shape}, from {labels.min()} on")


Target = Callable[[bytes, Path], None]
TARGETS: dict[str, Target] = {"import": import_zip, "sidecar": sidecar, "seg-npy": seg_npy}


def run(name: str, content: bytes, folder: Path) -> None:
    """Give bytes to a target, on a disk of its own in `folder`, where a file that it should not see lies too.

    Raises
    ------
    Finding
        If something else was made or changed than the target is for.
    """
    shutil.rmtree(folder / "home", ignore_errors=True)
    (folder / "sent").mkdir(parents=True, exist_ok=True)
    if not (folder / "secret.txt").exists():
        (folder / "secret.txt").write_bytes(SECRET)
    before, place = _entries(folder), os.getcwd()
    os.chdir(folder)
    try:
        TARGETS[name](content, folder)
    finally:
        os.chdir(place)
    after = _entries(folder) - {"home"}
    if after != before or (folder / "secret.txt").read_bytes() != SECRET:
        raise Finding(f"there is {after} now, where there was {before}")
    if len(_entries(folder / "sent")) != 1:
        raise Finding(f"beside what was sent there is {_entries(folder / 'sent')}")


def _entries(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.exists() else set()


@contextlib.contextmanager
def _meant_for_the_user():
    try:
        yield
    except SegTrainerError as error:
        if len(str(error).splitlines()) != 1:
            raise Finding(f"an error of several lines: {error}") from error
