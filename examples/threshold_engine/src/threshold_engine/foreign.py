"""Models that lie about as a ``threshold.json`` alone, without a card; imports nothing heavy."""

from pathlib import Path

from pydantic import BaseModel, FiniteFloat, JsonValue

from napari_seg_trainer.engines.foreign import ForeignModel, load_description
from threshold_engine.spec import SPEC

FILE = "threshold.json"


class _Threshold(BaseModel):
    """As much as tells that it is one."""

    level: FiniteFloat


class ThresholdReader:
    """Reads such files, and folders with one."""

    layout = f"{FILE} ({SPEC.title})"
    file_name = FILE
    celldetective = ""
    celldetective_inputs = 0

    def claims(self, path: Path) -> bool:
        """Whether a file has the name, or a folder such a file."""
        return path.name == FILE if path.is_file() else (path / FILE).is_file()

    def is_model(self, folder: Path) -> bool:
        """Whether a folder has such a file: nobody else has one of this name."""
        return self.claims(folder)

    def celldetective_settings(self, folder: Path) -> dict[str, JsonValue]:
        """Return nothing: what Celldetective needs is in the folder."""
        return {}

    def read(self, path: Path) -> ForeignModel:
        """Return what there is to know: that it is a model of this engine."""
        file = path if path.is_file() else path / FILE
        load_description(file, _Threshold)
        return ForeignModel(engine=SPEC.id, file=file, channels=1)


READER = ThresholdReader()
