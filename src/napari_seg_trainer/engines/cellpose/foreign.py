"""Files of weights that Cellpose itself wrote, and folders with one."""

from pathlib import Path

from napari_seg_trainer.engines.cellpose.files import WEIGHTS_FILE, find_weights, is_weights, network_of
from napari_seg_trainer.engines.foreign import ForeignModel
from napari_seg_trainer.schema.job import Normalization

NORMALIZATION = Normalization(low=1.0, high=99.0)
"""Cellpose's own."""


class CellposeReader:
    """Reads files of weights, whichever network of Cellpose they are of."""

    layout = ""
    file_name = WEIGHTS_FILE
    celldetective = "cellpose"

    def claims(self, path: Path) -> bool:
        """Whether it is a file that PyTorch saved, or a folder with one of a name that tells."""
        if path.is_file():
            return is_weights(path)
        return any((path / name).is_file() for name in (WEIGHTS_FILE, path.resolve().name))

    def is_model(self, folder: Path) -> bool:
        """Whether there is a file of weights of the name that folders made here give it."""
        return (folder / WEIGHTS_FILE).is_file()

    def read(self, path: Path) -> ForeignModel:
        """Return what a file of weights, or a folder with one, tells, as `ForeignReader.read` says."""
        weights = find_weights(path)
        return ForeignModel(engine=network_of(weights), file=weights, normalization=NORMALIZATION)


READER = CellposeReader()
