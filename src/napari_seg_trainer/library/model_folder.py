"""One model on disk: a folder of the engine's own files, with a model card."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from napari_seg_trainer.engines.foreign import first_problem, read_description
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.files import open_file, write_text
from napari_seg_trainer.library.safe_paths import is_hidden
from napari_seg_trainer.schema.job import TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard

CARD_FILE, JOB_FILE = "model_card.json", "job.json"


@dataclass(frozen=True)
class LibraryModel:
    """A model on disk.

    Attributes
    ----------
    folder : Path
        Where its files are.
    card : ModelCard
        What it knows of itself.
    """

    folder: Path
    card: ModelCard

    @property
    def name(self) -> str:
        """The model's name."""
        return self.card.name

    def verify(self) -> None:
        """Check that the model's files are those that its card names.

        Raises
        ------
        LibraryError
            If a file is missing or was changed; names it.
        """
        for name, expected in self.card.files.items():
            try:
                found = _sha256(self.folder / name)
            except OSError as error:
                if not self.folder.is_dir():
                    raise gone(self.name) from error
                raise LibraryError(
                    f"Model '{self.name}' lacks its file '{name}' in '{self.folder}'. Restore or delete the model."
                ) from error
            if found != expected:
                raise LibraryError(
                    f"File '{name}' of model '{self.name}' was changed after the model was made. Restore or delete it."
                )


def gone(name: str) -> LibraryError:
    """Return the error for a model that was there a moment ago."""
    return LibraryError(f"Model '{name}' has just been deleted or renamed by another program. List the models again.")


def read_model(folder: Path) -> LibraryModel:
    """Return the model in a folder that has a model card.

    Raises
    ------
    LibraryError
        If the card is missing or cannot be read.
    """
    path = folder / CARD_FILE
    try:
        content = read_description(path)
    except OSError as error:
        raise LibraryError(f"'{folder}' is not a model of this program: it has no readable {CARD_FILE}.") from error
    try:
        return LibraryModel(folder, ModelCard.model_validate_json(content))
    except ValidationError as error:
        raise LibraryError(
            f"Model card '{path}' cannot be used ({first_problem(error)}). Restore it, or update this program."
        ) from error


def job_of(model: LibraryModel) -> TrainingJob | None:
    """Return what a model's training was asked for; None where its folder does not say."""
    try:
        return TrainingJob.model_validate_json(read_description(model.folder / JOB_FILE))
    except (OSError, LibraryError, ValidationError):
        return None


def write_card(folder: Path, card: ModelCard) -> None:
    """Write a model's card into its folder, whole or not at all."""
    write_text(folder / CARD_FILE, card.model_dump_json(indent=2) + "\n")


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder and below but the card and hidden ones, by its path with '/'."""
    if not folder.is_dir():
        raise LibraryError(f"'{folder}' is not a folder, so it holds no model. Give the folder of the model's files.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / CARD_FILE)
    visible = [path for path in files if not is_hidden(path.relative_to(folder))]
    if not visible:
        raise LibraryError(f"'{folder}' is empty, so it holds no model. Give the folder of the model's files.")
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in visible}


def _sha256(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
