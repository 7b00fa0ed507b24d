"""Files of weights: which one is a model's, and of which network; imports no framework and runs nothing of a file."""

import lzma
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from napari_seg_trainer.engines.cellpose.spec import SAM_SPEC, SPEC
from napari_seg_trainer.errors import LibraryError

WEIGHTS_FILE = "weights.pth"
"""The name that models made here give it."""

_DINO = "cellpose-dino"
_KINDS = {
    "downsample.down.res_down_0.conv.conv_0.0.weight": SPEC.id,
    "encoder.blocks.0.attn.qkv.weight": SAM_SPEC.id,
    "encoder.cls_token": _DINO,
}
"""Names of weights that only one of the networks has."""

_MARKS = ("storage", "torch._utils _rebuild_tensor_v2", "torch._utils")
"""What the list of contents of any such file has."""

_TEXTS = (".json", ".txt", ".md", ".html", ".png")
_PROTOCOL = b"\x80"  # the first byte of a pickle of version 2 and later
_PICKLES = 8
_MOST_BYTES = 64 << 20
_UNREADABLE = (
    *(OSError, ValueError, EOFError, LookupError, MemoryError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)


def find_weights(model: Path) -> Path:
    """Return the file of weights of a model: ours, one named like its folder (Celldetective), or the file itself.

    In a folder that was renamed, it is the only file that PyTorch saved.

    Raises
    ------
    LibraryError
        If there is none.
    """
    if model.is_file():
        return model
    for name in (WEIGHTS_FILE, model.resolve().name):
        if (model / name).is_file():
            return model / name
    others = [path for path in sorted(model.glob("*")) if path.is_file() and path.suffix not in _TEXTS]
    found = [path for path in others if is_weights(path)]
    if len(found) == 1:
        return found[0]
    raise LibraryError(
        f"'{model}' holds no weights of Cellpose: neither {WEIGHTS_FILE} nor a file named like the folder. "
        "Copy the whole model folder again."
    )


def is_weights(path: Path) -> bool:
    """Return whether a file is one that PyTorch saved, whatever it holds."""
    try:
        return any(name in _MARKS for name in _texts(path))
    except _UNREADABLE:
        return False


def network_of(path: Path) -> str:
    """Return the id of the engine that a file of weights is for.

    The names of the weights are looked for in the file's list of contents, which is read as data, not executed.

    Raises
    ------
    LibraryError
        If it is not a file of PyTorch, or of a network that is not known here.
    """
    try:
        names = set(_texts(path))
    except _UNREADABLE as error:
        raise LibraryError(f"'{path}' is not a file of weights saved by PyTorch. Choose another file.") from error
    found = {_KINDS[name] for name in names for name in [name.removeprefix("module.")] if name in _KINDS}
    if _DINO in found:
        raise LibraryError(
            f"'{path}' is of Cellpose's DINO network, which cannot be used here. Choose a model of Cellpose 1 to 3 or "
            "of Cellpose-SAM."
        )
    if len(found) != 1:
        raise LibraryError(f"'{path}' holds no network of Cellpose 1 to 3 nor Cellpose-SAM. Choose another file.")
    return found.pop()


def _texts(path: Path) -> Iterator[str]:
    """Yield all texts in the pickled list of a file that ``torch.save`` wrote, in its new or its old format."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(1) != _PROTOCOL:
                raise ValueError("no pickle")
            file.seek(0)
            yield from _texts_in(file, _PICKLES)
        return
    with zipfile.ZipFile(path) as archive:
        listed = next((info for info in archive.infolist() if info.filename.endswith("/data.pkl")), None)
        if listed is None or listed.file_size > _MOST_BYTES:
            raise ValueError("no list of contents")
        with archive.open(listed) as file:
            yield from _texts_in(file, 1)


def _texts_in(file: IO[bytes], pickles: int) -> Iterator[str]:
    """Yield the texts of some pickles, one behind the other, without unpickling them."""
    for _ in range(pickles):
        try:
            for _, value, place in pickletools.genops(file):
                if place is not None and place > _MOST_BYTES:
                    raise ValueError("too long a list of contents")
                if isinstance(value, str):
                    yield value
        except ValueError:
            if pickles == 1:
                raise
            return  # what follows the last pickle of the old format is the weights themselves
