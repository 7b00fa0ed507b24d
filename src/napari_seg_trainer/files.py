"""Writing a file so that a reader sees the old or the new one, never a half."""

import os
from pathlib import Path
from tempfile import mkstemp


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` beside `path` and move it into place.

    Raises
    ------
    OSError
        If it cannot be written; what was there before is untouched.
    """
    handle, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes files that nobody else can read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))
