"""Names that can be a folder on every operating system."""

import re
from typing import Annotated

from pydantic import AfterValidator

_ALLOWED = re.compile(r"[A-Za-z0-9._ -]+")
_RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "123456789¹²³"
}
_WAY_OUT = "Use letters, digits, spaces, '-', '_' and dots."
MAX_NAME_LENGTH = 100


def check_model_name(name: str) -> str:
    """Return `name` if it can name a model.

    Parameters
    ----------
    name : str
        The name that a user typed.

    Returns
    -------
    str
        The same name.

    Raises
    ------
    ValueError
        If the name is empty, too long, has characters that some file system refuses, or is reserved on Windows.
    """
    if not name.strip():
        raise ValueError(f"Model name is empty. {_WAY_OUT}")
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"Model name '{name[:20]}…' has {len(name)} characters; {MAX_NAME_LENGTH} is the limit.")
    if not _ALLOWED.fullmatch(name):
        bad = next(character for character in name if not _ALLOWED.fullmatch(character))
        raise ValueError(f"Model name {name!r} cannot be used: {bad!r} is not allowed. {_WAY_OUT}")
    if name.startswith((".", "-", " ")) or name.endswith((".", " ")):
        raise ValueError(
            f"Model name {name!r} cannot be used: it starts with '.', '-' or a space, or ends with '.' or a space."
        )
    if is_reserved(name):
        raise ValueError(f"Model name {name!r} cannot be used: Windows reserves it. Choose another name.")
    return name


def is_reserved(name: str) -> bool:
    """Return whether Windows takes a file name for a device, such as ``nul`` or ``Con .json``."""
    return name.split(".")[0].rstrip(" ").lower() in _RESERVED


ModelName = Annotated[str, AfterValidator(check_model_name)]
