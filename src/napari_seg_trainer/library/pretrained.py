"""Models to start from: from the library, from a folder, or built in and fetched on first use."""

import atexit
import hashlib
import json
import logging
import os
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated
from uuid import uuid4

from filelock import FileLock
from pydantic import Field, TypeAdapter, ValidationError

from napari_seg_trainer import paths
from napari_seg_trainer.engines.foreign import ForeignReader
from napari_seg_trainer.engines.pretrained import PretrainedModel
from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.engines.registry import engine_specs, foreign_reader, missing
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.files import make_temporary_folder, read_bytes, write_text
from napari_seg_trainer.library.download import OnBytes, alone, download
from napari_seg_trainer.library.foreign import read_foreign
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import CARD_FILE, LibraryModel, read_model
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.library.unpack import unpack_model
from napari_seg_trainer.schema.model_card import ModelChannel

CHECKSUMS_FILE, MOST_CHECKSUMS = ".checksums.json", 1 << 20
_CHECKSUMS = TypeAdapter(dict[str, Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]])
_log = logging.getLogger(__name__)


def builtin_models(spec: EngineSpec | None = None) -> dict[str, tuple[EngineSpec, PretrainedModel]]:
    """Return the built-in models of an engine, or of all, by name."""
    specs = engine_specs().values() if spec is None else [spec]
    return {model.name: (spec, model) for spec in specs for model in spec.pretrained}


def resolve_pretrained(
    text: str, engine: str, library: ModelLibrary | None = None, progress: OnBytes | None = None
) -> LibraryModel:
    """Return the model that `text` means.

    Parameters
    ----------
    text : str
        A name in the library, a model folder (ours, StarDist's or Celldetective's) or Cellpose's file of weights, or a
        built-in name; the first of these that fits.
    engine : str
        The engine that is to go on with it.
    library : ModelLibrary, optional
        The user's library if not given.
    progress : callable, optional
        Called with the bytes done, and in all, where a built-in model is fetched.

    Raises
    ------
    LibraryError
        If it is none of them, is damaged, or is of another engine.
    DownloadError
        If a built-in model cannot be fetched.
    """
    library = ModelLibrary() if library is None else library
    builtin = builtin_models().get(text)
    if text in library:
        found = library.get(text)
    elif text and os.path.isdir(_path(text)):
        found = open_folder(_path(text))
    elif text and os.path.isfile(_path(text)):
        found = LibraryModel(_path(text), read_foreign(_path(text)))
    elif builtin is not None:
        spec, model = builtin
        _check_engine(text, spec.id, engine)  # before a download in vain
        found = fetch(model, spec, progress=progress)
    else:
        raise LibraryError(_unknown(text, library))
    _check_engine(text, found.card.engine, engine)
    return found


def starters() -> list[tuple[EngineSpec, PretrainedModel]]:
    """Return the models that come along, of all engines that are installed."""
    specs = [spec for spec in engine_specs().values() if not missing(spec)]
    return [(spec, model) for spec in specs for model in spec.pretrained if model.is_starter]


def open_model(name_or_path: str | Path, library: ModelLibrary | None = None) -> LibraryModel:
    """Return a model by its name in the library, by its folder, or a starter by its name.

    Parameters
    ----------
    name_or_path : str or Path
        A text that is a name in the library means that model.
    library : ModelLibrary, optional
        The user's library if not given.

    Raises
    ------
    LibraryError
        If it is none of them, or the model is broken.
    """
    library = library or ModelLibrary()
    if isinstance(name_or_path, str) and name_or_path in library:
        return library.get(name_or_path)
    folder = _path(str(name_or_path))
    if os.path.isdir(folder):
        return read_model(folder)
    found = next((fetch(model, spec) for spec, model in starters() if model.name == name_or_path), None)
    return found or library.get(str(name_or_path))


def open_folder(folder: Path) -> LibraryModel:
    """Return the model in a folder, made here, by StarDist or by Celldetective.

    Raises
    ------
    LibraryError
        If it is none of them, or is damaged.
    """
    return read_model(folder) if (folder / CARD_FILE).is_file() else LibraryModel(folder, read_foreign(folder))


def fetch(
    model: PretrainedModel, spec: EngineSpec, folder: Path | None = None, progress: OnBytes | None = None
) -> LibraryModel:
    """Return a built-in model, fetched if it is not there yet.

    Parameters
    ----------
    model : PretrainedModel
        Which one.
    spec : EngineSpec
        The engine that it is of.
    folder : Path, optional
        The folder of all downloads; the user's if not given.
    progress : callable, optional
        Called with the bytes done, and in all.

    Raises
    ------
    LibraryError
        If the archive is not what it should be, or the disk is full or protected.
    DownloadError
        If it cannot be fetched.
    """
    target = (paths.downloads_folder() if folder is None else folder) / _folder_name(model)
    if _along(model) is not None:
        if target.is_dir():
            _put_damaged_aside(target)
        elif not _can_hold(target.parent):  # as where an administrator has installed all for everybody
            target = _temporary_downloads() / target.name
    if not target.is_dir():
        with explained(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target, progress):
            if not target.is_dir():  # else another process was faster
                _bring(model, spec, target, progress)
    try:
        if (target / CARD_FILE).is_file():
            return LibraryModel(target, read_model(target).card.replace(name=model.name))
        card = read_foreign(target)
    except LibraryError as error:
        raise LibraryError(f"{error} Or delete '{target}', and it is downloaded again.") from error
    scaling = card.channels[0].normalization
    channels = tuple(ModelChannel(name=name, normalization=scaling) for name in model.channels)
    return LibraryModel(target, card.replace(name=model.name, channels=channels))


def _bring(model: PretrainedModel, spec: EngineSpec, target: Path, progress: OnBytes | None) -> None:
    """Fetch a model's file, and make a folder of it."""
    there = _along(model)
    if there is not None and model.is_archive:
        _unpack_once(there, target)
        return
    file = _file_of(model, target, progress)
    unknown = there is None and model.checksum is None and known_checksum(model.url, target.parent) is None
    checksum = _checksum(file) if unknown else ""
    try:
        if model.is_archive:
            _unpack_once(file, target)
        else:
            _place_once(file, target, foreign_reader(spec))
    finally:
        file.unlink(missing_ok=True)
    if checksum:
        _remember_checksum(model, checksum, target.parent)


def _put_damaged_aside(target: Path) -> None:
    """Rename the folder of a model that comes along, if it is not as it was unpacked: it can be unpacked anew."""
    try:
        read_model(target).verify()
    except LibraryError:
        with explained(target.parent), suppress(FileNotFoundError):  # another process was faster
            target.rename(target.with_name(f"{target.name}.damaged-{uuid4().hex[:8]}"))


def _can_hold(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@cache
def _temporary_downloads() -> Path:
    """Return a folder of this process, which is gone with it."""
    folder = make_temporary_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _folder_name(model: PretrainedModel) -> str:
    """Return what a model's folder is called; another one for another version of a file that comes along."""
    file = _along(model)
    return model.name if file is None else f"{model.name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}"


def _along(model: PretrainedModel) -> Path | None:
    """Return a model's file where it comes along in a package."""
    try:
        there = model.file()
    except ModuleNotFoundError as error:
        raise LibraryError(f"The package of pretrained model {model.name!r} is not installed: {error}.") from error
    if there is not None and not there.is_file():
        raise LibraryError(f"Pretrained model {model.name!r} lacks its file '{there}'. Reinstall its package.")
    return there


def _file_of(model: PretrainedModel, target: Path, progress: OnBytes | None) -> Path:
    """Return a model's file, fetched or copied to where it can be moved."""
    place = target.with_name(f"{model.name}{'.zip' if model.is_archive else '.weights'}")
    there = _along(model)
    if there is None:
        checksum = model.checksum or known_checksum(model.url, target.parent)
        return download(model.url, place, checksum=checksum, progress=progress)
    with explained(target.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(there, place)
    return place


def known_checksum(url: str, folder: Path) -> str | None:
    """Return the checksum of what an address gave the first time, where none is published."""
    try:
        return _CHECKSUMS.validate_json(read_bytes(folder / CHECKSUMS_FILE, MOST_CHECKSUMS)).get(url)
    except (OSError, ValidationError):
        return None


def _checksum(file: Path) -> str:
    with file.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"


def _remember_checksum(model: PretrainedModel, checksum: str, folder: Path) -> None:
    """Write down what came, so that it is the same another time; whether it is right cannot be checked."""
    path = folder / CHECKSUMS_FILE
    with explained(path), FileLock(path.with_name(f"{CHECKSUMS_FILE}.lock")):
        try:
            known = _CHECKSUMS.validate_json(read_bytes(path, MOST_CHECKSUMS))
        except (OSError, ValidationError):
            known = {}
        write_text(path, json.dumps({**known, model.url: checksum}, indent=2))
    _log.warning(
        "The checksum of the pretrained model '%s' is not published. That of the file from %s is stored in '%s' (%s), "
        "and later downloads are compared with it.",
        *(model.name, model.url, path, checksum),
    )


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # pathlib's own raises where there is no such user


def _unpack_once(archive: Path, target: Path) -> None:
    try:
        unpack_model(archive, target)
    except LibraryError:
        if not target.is_dir():  # else another process was faster
            raise


def _place_once(file: Path, target: Path, reader: ForeignReader) -> None:
    """Move a file of weights into a folder of its own, which appears with the file in it."""
    reader.read(file)
    unfinished = target.with_name(f".placing-{uuid4().hex}")
    with explained(target.parent):
        unfinished.mkdir(parents=True)
        try:
            os.replace(file, unfinished / reader.file_name)
            os.rename(unfinished, target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _check_engine(text: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise LibraryError(
            f"Pretrained model '{text}' is for the engine '{found}', but this job is for '{wanted}'. "
            "Choose another pretrained model or another engine."
        )


def _unknown(text: str, library: ModelLibrary) -> str:
    own = ", ".join(library.names()) or "none yet"
    builtin = ", ".join(builtin_models())
    return (
        f"There is no pretrained model '{text}'. In the library: {own}. Built in: {builtin}. "
        "A model folder, or a file of weights, can be given too."
    )
