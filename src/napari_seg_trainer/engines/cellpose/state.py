"""Weights from files into networks, and back."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_seg_trainer.engines.cellpose.cnn import CHANNELS, OUTPUTS, WIDTHS, CellposeNet
from napari_seg_trainer.engines.cellpose.files import find_weights, network_of
from napari_seg_trainer.engines.cellpose.spec import SAM_SPEC, SPEC
from napari_seg_trainer.engines.torch.files import load_tensors
from napari_seg_trainer.errors import LibraryError

MAX_DIAMETER, MAX_GROWTH = 10_000, 100
_ARCHIVE = b"PK\x03\x04"
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
        _refuse_programs(path)
        state = load_tensors(path)
    # a broken file can raise nearly anything
    except Exception as error:
        raise LibraryError(
            f"'{path}' is damaged, or holds more than weights, which could be harmful. Choose another file."
        ) from error
    if not isinstance(state, Mapping) or not all(map(_is_plain, state.values())):
        raise LibraryError(f"'{path}' holds no list of weights. Choose another file.")
    if sum(value.numel() for value in state.values()) > path.stat().st_size:
        raise LibraryError(f"'{path}' declares more weights than it holds. Choose another file.")
    weights = {str(name).removeprefix(_PREFIX): value.float() for name, value in state.items()}
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise LibraryError(f"'{path}' holds weights that are not finite numbers: it is damaged. Choose another file.")
    return weights


def _refuse_programs(path: Path) -> None:
    """Refuse what some versions of PyTorch take for a program, or unpack, although they are asked for weights only."""
    if tarfile.is_tarfile(path):
        raise ValueError("an archive of the tar format")
    with path.open("rb") as file:
        is_archive = file.read(len(_ARCHIVE)) == _ARCHIVE
    if is_archive:
        # PyTorch's own reader of archives, as another one may see other files in them
        names = torch._C.PyTorchFileReader(str(path)).get_all_records()  # noqa: SLF001
        if "constants.pkl" in names:
            raise ValueError("a program of TorchScript")


def _is_plain(value: object) -> bool:
    """Return whether a value is an array of numbers in memory."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def load_cnn(model: Path) -> CellposeNet:
    """Return the residual U-Net with the weights of a model.

    Raises
    ------
    LibraryError
        As `read_weights`, or if the network is of another size.
    """
    state = read_weights(model, SPEC.id)
    network = CellposeNet()
    first, last = (tuple(state[name].shape) if name in state else () for name in (_FIRST, _LAST))
    if (first[:2], last[:1]) != ((WIDTHS[0], CHANNELS), (OUTPUTS,)):
        raise LibraryError(
            f"'{model}' takes {_count(first[1:])} channels and answers {_count(last)}; only networks with {CHANNELS} "
            f"and {OUTPUTS}, which segment, can be used here. Choose another model."
        )
    fill(network, state, model)
    mean, typical = float(network.diam_mean), float(network.diam_labels)
    if not (0 < mean <= MAX_DIAMETER and 0 <= typical <= MAX_DIAMETER and mean <= MAX_GROWTH * (typical or mean)):
        raise LibraryError(
            f"'{model}' is for objects of {typical:g} pixels, to be scaled to {mean:g}, which cannot be. "
            "Choose another model."
        )
    return network


def _count(shape: tuple[int, ...]) -> int:
    return shape[0] if shape else 0


def fill(network: nn.Module, state: Mapping[str, Tensor], model: Path) -> None:
    """Put weights into a network; sizes that the file does not give keep their defaults.

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
