"""Models that travel: as one file out of a library, and from such a file, another zip file or a folder into it."""

import itertools
import os
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import uuid4

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.bioimageio.description import DESCRIPTION, NO_MODEL_FILES
from napari_seg_trainer.library.celldetective import companions
from napari_seg_trainer.library.foreign import is_weights, read_foreign, weights_name
from napari_seg_trainer.library.library import ModelLibrary, numbered
from napari_seg_trainer.library.model_folder import CARD_FILE, LibraryModel, gone, hash_files, read_model
from napari_seg_trainer.library.pretrained import open_folder
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.library.safe_paths import clash, is_hidden, path_problem
from napari_seg_trainer.library.unpack import MODEL_SUFFIXES, copy_bytes, folder_in, unpack_model, visible_files
from napari_seg_trainer.schema.model_card import ModelCard
from napari_seg_trainer.schema.texts import hidden_in, visible

SUFFIX = ".segmodel"
"""What a model's file ends in: a zip file, with a name of its own by which napari knows what to open it with."""
OnPart = Callable[[int, int], None]
"""Called with how many bytes are done, and of how many."""
TAKEN_SUFFIXES = MODEL_SUFFIXES | {".bin", ".ckpt", ".keras", ".npy", ".npz", ".onnx", ".pb", ".pt", ".safetensors", ""}
"""What the files of a model from elsewhere may end in. Others, such as pages and programs, are left out: what can be
opened by a click may do anything. The report is made anew, from its numbers."""
_TEXTS = {".json", ".txt", ".md", ".html", ".csv"}


def export_model(model: LibraryModel, path: Path, *, overwrite: bool = False, progress: OnPart | None = None) -> Path:
    """Write a model into one zip file: a folder of its name, with the files of its card and the card.

    Parameters
    ----------
    model : LibraryModel
    path : Path
        The file, which appears whole or not at all. Where its name ends in neither ``.segmodel`` nor ``.zip``, the
        first is added.
    overwrite : bool
        Overwrite an existing file.
    progress : callable, optional
        Called with the bytes done, and in all.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    LibraryError
        If the file is there already, the model is damaged, or the disk is full or protected.
    """
    path = archive_path(path)
    _check_target(path, overwrite)
    card = model.card if model.card.files else model.card.replace(files=hash_files(model.folder))
    LibraryModel(model.folder, card).verify()
    unfinished = path.with_name(f".{uuid4().hex}.part")
    with explained(path.parent):
        try:
            with zipfile.ZipFile(unfinished, "x", strict_timestamps=False) as archive:
                archive.writestr(f"{card.name}/{CARD_FILE}", card.model_dump_json(indent=2), zipfile.ZIP_DEFLATED)
                _pack(archive, model.folder, card, _counted(progress, model.folder, card.files))
            _check_target(path, overwrite)
            unfinished.replace(path)
        except FileNotFoundError as error:
            if model.folder.is_dir():
                raise
            raise gone(model.name) from error
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def archive_path(path: Path) -> Path:
    """Return the path that a model's file gets where a user names this one."""
    path = Path(os.path.expanduser(path)).absolute()
    if path.suffix.lower() in (SUFFIX, ".zip") or path.is_dir():
        return path
    return path.with_name(path.name + SUFFIX)


def _check_target(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise LibraryError(f"'{path}' is a folder. Give the name of a file.")
    if path.exists() and not overwrite:
        raise LibraryError(f"'{path}' already exists. Choose another file, or allow it to be overwritten.")


def _pack(archive: zipfile.ZipFile, folder: Path, card: ModelCard, done: Callable[[int], None]) -> None:
    for name in card.files:
        member = zipfile.ZipInfo.from_file(folder / name, f"{card.name}/{name}", strict_timestamps=False)
        # weights hardly shrink
        is_text = PurePosixPath(name).suffix.lower() in _TEXTS
        member.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
        with (folder / name).open("rb") as source, archive.open(member, "w") as target:
            copy_bytes(source, target, done)


def import_model(
    path: Path, library: ModelLibrary | None = None, name: str | None = None, progress: OnPart | None = None
) -> LibraryModel:
    """Copy a model into the library; the original stays as it is.

    Parameters
    ----------
    path : Path
        A zip file, whatever its name ends in, or a folder: ours, whose files must be those that its card names (a zip
        file holds no others, a folder's others are not copied), or StarDist's or Celldetective's; or Cellpose's file of
        weights. Only files of the kinds that models need are taken in.
    library : ModelLibrary, optional
        The user's library if not given.
    name : str, optional
        The model's new name. Without it the model keeps its own, with a number behind where that is taken; but a model
        of this name with the very same files is not copied again.
    progress : callable, optional
        Called with the bytes done, and in all.

    Returns
    -------
    LibraryModel
        The model in the library.

    Raises
    ------
    LibraryError
        If there is no model, it is damaged, the name is taken or impossible, or the disk is full or protected.
    """
    library = ModelLibrary() if library is None else library
    path = Path(os.path.expanduser(path)).absolute()
    if name is not None:
        library.check_new_name(name)
    if not path.is_file() and not path.is_dir():  # a pipe would be waited for
        raise LibraryError(f"There is no file or folder '{path}'. Choose a model's file or folder.")
    with explained(library.folder), _staging(library) as staging:
        take = _copied if path.is_dir() else _weights if is_weights(path) else _unpacked
        copy = take(path, staging, progress)
        _check_texts(copy.card, path)
        card = copy.card.replace(files=hash_files(copy.folder))
        if name is not None:
            return library.register(copy.folder, card.replace(name=name))
        return _same(library, card) or library.register(copy.folder, card.replace(name=library.free_name(card.name)))


def _check_texts(card: ModelCard, origin: Path) -> None:
    """Refuse a card with characters that nobody sees, and that do something where they are shown."""
    text = hidden_in(card.model_dump(mode="json", exclude={"data"}))  # names of files may have any
    if text:
        shown = visible(text.replace("\n", "\\n"))
        raise LibraryError(
            f"The model card in '{origin}' has invisible characters, in '{shown[:100]}'. Ask whoever made "
            "the model for one without them."
        )


@contextmanager
def _staging(library: ModelLibrary) -> Iterator[Path]:
    """Make a folder beside the models, in which a copy can be made that is then only renamed."""
    folder = library.folder / f".importing-{uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _same(library: ModelLibrary, card: ModelCard) -> LibraryModel | None:
    """Return the model that an earlier import of the same files made, if it is there."""
    names, files = itertools.takewhile(lambda name: name in library, numbered(card.name)), _taken(card.files)
    return next((model for model in map(library.find, names) if model and _taken(model.card.files) == files), None)


def _taken(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a model that are taken in, with their checksums."""
    return {name: checksum for name, checksum in files.items() if PurePosixPath(name).suffix.lower() in TAKEN_SUFFIXES}


def _unpacked(archive: Path, staging: Path, progress: OnPart | None) -> LibraryModel:
    """Unpack the texts to see whose model it is, then what belongs to it."""
    name = folder_in(archive)
    texts = unpack_model(archive, staging / "texts", {".json"})
    folder = staging / "model" / name  # Celldetective's weights are named like the folder
    with _told_of(archive, instead_of=(texts, folder)):
        if not (texts / CARD_FILE).is_file():
            unpack_model(archive, folder, MODEL_SUFFIXES, {name}, progress)
            return open_folder(folder)
        card = _own_card(texts, archive)
        _check_nothing_else(archive, {CARD_FILE, *card.files})
        card = card.replace(files=_taken(card.files))
        unpack_model(archive, folder, (), {CARD_FILE, *card.files}, progress)
        return _checked(LibraryModel(folder, card), archive)


@contextmanager
def _told_of(archive: Path, instead_of: Sequence[Path]) -> Iterator[None]:
    """Let errors name what the user knows, in place of the folders that it is unpacked to."""
    try:
        yield
    except LibraryError as error:
        message = str(error)
        for folder in instead_of:
            message = message.replace(str(folder), str(archive))
        raise LibraryError(message) from error


def _copied(source: Path, staging: Path, progress: OnPart | None) -> LibraryModel:
    """Copy what belongs to a model from a folder."""
    own = (source / CARD_FILE).is_file()
    card = _own_card(source, source) if own else open_folder(source).card
    card = card.replace(files=_taken(card.files))
    names = card.files if own else _foreign_files(source)
    folder, done = staging / source.resolve().name, _counted(progress, source, names)
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with _opened(source, name) as file, target.open("xb") as copy:
            copy_bytes(file, copy, done)
    model = LibraryModel(folder, card)
    return _checked(model, source) if own else model


def _weights(file: Path, staging: Path, progress: OnPart | None) -> LibraryModel:
    """Copy a file of weights into a folder of its own."""
    card = read_foreign(file)
    folder = staging / card.name
    folder.mkdir()
    with _opened(file.parent, file.name) as source, (folder / weights_name(file)).open("xb") as copy:
        copy_bytes(source, copy, _counted(progress, file.parent, [file.name]))
    return LibraryModel(folder, card)


def _own_card(folder: Path, origin: Path) -> ModelCard:
    """Return the card of a model of ours; its list of files leads nowhere else."""
    card = read_model(folder).card
    problem = _list_problem([*card.files])
    if problem:
        raise LibraryError(f"The model card in '{origin}' has an invalid file list: {problem}. Export the model again.")
    return card


def _list_problem(names: Sequence[str]) -> str:
    """Return what is wrong with a card's list of files, or nothing."""
    paths = [PurePosixPath(name) for name in names]
    unfit = next((f"{name!r} is not allowed" for name in names if not _can_be_listed(name)), "")
    twice = clash([PurePosixPath(CARD_FILE), *paths])
    return (
        ("" if names else "it is empty")
        or next(filter(None, map(path_problem, names)), "")
        or unfit
        or (f"it names a file twice, '{twice}'" if twice else "")
    )


def _can_be_listed(name: str) -> bool:
    path = PurePosixPath(name)
    return str(path) == name and bool(path.parts) and not is_hidden(path)


def _check_nothing_else(archive: Path, listed: Collection[str]) -> None:
    """Refuse an archive with a file that the model card, which lies in it, does not list."""
    names = visible_files(archive)
    cards = [name for name in names if name.name == CARD_FILE]
    home = min(cards, key=lambda name: len(name.parts)).parent
    packaged = NO_MODEL_FILES if home / DESCRIPTION in names else ()  # a package for other programs too
    for name in names:
        inside = name.relative_to(home).as_posix() if name.is_relative_to(home) else ""
        # a zip file that somebody made of a library's folder
        if inside not in listed and inside not in packaged and inside not in companions(home.name):
            raise LibraryError(
                f"'{archive}' holds the file '{name}', which its model card does not list. Export the model again."
            )


def _checked(model: LibraryModel, origin: Path) -> LibraryModel:
    """Return a model whose files are those that its card names."""
    found = hash_files(model.folder)
    for name, expected in model.card.files.items():
        if name not in found:
            raise _lacking(origin, name)
        if found[name] != expected:
            raise LibraryError(
                f"File '{name}' in '{origin}' was changed after the model was made. Export the model again."
            )
    return model


def _opened(folder: Path, name: str) -> BinaryIO:
    if not (folder / name).is_file():
        raise _lacking(folder, name)
    try:
        return (folder / name).open("rb")
    except OSError as error:
        raise LibraryError(f"'{folder / name}' cannot be read: {error.strerror}. Check its permissions.") from error


def _lacking(origin: Path, name: str) -> LibraryError:
    return LibraryError(f"The model in '{origin}' lacks its file '{name}'. Export the model again.")


def _foreign_files(folder: Path) -> list[str]:
    """Return the files of another program's model: by their kind, and Cellpose's weights, named like the folder."""
    weights = folder.resolve().name
    return [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name[0] != "." and (path.suffix.lower() in MODEL_SUFFIXES or path.name == weights)
    ]


def _counted(progress: OnPart | None, folder: Path, names: Collection[str]) -> Callable[[int], None]:
    """Return a function that is called with the bytes of each piece, and calls `progress` with those of all."""
    done, total = 0, sum((folder / name).stat().st_size for name in names if (folder / name).is_file())

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return tell
