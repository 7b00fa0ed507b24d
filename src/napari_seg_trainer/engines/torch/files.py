"""Files of PyTorch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def save(state: Mapping[str, Any], path: Path) -> None:
    """Write weights, or a checkpoint, as PyTorch does; to be read with ``weights_only``.

    Raises
    ------
    OSError
        If the disk is full, or refuses.
    """
    try:
        with path.open("wb") as file:
            torch.save(dict(state), file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # PyTorch tells that it wrote less than it wanted, but not why
            raise error.__context__ from error
        raise


def portable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as every program of PyTorch reads them."""
    return {name: value.detach().to("cpu").contiguous() for name, value in state.items()}
