"""What the data doctor has to say."""

from enum import IntEnum
from pathlib import Path
from typing import Any

from pydantic import field_serializer, field_validator

from napari_seg_trainer.errors import one_line
from napari_seg_trainer.schema._base import FrozenModel

MAX_PER_KIND = 20
"""How many findings of one kind are listed for one image; the others are counted."""


class Severity(IntEnum):
    """Errors stop a training, warnings do not, infos are for the curious."""

    INFO = 1
    WARNING = 2
    ERROR = 3


class Finding(FrozenModel):
    """Something that was noticed in the data.

    Attributes
    ----------
    severity : Severity
        In JSON its name, such as ``"warning"``.
    code : str
        The kind of finding, such as ``"shape-mismatch"``.
    message : str
        One line in plain words, with the way out.
    file : Path, optional
        The image or mask concerned.
    label : int, optional
        Number of the object concerned.
    position : (float, float), optional
        Where to look: y and x in pixels.
    """

    severity: Severity
    code: str
    message: str
    file: Path | None = None
    label: int | None = None
    position: tuple[float, float] | None = None

    @field_validator("message")
    @classmethod
    def _in_one_line(cls, value: str) -> str:
        return one_line(value)

    @field_serializer("file", when_used="json")
    def _shown(self, value: Path | None) -> str | None:
        # a name that is not text cannot be JSON
        return None if value is None else one_line(str(value))

    @field_validator("severity", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return Severity[value.upper()] if isinstance(value, str) and value.upper() in Severity.__members__ else value

    @field_serializer("severity", when_used="json")
    def _name(self, value: Severity) -> str:
        return value.name.lower()


def counted(number: int, noun: str) -> str:
    """Return ``"1,312 objects"`` or ``"1 object"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def capped(findings: list[Finding]) -> list[Finding]:
    """Return the first findings of one kind, and in place of the others one that counts them."""
    if len(findings) <= MAX_PER_KIND:
        return findings
    rest = len(findings) - MAX_PER_KIND
    last = findings[MAX_PER_KIND]
    counted = Finding(
        severity=last.severity, code=last.code, message=f"And {rest} more of this kind in this image.", file=last.file
    )
    return [*findings[:MAX_PER_KIND], counted]
