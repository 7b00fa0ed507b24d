"""Models that an engine's own package made: what is read of them, and by whom. Nothing here imports a framework."""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.files import read_bytes
from napari_seg_trainer.schema.job import Normalization

MAX_TEXT_BYTES = 16 << 20
"""More than any description of a model has."""
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class ForeignModel:
    """What is in the files of such a model.

    Attributes
    ----------
    engine : str
        Id of the engine that can use it.
    file : Path
        The file that was written when the model was made.
    channels : int, optional
        How many the network takes; None where that is for its user to say.
    normalization : Normalization
        How its makers scale intensities.
    epochs : int, optional
    hyperparameters : mapping
        Under the names that the engine gives them.
    """

    engine: str
    file: Path
    channels: int | None = None
    normalization: Normalization = field(default_factory=Normalization)
    epochs: int | None = None
    hyperparameters: Mapping[str, JsonValue] = field(default_factory=dict)


class ForeignReader(Protocol):
    """Reads the models of an engine's own package; an `EngineSpec` names it by its ``foreign``.

    Attributes
    ----------
    layout : str
        What a folder of such a model has, for messages: ``"config.json (StarDist)"``. Empty where models are files.
    file_name : str
        What a single file of weights is called in a model folder; empty where models are folders.
    celldetective : str
        The ``model_type`` that Celldetective's folders have around such a model; empty where it makes none.
    celldetective_inputs : int
        How many channels its networks always take; 0 where these are the model's own.
    """

    layout: str
    file_name: str
    celldetective: str
    celldetective_inputs: int

    def claims(self, path: Path) -> bool:
        """Whether a folder or file looks like such a model, so that `read` can say what is wrong with it."""
        ...

    def is_model(self, folder: Path) -> bool:
        """Whether the names of its files leave no doubt that a folder holds such a model."""
        ...

    def read(self, path: Path) -> ForeignModel:
        """Return what is in a folder or file.

        Raises
        ------
        LibraryError
            If it is damaged, a file is missing, or it cannot be used here.
        """
        ...

    def celldetective_settings(self, folder: Path) -> Mapping[str, JsonValue]:
        """Return what Celldetective is to know of a model of ours besides its channels and sizes."""
        ...


def read_description(path: Path) -> bytes:
    """Return what a file that describes a model holds.

    Raises
    ------
    OSError
        If it cannot be read, or is a pipe or a device.
    LibraryError
        If it is too large to be one.
    """
    try:
        return read_bytes(path, MAX_TEXT_BYTES)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise LibraryError(
            f"'{path}' is larger than {MAX_TEXT_BYTES >> 20} MiB. Copy the model again from its source."
        ) from error


def load_description(path: Path, kind: type[_Model]) -> _Model:
    """Return what is in a JSON file that describes a model.

    Raises
    ------
    LibraryError
        If it cannot be read, or is not of this kind.
    """
    try:
        content = json.loads(read_description(path))
        if not isinstance(content, dict):
            raise damaged(path, f"it holds a {type(content).__name__}, not an object with names and values")
        return kind.model_validate(content)
    except ValidationError as error:
        raise damaged(path, first_problem(error)) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, "it is not JSON") from error
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error


def damaged(path: Path, what: str) -> LibraryError:
    """Return the error for a file of a model that cannot be used; `what` is wrong with it."""
    return LibraryError(f"'{path}' cannot be used: {what}. Copy the model folder again from its source.")


def first_problem(error: ValidationError) -> str:
    """Return the first thing that pydantic found wrong, in one line without a full stop."""
    item = error.errors()[0]
    place = ".".join(str(part) for part in item["loc"])
    what = item["msg"].removeprefix("Value error, ").splitlines()[0].rstrip(".")
    return f"{place}: {what}" if place else what
