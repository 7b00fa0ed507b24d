"""Weights from files into networks, and back."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_seg_trainer.engines.cellpose.cnn import CHANNELS, OUTPUTS, WIDTHS, CellposeNet
from napari_seg_trainer.engines.cellpose.files import find_weights, network_of
from napari_seg_trainer.engines.cellpose.spec import SAM_SPEC, SPEC
from napari_seg_trainer.errors import LibraryError

_DAMAGED = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError, AttributeError)
_PREFIX = "module."  # of networks that were trained on several GPUs
_FIRST, _LAST = "downsample.down.res_down_0.conv.conv_0.2.weight", "output.2.weight"


def read_weights(model: Path, engine: str) -> dict[str, Tensor]:
    """Return the weights of a model by name; whatever else a file holds is refused, and nothing of it is run.

    Parameters
    ----------
    model : Path
        A folder or a file.
    engine : str
        Id of the engine that they must be for.

    Raises
    ------
    LibraryError
        If there are none, they are damaged, or for another network.
    """
    path = find_weights(model)
    found = network_of(path)
    if found != engine:
        titles = {SPEC.id: "Cellpose 1 to 3", SAM_SPEC.id: "Cellpose-SAM (Cellpose 4)"}
        raise LibraryError(
            f"'{path}' holds weights of {titles[found]}, not of {titles[engine]}. Choose the other kind of model."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        raise LibraryError(
            f"'{path}' is damaged, or holds more than weights, which could be harmful. Choose another file."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise LibraryError(f"'{path}' holds no list of weights. Choose another file.")
    return {str(name).removeprefix(_PREFIX): value.float() for name, value in state.items()}


def load_cnn(model: Path) -> CellposeNet:
    """Return the residual U-Net with the weights of a model.

    Raises
    ------
    LibraryError
        As `read_weights`, or if the network is of another size.
    """
    state = read_weights(model, SPEC.id)
    network = CellposeNet()
    shapes = state[_FIRST].shape[:2], len(state.get(_LAST, ()))
    if shapes != ((WIDTHS[0], CHANNELS), OUTPUTS):
        raise LibraryError(
            f"'{model}' takes {shapes[0][1]} channels and answers {shapes[1]}; only networks with {CHANNELS} and "
            f"{OUTPUTS}, which segment, can be used here. Choose another model."
        )
    fill(network, state, model)
    return network


def fill(network: nn.Module, state: Mapping[str, Tensor], model: Path) -> None:
    """Put weights into a network; sizes that the file does not tell keep their defaults.

    Raises
    ------
    LibraryError
        If some are missing, or have another shape.
    """
    try:
        missing, _ = network.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:
        raise LibraryError(f"'{model}' is a network of another size. Choose another model.") from error
    lacking = [name for name in missing if not name.startswith("diam_") and not name.endswith("num_batches_tracked")]
    if lacking:
        raise LibraryError(f"'{model}' lacks {len(lacking)} weights, such as {lacking[0]}. Choose another model.")


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
