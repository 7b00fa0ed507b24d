"""The file of a run's events: one JSON object a line, only ever appended to."""

import os
from pathlib import Path

from pydantic import ValidationError

from napari_seg_trainer.files import open_file
from napari_seg_trainer.schema.events import TERMINAL_EVENTS, EpochEnded, Event, parse_event

TAIL_BYTES = 64 * 1024
"""More than the longest event."""
_LASTING = (EpochEnded, *TERMINAL_EVENTS)
"""Events that must not be lost when the power fails."""


def append_event(path: Path, event: Event) -> None:
    """Write an event on a line of its own, also after half a line that a killed process left."""
    with path.open("ab+") as file:
        size = file.seek(0, 2)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(event.model_dump_json().encode() + b"\n")
        if isinstance(event, _LASTING):
            file.flush()
            os.fsync(file.fileno())


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Return the whole events from byte `offset` on, and the offset to read on from."""
    try:
        with open_file(path) as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    return [event for event in map(_parse, whole.splitlines()) if event is not None], offset + len(whole)


def last_event(path: Path, since: int = 0) -> Event | None:
    """Return the last event from byte `since` on; reads the end of the file only, as this is asked for often."""
    events, _ = read_events(path, max(since, size(path) - TAIL_BYTES))
    return events[-1] if events else None


def size(path: Path) -> int:
    """Return the file's size in bytes, 0 where it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _parse(line: bytes) -> Event | None:
    try:
        return parse_event(line)
    except ValidationError:  # half a line, left by a process that was killed
        return None
