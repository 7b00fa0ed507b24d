"""Cellpose's ``_seg.npy``, read without running any of it.

Such a file is a pickled dictionary, and a pickle can name any function for the reader to call. Here every name stands
for an inert stand-in that only notes what it was given; NumPy sees nothing but the bytes of the masks, after their
type, shape and length were checked.
"""

import io
import math
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.files import read_bytes

MAX_BYTES = 4 * 2**30
"""Largest file that is read."""

SEG_SUFFIX = "_seg.npy"
_PLACED = {"PUT", "BINPUT", "LONG_BINPUT"}
_PLAIN_TYPE = re.compile(r"[<>=|][buif][1248]")
_WAY_OUT = "Save the masks from Cellpose again (File > Save masks as PNG/tif)."


def read_seg_npy(path: Path) -> NDArray[Any]:
    """Return the masks of a ``_seg.npy`` file.

    Parameters
    ----------
    path : Path
        As the Cellpose GUI writes it.

    Returns
    -------
    NDArray, axes YX
        Labels in the type of number in which they are stored.

    Raises
    ------
    DataError
        If the file is not such a dictionary, or its pickle names anything but NumPy arrays and plain values.
    """
    try:
        return _masks(_unpickle(read_bytes(path, MAX_BYTES)))
    except OSError as error:
        raise DataError(
            f"'{path}' cannot be read: {error.strerror or error}. Check the path and its permissions."
        ) from error
    except _Refused as error:
        raise DataError(f"'{path}' {error}. {_WAY_OUT}") from error
    # a broken pickle can raise nearly anything
    except Exception as error:
        raise DataError(
            f"'{path}' is broken or not written by Cellpose ({type(error).__name__}). {_WAY_OUT}"
        ) from error


class _Refused(Exception):
    """Why the file is not read, as the rest of a sentence."""


class _DType:
    """Stands for `numpy.dtype`."""

    def __init__(self, name: str = "", *_: object) -> None:
        self.name, self.order = name, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Stands for `numpy.ndarray`: shape, type, order and content are noted."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


class _Inert:
    """Stands for values that are of no interest, such as paths and NumPy scalars."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _from_buffer(buffer: object, dtype: object, shape: object, order: object) -> _Array:
    array = _Array()
    array.state = (1, shape, dtype, order == "F", buffer)
    return array


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encoded,
    **{("pathlib", name): _Inert for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")},
    **{("pathlib._local", name): _Inert for name in ("Path", "PosixPath", "WindowsPath")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Inert for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _StandInUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise _Refused(f"wants to run {f'{module}.{name}'[:60]!r} when it is opened, so it was not opened")
        return _STAND_INS[module, name]


def _unpickle(content: bytes) -> dict[Any, Any]:
    file = io.BytesIO(content)
    version = npy.read_magic(file)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype != np.dtype(object) or shape != ():
        raise _Refused("holds a plain array, not the dictionary that Cellpose writes")
    _check_opcodes(file, len(content))
    root = _StandInUnpickler(file).load()
    inner = root.state[4] if isinstance(root, _Array) and len(root.state) == 5 else None
    if not (isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict)):
        raise _Refused("does not hold the dictionary that Cellpose writes")
    return inner[0]


def _check_opcodes(file: io.BytesIO, size: int) -> None:
    """Refuse a pickle for which the unpickler would take memory before it looks whether there is so much to read."""
    start = file.tell()
    for opcode, argument, _ in pickletools.genops(file):  # which finds what is cut short
        # places are counted up, one for each value
        if opcode.name in _PLACED and isinstance(argument, int) and argument > size:
            raise _Refused("declares more values than it can hold")
    file.seek(start)


def _masks(content: dict[Any, Any]) -> NDArray[Any]:
    array = content.get("masks")
    if not isinstance(array, _Array) or len(array.state) != 5:
        raise _Refused("holds no masks")
    _, shape, dtype, fortran, raw = array.state
    if not isinstance(dtype, _DType) or not _PLAIN_TYPE.fullmatch(f"{dtype.order}{dtype.name}"):
        raise _Refused("holds masks that are not numbers")
    kind = np.dtype(f"{dtype.order}{dtype.name}")
    if not isinstance(raw, bytes | bytearray) or math.prod(shape) * kind.itemsize != len(raw):
        raise _Refused("holds masks that are cut short")
    masks = np.frombuffer(raw, kind).reshape(shape, order="F" if fortran else "C")
    if masks.size == 0:
        raise _Refused("holds masks without pixels")
    planes = masks.squeeze() if masks.ndim > 2 else masks
    if planes.ndim != 2:
        raise _Refused(f"holds masks with the shape {tuple(masks.shape)}: a stack. Use single planes")
    return np.ascontiguousarray(planes, dtype=kind.newbyteorder("="))
