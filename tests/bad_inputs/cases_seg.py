"""Cellpose's ``_seg.npy``: pickles that lie, and pickles that would run something."""

import os
import pickle
import struct
from pathlib import Path

import numpy as np

from bad_inputs.case import Case, Spoil, content, good_labels
from bad_inputs.formats import npy, seg

MARKER = "was run"
"""Name of the file that a pickle writes beside the annotation folder if somebody runs it."""


class _Runs:
    """What is pickled as a call of `function`."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def marker(path: Path) -> str:
    return str(path.parents[1] / MARKER)


def array_that_runs(path):
    np.save(path, np.array([_Runs(open, marker(path), "w")], object), allow_pickle=True)


def dictionary_that_runs(path):
    path.write_bytes(seg({"masks": good_labels(), "filename": _Runs(open, marker(path), "w")}))


def masks_that_run(path):
    path.write_bytes(seg({"masks": _Runs(os.mkdir, marker(path))}))


def bare_pickle_that_runs(path):
    path.write_bytes(pickle.dumps(_Runs(open, marker(path), "w")))


def masks_of_shape(shape, kind="u2", data=b"") -> bytes:
    """A pickle of masks that tells of another shape than their bytes have."""
    rebuild = (np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, shape, np.dtype(kind), False, data))

    class Told:
        def __reduce__(self):
            return rebuild

    return seg({"masks": Told()})


def masks(values) -> Spoil:
    return content(seg({"masks": values}))


DEEP = b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b"."
FAR = b"\x80\x04Nr" + struct.pack("<I", 2**31 - 1) + b"."

DEFECTS: dict[str, Spoil] = {
    "an array that runs something": array_that_runs,
    "a dictionary that runs something": dictionary_that_runs,
    "masks that run something": masks_that_run,
    "a bare pickle that runs something": bare_pickle_that_runs,
    "a plain array": content(npy("'<u2'", "(40, 40)", bytes(3200))),
    "terabytes in its header": content(npy("'<u2'", "(1000000, 1000000)", bytes(500))),
    "a negative shape in its header": content(npy("'|O'", "(-1,)", bytes(500))),
    "a call in its header": content(npy("'|O'", "__import__('os').getcwd()", bytes(500))),
    "a header nested deeply": content(npy("'|O'", "(" * 20_000, bytes(500))),
    "a header of 64 KiB of nothing": content(b"\x93NUMPY\x01\0\xff\xff" + b" " * 500),
    "an unknown version": content(npy("'|O'", "()", bytes(90), version=9)),
    "nothing behind its header": content(npy("'|O'", "()")),
    "lists nested deeply": content(seg(raw=DEEP)),
    "a memory of two thousand million places": content(seg(raw=FAR)),
    "bytes of 2**62 in its pickle": content(seg(raw=b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.")),
    "a list in place of the dictionary": content(seg([1, 2, 3])),
    "no masks": content(seg({"outlines": good_labels()})),
    "masks that are text": content(seg({"masks": "cells"})),
    "masks of terabytes": content(masks_of_shape((10**6, 10**6))),
    "masks of a negative shape": content(masks_of_shape((-40, -40), data=bytes(3200))),
    "masks of a shape that is text": content(masks_of_shape(("forty", "forty"), data=bytes(3200))),
    "masks without pixels": masks(np.zeros((0, 40), np.uint16)),
    "complex masks": masks(good_labels().astype(complex)),
    "masks of objects": masks(good_labels().astype(object)),
    "masks of dates": masks(good_labels().astype("datetime64[s]")),
    "masks of NaN": masks(np.full((40, 40), np.nan)),
    "masks of infinity": masks(np.full((40, 40), np.inf)),
    "negative masks": masks(good_labels().astype(np.int64) - 3),
    "masks above 2**32": masks(good_labels().astype(np.uint64) + 2**33),
    "masks at 2**64": masks(np.full((40, 40), 2**64 - 1, np.uint64)),
    "a stack of masks": masks(np.stack([good_labels()] * 3)),
    "masks with five axes": masks(np.ones((2, 2, 2, 40, 40), np.uint16)),
    "masks with one axis": masks(np.ones(1600, np.uint16)),
    "a single number for masks": masks(np.uint16(7)),
    "masks of another size": masks(np.ones((30, 50), np.uint16)),
}

CASES = [Case(f"seg: {defect}", spoil, "mask", "seg", told="cell_01_seg.npy") for defect, spoil in DEFECTS.items()]
