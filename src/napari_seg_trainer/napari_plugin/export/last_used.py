"""What was exported last: the next export is likely to be called the same."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_seg_trainer.files import read_bytes, write_text
from napari_seg_trainer.paths import home

_MOST_BYTES = 2**16


@dataclass(frozen=True)
class LastUsed:
    """Names that the user gave last, and the experiment's folder.

    Attributes
    ----------
    population : str
        Empty before the first export.
    channels : tuple of str
    folder : str
    """

    population: str = ""
    channels: tuple[str, ...] = ()
    folder: str = ""

    @classmethod
    def read(cls) -> "LastUsed":
        """Return what was written last; nothing where that is not there, or damaged."""
        try:
            told = json.loads(read_bytes(_file(), _MOST_BYTES))
            return cls(str(told["population"]), tuple(map(str, told["channels"])), str(told.get("folder", "")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def write(self) -> None:
        """Keep it for the next time; a disk that refuses does not matter."""
        with suppress(OSError):
            home().mkdir(parents=True, exist_ok=True)
            write_text(_file(), json.dumps(asdict(self)))


def _file() -> Path:
    return home() / "last_export.json"
