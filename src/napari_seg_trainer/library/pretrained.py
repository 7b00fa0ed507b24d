"""Models to start from: from the library, from a folder, or built in and fetched on first use."""

import os
from pathlib import Path

from napari_seg_trainer import paths
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.download import Progress, download
from napari_seg_trainer.library.foreign import read_foreign
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import CARD_FILE, LibraryModel, read_model
from napari_seg_trainer.library.unpack import unpack_model
from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.model_card import ModelChannel

_STARDIST_MODELS = "https://github.com/stardist/stardist-models/releases/download/v0.1"


class PretrainedModel(FrozenModel):
    """A built-in model.

    Attributes
    ----------
    name : str
        What users call it.
    title : str
        What it is good for, in a few words.
    engine : str
        The engine that it is of.
    url : str
        Where its zip archive is.
    checksum : str
        Of the archive, such as ``"sha256:..."``.
    channels : tuple of str
        Names of its inputs.
    """

    name: str
    title: str
    engine: str
    url: str
    checksum: str
    channels: tuple[str, ...]


BUILTIN_MODELS = (
    PretrainedModel(
        name="2D_versatile_fluo",
        title="Fluorescent nuclei of many kinds",
        engine="stardist",
        url=f"{_STARDIST_MODELS}/python_2D_versatile_fluo.zip",
        checksum="sha256:4ad678d0758eed6e55625f1b5ae30771e59adb79f1239e09b9772eac8846c3dd",
        channels=("nuclei",),
    ),
    PretrainedModel(
        name="2D_paper_dsb2018",
        title="Fluorescent nuclei, as in the StarDist paper",
        engine="stardist",
        url=f"{_STARDIST_MODELS}/python_2D_paper_dsb2018.zip",
        checksum="sha256:4c11cf68512341d9e8ce3d1278c64ceb8ac400582739f85fcab079a2e82840d2",
        channels=("nuclei",),
    ),
    PretrainedModel(
        name="2D_versatile_he",
        title="Nuclei in H&E stained tissue (RGB images)",
        engine="stardist",
        url=f"{_STARDIST_MODELS}/python_2D_versatile_he.zip",
        checksum="sha256:f1696ef0631bd7e1c0e5c0d3017e2b4c6a95e284c6aab9c22fc2f08317817b28",
        channels=("red", "green", "blue"),
    ),
)


def resolve_pretrained(
    text: str, engine: str, library: ModelLibrary | None = None, progress: Progress | None = None
) -> LibraryModel:
    """Return the model that `text` means.

    Parameters
    ----------
    text : str
        A name in the library, a model folder (ours, StarDist's or Celldetective's), or a built-in name; the first of
        these that fits.
    engine : str
        The engine that is to go on with it.
    library : ModelLibrary, optional
        The user's library if not given.
    progress : callable, optional
        Is told the bytes done, and in all, where a built-in model is fetched.

    Raises
    ------
    LibraryError
        If it is none of them, is damaged, or is of another engine.
    DownloadError
        If a built-in model cannot be fetched.
    """
    library = ModelLibrary() if library is None else library
    builtin = next((model for model in BUILTIN_MODELS if model.name == text), None)
    if text in library:
        found = library.get(text)
    elif text and os.path.isdir(_path(text)):
        found = open_folder(_path(text))
    elif builtin is not None:
        _check_engine(text, builtin.engine, engine)  # before a download in vain
        found = fetch(builtin, progress=progress)
    else:
        raise LibraryError(_unknown(text, library))
    _check_engine(text, found.card.engine, engine)
    return found


def open_folder(folder: Path) -> LibraryModel:
    """Return the model in a folder, made here, by StarDist or by Celldetective.

    Raises
    ------
    LibraryError
        If it is none of them, or is damaged.
    """
    return read_model(folder) if (folder / CARD_FILE).is_file() else LibraryModel(folder, read_foreign(folder))


def fetch(model: PretrainedModel, folder: Path | None = None, progress: Progress | None = None) -> LibraryModel:
    """Return a built-in model, fetched if it is not there yet.

    Parameters
    ----------
    model : PretrainedModel
        Which one.
    folder : Path, optional
        The folder of all downloads; the user's if not given.
    progress : callable, optional
        Is told the bytes done, and in all.

    Raises
    ------
    LibraryError
        If the archive is not what it should be, or the disk is full or protected.
    DownloadError
        If it cannot be fetched.
    """
    target = (paths.downloads_folder() if folder is None else folder) / model.name
    if not target.is_dir():
        archive = download(model.url, target.with_name(f"{model.name}.zip"), checksum=model.checksum, progress=progress)
        _unpack_once(archive, target)
        archive.unlink(missing_ok=True)
    try:
        card = read_foreign(target)
    except LibraryError as error:
        raise LibraryError(f"{error} Or delete '{target}', and it is fetched anew.") from error
    channels = tuple(ModelChannel(name=name) for name in model.channels)
    return LibraryModel(target, card.replace(name=model.name, channels=channels))


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # pathlib's own raises where there is no such user


def _unpack_once(archive: Path, target: Path) -> None:
    try:
        unpack_model(archive, target)
    except LibraryError:
        if not target.is_dir():  # else another process was faster
            raise


def _check_engine(text: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise LibraryError(
            f"Pretrained model '{text}' is for the engine '{found}', but this job is for '{wanted}'. "
            "Choose another pretrained model or another engine."
        )


def _unknown(text: str, library: ModelLibrary) -> str:
    if os.path.isfile(_path(text)):
        return (
            f"Pretrained model '{text}' is a file. Import it into the library first, or choose the folder that holds "
            "the model's files."
        )
    own = ", ".join(library.names()) or "none yet"
    builtin = ", ".join(model.name for model in BUILTIN_MODELS)
    return (
        f"There is no pretrained model '{text}'. In the library: {own}. Built in: {builtin}. "
        "A model folder can be given too."
    )
