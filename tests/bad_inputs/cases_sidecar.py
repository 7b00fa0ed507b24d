"""JSON beside an image that is none, or tells nonsense."""

from typing import Any

from bad_inputs.case import Case, content, jsonic

NAN, INFINITE = float("nan"), float("inf")

DEFECTS: dict[str, Any] = {
    "an open brace": "{",
    "a list": [],
    "a number": 7,
    "a text": '"dapi"',
    "null": None,
    "NaN": NAN,
    "lists nested deeply": "[" * 100_000,
    "objects nested deeply": '{"a":' * 100_000,
    "a number of 10000 digits": '{"frame": ' + "9" * 10_000 + "}",
    "two objects": "{}{}",
    "channels that are a text": {"channels": "dapi"},
    "channels that are an object": {"channels": {"0": "dapi"}},
    "channels that are numbers in lists": {"channels": [[1], [2]]},
    "no channels": {"channels": []},
    "a channel that is null": {"channels": [None]},
    "too many channels": {"channels": ["dapi", "actin"]},
    "100000 channels": {"channels": [f"channel {i}" for i in range(100_000)]},
    "two channels of one name": {"channels": ["dapi", "dapi"]},
    "channels of several lines": {"channels": ["da\npi", "ac\r\ntin", "\x1b[31mred"]},
    "half a character": '{"channels": ["\\ud800", "actin"]}',
    "a pixel size of 0": {"channels": ["dapi"], "spatial_calibration": 0},
    "a negative pixel size": {"channels": ["dapi"], "spatial_calibration": -0.5},
    "an infinite pixel size": {"channels": ["dapi"], "spatial_calibration": INFINITE},
    "a pixel size that is no number": {"channels": ["dapi"], "spatial_calibration": NAN},
    "a pixel size that is a text": {"channels": ["dapi"], "spatial_calibration": "half"},
    "a pixel size that is a list": {"channels": ["dapi"], "spatial_calibration": [0.5]},
    "a frame that is a text": {"channels": ["dapi"], "frame": "first"},
    "half a frame": {"channels": ["dapi"], "frame": 1.5},
    "a field of view that is a list": {"channels": ["dapi"], "field_of_view": ["A1"]},
    "sources that are a number": {"channels": ["dapi"], "sources": 3},
}

CASES = [
    *(Case(f"sidecar: {defect}", jsonic(value), "sidecar") for defect, value in DEFECTS.items() if value is not None),
    Case("sidecar: null", content("null"), "sidecar"),
    Case("sidecar: no UTF-8", content(b'{"channels": ["\xff\xfe"]}'), "sidecar"),
    Case("sidecar: UTF-16", content('{"channels": ["dapi"]}'.encode("utf-16")), "sidecar"),
    Case("sidecar: 17 MiB", content(b'{"channels": ["' + b"a" * 17 * 2**20 + b'"]}'), "sidecar"),
    Case("sidecar: a huge file with a hole", lambda path: _stretch(path, 2**40), "sidecar"),
    Case(
        "sidecar: the largest pixel size",
        jsonic({"channels": ["dapi"], "spatial_calibration": 1e308}),
        "sidecar",
        told="cell_01 … 1e+308 µm",
        found="pixel-sizes-differ",
    ),
    Case(
        "sidecar: the smallest pixel size",
        jsonic({"channels": ["dapi"], "spatial_calibration": 5e-324}),
        "sidecar",
        told="cell_01 … e-324 µm",
        found="pixel-sizes-differ",
    ),
    Case(
        "sidecar: unknown entries",
        jsonic({"channels": ["dapi"], "spatial_calibration": 0.5, "flag": [None, {"deep": [[]]}]}),
        "sidecar",
        usable="Celldetective writes more than we need",
        found="too-few-images",
    ),
]


def _stretch(path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
