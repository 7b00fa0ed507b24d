"""Models to start from: from the library, from a folder, or built in and fetched on first use."""

import os
import shutil
from pathlib import Path
from uuid import uuid4

from napari_seg_trainer import paths
from napari_seg_trainer.engines.cellpose.files import WEIGHTS_FILE, network_of
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.download import Progress, download
from napari_seg_trainer.library.foreign import read_foreign
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import CARD_FILE, LibraryModel, read_model
from napari_seg_trainer.library.problems import explained
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
        Where its zip archive is, or its file of weights.
    checksum : str
        Of that file, such as ``"sha256:..."``; None where neither its makers nor others tell one.
    channels : tuple of str
        Names of its inputs.
    """

    name: str
    title: str
    engine: str
    url: str
    checksum: str | None
    channels: tuple[str, ...]

    @property
    def is_archive(self) -> bool:
        """Whether it comes as a zip archive."""
        return self.url.endswith(".zip")


_CELLPOSE_MODELS = "https://www.cellpose.org/models"
_CELLPOSE_SAM = "https://huggingface.co/mouseland/cellpose-sam/resolve/main"


def _cellpose(name: str, title: str, file: str, sha256: str | None = None) -> PretrainedModel:
    """Describe weights of Cellpose 1 to 3; the hashes are those that users of the files have recorded."""
    return PretrainedModel(
        name=name,
        title=title,
        engine="cellpose",
        url=f"{_CELLPOSE_MODELS}/{file}",
        checksum=f"sha256:{sha256}" if sha256 else None,
        channels=("channel 0",),
    )


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
    _cellpose(
        "cyto3",
        "Whole cells of all kinds, also with a channel of nuclei (Cellpose 3)",
        "cyto3",
        "2dc3087a8abd7da46d1ab0ddd5824639933cc3ff63b382af3fa1939a392db93c",
    ),
    _cellpose("cyto2", "Whole cells, also with a channel of nuclei (Cellpose 2)", "cyto2torch_0"),
    _cellpose(
        "cyto",
        "Whole cells, also with a channel of nuclei (Cellpose 1)",
        "cytotorch_0",
        "6a852487b98a3ad91e4e86c969cac520aaac13c609288aad8bd01d4cf76370c6",
    ),
    _cellpose(
        "nuclei",
        "Nuclei of all kinds",
        "nucleitorch_0",
        "89ca45e4a45048d5010d29621466b1274b91b3dcb9714dce9f9e90a9a8671303",
    ),
    _cellpose("livecell", "Cells in phase contrast", "livecell_cp3"),
    _cellpose("tissuenet", "Cells in tissue, fluorescence", "tissuenet_cp3"),
    _cellpose("bact_phase", "Bacteria in phase contrast", "bact_phase_cp3"),
    _cellpose("bact_fluor", "Bacteria in fluorescence", "bact_fluor_cp3"),
    _cellpose("deepbacs", "Bacteria", "deepbacs_cp3"),
    _cellpose("yeast_PhC", "Yeast in phase contrast", "yeast_PhC_cp3"),
    _cellpose("yeast_BF", "Yeast in bright field", "yeast_BF_cp3"),
    PretrainedModel(
        name="cpsam_v2",
        title="Cells and nuclei of all kinds and sizes (1.2 GB to fetch)",
        engine="cellpose-sam",
        url=f"{_CELLPOSE_SAM}/cpsam_v2",
        checksum="sha256:0f1cc3f7ecdd8a037a57c6c48d9d8921391be4cbce3fa9f13c3e3a2e1253c667",
        channels=("channel 0",),
    ),
    PretrainedModel(
        name="cpsam",
        title="The first version of the same (1.2 GB to fetch)",
        engine="cellpose-sam",
        url=f"{_CELLPOSE_SAM}/cpsam",
        checksum="sha256:e1440429eb384f95afe32bcba6510f90d518eaedc917ede549bed6804004abe2",
        channels=("channel 0",),
    ),
)


def resolve_pretrained(
    text: str, engine: str, library: ModelLibrary | None = None, progress: Progress | None = None
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
    elif text and os.path.isfile(_path(text)):
        found = LibraryModel(_path(text), read_foreign(_path(text)))
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
        name = f"{model.name}.zip" if model.is_archive else f"{model.name}.pth"
        file = download(model.url, target.with_name(name), checksum=model.checksum, progress=progress)
        try:
            if model.is_archive:
                _unpack_once(file, target)
            else:
                _place_once(file, target)
        finally:
            file.unlink(missing_ok=True)
    try:
        card = read_foreign(target)
    except LibraryError as error:
        raise LibraryError(f"{error} Or delete '{target}', and it is fetched anew.") from error
    scaling = card.channels[0].normalization
    channels = tuple(ModelChannel(name=name, normalization=scaling) for name in model.channels)
    return LibraryModel(target, card.replace(name=model.name, channels=channels))


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # pathlib's own raises where there is no such user


def _unpack_once(archive: Path, target: Path) -> None:
    try:
        unpack_model(archive, target)
    except LibraryError:
        if not target.is_dir():  # else another process was faster
            raise


def _place_once(file: Path, target: Path) -> None:
    """Move a file of weights into a folder of its own, which appears with the file in it."""
    network_of(file)
    unfinished = target.with_name(f".placing-{uuid4().hex}")
    with explained(target.parent):
        unfinished.mkdir(parents=True)
        try:
            os.replace(file, unfinished / WEIGHTS_FILE)
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
    builtin = ", ".join(model.name for model in BUILTIN_MODELS)
    return (
        f"There is no pretrained model '{text}'. In the library: {own}. Built in: {builtin}. "
        "A model folder, or Cellpose's file of weights, can be given too."
    )
