"""Files of weights that Cellpose itself wrote, and folders with one."""

import json
from contextlib import suppress
from pathlib import Path

from pydantic import JsonValue

from napari_seg_trainer.engines.cellpose.files import WEIGHTS_FILE, find_weights, is_weights, network_of
from napari_seg_trainer.engines.cellpose.spec import CNN_DIAMETER, SETTINGS_FILE, SHOWN, CellposeSettings
from napari_seg_trainer.engines.foreign import ForeignModel
from napari_seg_trainer.files import read_bytes
from napari_seg_trainer.schema.job import Normalization

NORMALIZATION = Normalization(low=1.0, high=99.0)
"""Cellpose's own."""


class CellposeReader:
    """Reads files of weights, whichever network of Cellpose they are of."""

    layout = ""
    file_name = WEIGHTS_FILE
    celldetective = "cellpose"
    celldetective_inputs = 2

    def claims(self, path: Path) -> bool:
        """Whether it is a file that PyTorch saved, or a folder with one of a known name."""
        if path.is_file():
            return is_weights(path)
        return any((path / name).is_file() for name in (WEIGHTS_FILE, path.resolve().name))

    def is_model(self, folder: Path) -> bool:
        """Whether there is a file of weights of the name that folders made here give it."""
        return (folder / WEIGHTS_FILE).is_file()

    def read(self, path: Path) -> ForeignModel:
        """Return the description of a file of weights, or of a folder with one; see `ForeignReader.read`."""
        weights = find_weights(path)
        return ForeignModel(engine=network_of(weights), file=weights, normalization=NORMALIZATION)

    def celldetective_settings(self, folder: Path) -> dict[str, JsonValue]:
        """Return the thresholds, and the diameter that the network is shown; its weights have images scaled to that."""
        own, shown = CellposeSettings.of_model(folder), CNN_DIAMETER
        with suppress(OSError, ValueError, KeyError, TypeError):
            shown = float(json.loads(read_bytes(folder / SETTINGS_FILE))[SHOWN])
        return {
            "diameter": shown,
            "cellprob_threshold": own.cellprob_threshold or 0.0,
            "flow_threshold": 0.4 if own.flow_threshold is None else own.flow_threshold,
        }


READER = CellposeReader()
