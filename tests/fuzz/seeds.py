"""What the search for bad bytes begins with: good files, traps, and what was found before."""

import hashlib
import io
import json
import os
import pickle
import stat
import zipfile
from pathlib import PurePosixPath

import numpy as np
from targets import MARKER

NETWORK = "downsample.down.res_down_0.conv.conv_0.0.weight"
CONFIG = {"n_dim": 2, "axes": "YXC", "n_rays": 32, "n_channel_in": 1, "grid": [2, 2], "unet_n_depth": 3}
CELLDETECTIVE = {
    "channels": ["nuclei", "None"],
    "model_type": "cellpose",
    "normalization_percentile": [True, False],
    "normalization_clip": [False, True],
    "normalization_values": [[1, 99], [100, 4000]],
    "spatial_calibration": 0.31,
    "cell_size_um": 12.4,
    "flow_threshold": 0.4,
}
CARD = {
    "version": 1,
    "name": "nuclei",
    "engine": "stardist",
    "created": "2026-01-02T00:00:00Z",
    "channels": [{"name": "nuclei", "normalization": {"mode": "percentile", "low": 1, "high": 99.8, "clip": False}}],
    "pixel_size": 0.5,
    "scores": {"ap50": 0.9},
    "hyperparameters": {"epochs": 400, "grid": 2},
}


class _Run:
    def __reduce__(self):
        return os.mkdir, (MARKER,)


def zipped(members) -> bytes:
    """Return an archive of (name, content) or (ZipInfo, content), always with the same bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            member = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            archive.writestr(member, content)
    return file.getvalue()


def own(**changes) -> bytes:
    """Return an archive of ours."""
    contents = {"config.json": b"{}", "weights_best.h5": b"weights", "figures/curves.png": b"png"}
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    card = json.dumps(CARD | {"files": files} | changes)
    return zipped([("nuclei/model_card.json", card), *((f"nuclei/{name}", c) for name, c in contents.items())])


def linked(name: str, kind: int) -> zipfile.ZipInfo:
    """Return a member that is a link or a device."""
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (kind | 0o777) << 16
    return member


def _imports() -> dict[str, bytes]:
    stardist = [("plain/config.json", json.dumps(CONFIG)), ("plain/thresholds.json", '{"prob": 0.5, "nms": 0.4}')]
    listed = pickle.dumps({NETWORK: "torch._utils", "storage": _Run()}, 2)
    weights = zipped([("archive/data.pkl", listed)])
    deflated = zipfile.ZipInfo("plain/weights_best.h5")
    deflated.compress_type = zipfile.ZIP_DEFLATED
    return {
        "own": own(),
        "own that lists a secret": own(files={"../../secret.txt": "0" * 64}),
        "own that lists a device": own(files={"nul": "0" * 64}),
        "stardist": zipped([*stardist, ("plain/weights_best.h5", "weights")]),
        "stardist, compressed": zipped([*stardist, (deflated, "weights" * 50)]),
        "stardist with a link": zipped([*stardist, (linked("plain/weights_best.h5", stat.S_IFLNK), "../secret.txt")]),
        "stardist with a way out": zipped([*stardist, ("../evil.json", "{}"), ("plain/weights_best.h5", "w")]),
        "celldetective": zipped([("CP/config_input.json", json.dumps(CELLDETECTIVE)), ("CP/CP", weights)]),
        "cellpose": weights,
        "cellpose, old": pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + listed,
        "nothing": zipped([]),
        "no archive": b"text",
    }


def _sidecars() -> dict[str, bytes]:
    full = {
        "channels": ["dapi", "gfp"],
        "spatial_calibration": 0.5,
        "frame": 3,
        "field_of_view": "A1",
        "sources": ["a"],
    }
    return {
        "full": json.dumps(full).encode(),
        "marked": b"\xef\xbb\xbf" + json.dumps(full).encode(),
        "numbers": b'{"channels": [1, 2.5], "frame": 1e2, "spatial_calibration": "0.3"}',
        "deep": b'{"channels": ' + b"[" * 2000,
        "no number": b'{"spatial_calibration": NaN, "frame": Infinity}',
        "half a letter": b'{"channels": ["\\ud800"], "field_of_view": "\\u0000"}',
        "list": b"[]",
        "nothing": b"",
    }


def pickled(content: bytes) -> bytes:
    """Return a pickle with the head that NumPy writes before it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue() + content


def _masks() -> dict[str, bytes]:
    masks = np.arange(12, dtype=np.uint16).reshape(3, 4)
    contents = {
        "masks": {
            "masks": masks,
            "filename": PurePosixPath("a.tif"),
            "flows": [masks, None],
            "est_diam": np.float32(3),
        },
        "columns": {"masks": np.asfortranarray(masks.astype(">i4"))},
        "a trap": {"masks": masks, "extra": _Run()},
        "a trap for masks": {"masks": _Run()},
    }
    seeds = {}
    for protocol in (2, 3, 4, 5):
        for name, content in contents.items():
            container = np.empty((), object)
            container[()] = content
            seeds[f"{name}, protocol {protocol}"] = pickled(pickle.dumps(container, protocol))
    file = io.BytesIO()
    np.save(file, masks)
    return seeds | {"a plain array": file.getvalue(), "nothing": b""}


FOUND: dict[str, dict[str, bytes]] = {
    "import": {"a file without a name": zipped([("", b"{}"), ("config.json", b"{}")])},
    "sidecar": {},
    "seg-npy": {"a number for which room is made": pickled(b"\x80\x02Nr\xff\xff\xff\x0f.")},
}
"""What was found, by what was wrong."""

SEEDS = {
    name: make() | FOUND[name] for name, make in (("import", _imports), ("sidecar", _sidecars), ("seg-npy", _masks))
}
