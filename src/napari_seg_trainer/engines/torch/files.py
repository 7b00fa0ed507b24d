"""Files of PyTorch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_seg_trainer.files import open_file


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
        if isinstance(error.__context__, OSError):  # PyTorch says that it wrote less than it wanted, but not why
            raise error.__context__ from error
        raise


def load_tensors(path: Path) -> Any:
    """Return what `save` wrote, or a stranger: weights and plain values, on the CPU; nothing of the file is run.

    Raises
    ------
    Exception
        If it is damaged, or no file; nearly any.
    """
    with open_file(path) as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def portable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as every program of PyTorch reads them."""
    return {name: value.detach().to("cpu").contiguous() for name, value in state.items()}
