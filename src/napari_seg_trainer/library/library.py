"""The model library: a folder with a folder for each model.

A model is complete from the moment at which its folder has its name: it is made elsewhere and renamed into place, and a
rename onto a folder that is there fails on every system. That rename is the only lock.
"""

import difflib
import errno
import itertools
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from napari_seg_trainer import paths
from napari_seg_trainer.engines.foreign import first_problem
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.celldetective import remove_companions, write_companions
from napari_seg_trainer.library.model_folder import CARD_FILE, LibraryModel, gone, hash_files, read_model, write_card
from napari_seg_trainer.library.problems import disk_problem, explained
from napari_seg_trainer.schema.job import AUTOMATIC, SCRATCH
from napari_seg_trainer.schema.model_card import ModelCard
from napari_seg_trainer.schema.names import MAX_NAME_LENGTH, check_model_name

FORGOTTEN_SECONDS = 24 * 3600.0
_UNFINISHED = (".incoming-", ".importing-", ".deleted-")
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY}
_log = logging.getLogger(__name__)
__all__ = ["LibraryModel", "ModelLibrary"]


class ModelLibrary:
    """All models in one folder; nothing is remembered between calls, so that other processes' changes show at once.

    Parameters
    ----------
    folder : Path, optional
        Where it is; the user's library if not given. It need not exist.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = paths.models_folder() if folder is None else Path(folder)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a model of this name, broken or not."""
        return name in self._entries() and (self.folder / str(name) / CARD_FILE).is_file()

    def __iter__(self) -> Iterator[LibraryModel]:
        """Give each model, by name; a broken one is skipped and logged, never touched."""
        for name in self._entries():
            try:
                yield self._read(name)
            except LibraryError as error:
                if (self.folder / name).is_dir():  # else another program has just deleted or renamed it
                    _log.warning("%s", error)

    def names(self) -> list[str]:
        """Return the names of all models that can be read."""
        return [model.name for model in self]

    def broken(self) -> dict[str, str]:
        """Return what is wrong with each folder that is not a readable model, by folder name."""
        problems = {}
        for name in self._entries():
            problem = self._problem(name)
            if problem:
                problems[name] = problem
        return problems

    def get(self, name: str) -> LibraryModel:
        """Return a model.

        Raises
        ------
        LibraryError
            If there is none of this name, or it is broken.
        """
        self.require(name)
        try:
            return self._read(name)
        except LibraryError as error:
            if (self.folder / name).is_dir():
                raise
            raise gone(name) from error

    def require(self, name: str) -> None:
        """Raise a `LibraryError` that says which name was meant, if there is no model, broken or not, of this name."""
        known = self._entries()
        if name in known:
            return
        close = difflib.get_close_matches(name.lower(), [entry.lower() for entry in known])
        meant = [entry for entry in known if entry.lower() in close]
        hint = (
            f"Did you mean {' or '.join(repr(entry) for entry in meant)}?" if meant else "List the models to see them."
        )
        raise LibraryError(f"There is no model {name!r} in the library '{self.folder}'. {hint}")

    def find(self, name: str) -> LibraryModel | None:
        """Return the model of this name, or None where there is none, or it is broken."""
        try:
            return self.get(name)
        except LibraryError:
            return None

    def check_new_name(self, name: str) -> str:
        """Return `name` if a new model can have it.

        Raises
        ------
        LibraryError
            If it is not a valid name, or one in the library differs from it at most by upper and lower case.
        """
        try:
            check_model_name(name)
        except ValueError as error:
            raise LibraryError(str(error)) from error
        if name.lower() in (AUTOMATIC, SCRATCH):
            raise LibraryError(f"Model name '{name}' cannot be used: it is reserved. Choose another name.")
        taken = {entry.lower(): entry for entry in self._all_entries()}.get(name.lower())
        if taken is not None:
            same = "" if taken == name else f" as '{taken}'"
            raise LibraryError(f"Model name '{name}' is already in the library{same}. Choose another name.")
        return name

    def free_name(self, name: str) -> str:
        """Return `name`, or the first of NAME-2, NAME-3 and so on, that a new model can have.

        Raises
        ------
        LibraryError
            If it is not a valid name.
        """
        taken = {entry.lower() for entry in self._all_entries()}
        free = next(option for option in numbered(name) if option.lower() not in taken)
        return self.check_new_name(free)

    def register(self, finished: Path, card: ModelCard) -> LibraryModel:
        """Move a finished model into the library, its card with it.

        Parameters
        ----------
        finished : Path
            The folder of its files; it is gone afterwards. If anything fails it stays, and nothing is in the library.
        card : ModelCard
            Its name is the model's; the hashes of all files are filled in here.

        Returns
        -------
        LibraryModel
            The model in its place.

        Raises
        ------
        LibraryError
            If the name is taken, also by another process at the same moment, or the disk is full or protected.
        """
        target = self.folder / self.check_new_name(card.name)
        with explained(finished):
            card = card.replace(files=hash_files(finished))
            write_card(finished, card)
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        try:
            os.rename(finished, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise self._not_placed(error, card.name) from error
            self._copy_in(finished, target, card.name)
        write_companions(target, card)
        return LibraryModel(target, card)

    def rename(self, old: str, new: str) -> LibraryModel:
        """Give a model another name and return it.

        Raises
        ------
        LibraryError
            If there is no model `old`, or the name `new` cannot be had.
        """
        model = self.get(old)
        if old.lower() != new.lower():
            self.check_new_name(new)
        card = _renamed(model.card, new)
        with explained(self.folder):
            remove_companions(model.folder, model.card)
        try:
            os.rename(model.folder, self.folder / new)
        except FileNotFoundError as error:
            raise gone(old) from error
        except OSError as error:
            write_companions(model.folder, model.card)
            raise self._not_placed(error, new) from error
        try:
            write_card(self.folder / new, card)
        except FileNotFoundError as error:
            raise gone(new) from error
        except OSError as error:
            raise LibraryError(disk_problem(error, self.folder)) from error
        write_companions(self.folder / new, card)
        return LibraryModel(self.folder / new, card)

    def delete(self, name: str) -> None:
        """Delete a model, or a broken folder, for good.

        Raises
        ------
        LibraryError
            If there is none of this name, or it may not be deleted.
        """
        self.require(name)
        doomed = self.folder / f".deleted-{uuid4().hex}"
        with explained(self.folder):
            try:
                os.rename(self.folder / name, doomed)
            except FileNotFoundError as error:
                raise gone(name) from error
        if doomed.is_symlink():
            doomed.unlink()
            return
        try:
            shutil.rmtree(doomed)
        except OSError as error:
            _log.warning("Model '%s' is deleted, but some of its files stay in '%s': %s", name, doomed, error)

    def _sweep(self) -> None:
        """Remove what processes that were killed have left half made, a day later."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.name.startswith(_UNFINISHED) and time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    def _copy_in(self, finished: Path, target: Path, name: str) -> None:
        """Move from another file system: a copy beside the target first, so that the name appears with all files."""
        incoming = self.folder / f".incoming-{uuid4().hex}"
        try:
            shutil.copytree(finished, incoming)
            os.rename(incoming, target)
        except shutil.Error as error:
            # copytree goes on after a failure and hands over the system's words instead of its error
            failed = error.args[0][0][2] if error.args and error.args[0] else str(error)
            raise LibraryError(
                f"Model '{name}' could not be copied to '{self.folder}': {failed}. It is still in '{finished}'."
            ) from error
        except OSError as error:
            raise self._not_placed(error, name) from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        shutil.rmtree(finished, ignore_errors=True)

    def _not_placed(self, error: OSError, name: str) -> LibraryError:
        if error.errno in _TAKEN:
            return LibraryError(f"Model name '{name}' has just been taken in the library. Choose another name.")
        return LibraryError(disk_problem(error, self.folder))

    def _all_entries(self) -> list[str]:
        """Return the names of all files and folders, the library's own hidden ones apart."""
        try:
            return sorted(name for name in os.listdir(self.folder) if not name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LibraryError(
                f"The model library '{self.folder}' cannot be read: {error.strerror}. Check its permissions."
            ) from error

    def _entries(self) -> list[str]:
        return [name for name in self._all_entries() if (self.folder / name).is_dir()]

    def _read(self, name: str) -> LibraryModel:
        # the folder's name is the model's: somebody may have renamed the folder by hand
        model = read_model(self.folder / name)
        return model if model.name == name else LibraryModel(model.folder, _renamed(model.card, name))

    def _problem(self, name: str) -> str:
        try:
            self._read(name)
        except LibraryError as error:
            return str(error)
        return ""


def numbered(name: str) -> Iterator[str]:
    """Yield NAME, NAME-2, NAME-3 and so on, all short enough for a model."""
    yield name
    for number in itertools.count(2):
        yield f"{name[: MAX_NAME_LENGTH - len(str(number)) - 1]}-{number}"


def _renamed(card: ModelCard, name: str) -> ModelCard:
    try:
        return card.replace(name=name)
    except ValidationError as error:
        raise LibraryError(first_problem(error)) from error
