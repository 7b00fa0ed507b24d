"""A network of PyTorch in formats that other programs open: TorchScript, and ONNX."""

import inspect
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from napari_seg_trainer.errors import EngineError

TORCHSCRIPT, ONNX, STATE, ARCHITECTURE = "network.pt", "network.onnx", "network.pth", "network.py"
OPSET = 17
"""Of ONNX: what OpenCV, onnxruntime and DeepImageJ's engines all know."""
INPUT, OUTPUT = "image", "output"


def check_onnx() -> None:
    """Make sure that ONNX can be written, before anything is computed.

    Raises
    ------
    EngineError
        If the package `onnx`, which PyTorch needs for that, is missing.
    """
    if find_spec("onnx") is None:
        raise EngineError("The package onnx is missing, which the export needs. Run: python -m pip install onnx")


def write_formats(
    network: nn.Module, example: Tensor, folder: Path, *, free: Sequence[str] = "BYX", parent: str | None = None
) -> dict[str, dict[str, JsonValue]]:
    """Write a network into `folder` as TorchScript and as ONNX.

    Parameters
    ----------
    network : nn.Module
        Takes one array (BCYX), gives one array (BCYX); on the CPU, in evaluation.
    example : Tensor, axes BCYX
        An image that it takes.
    folder : Path
    free : sequence of str
        The axes along which images may have other lengths than the example.
    parent : str, optional
        The entry of which these are other forms; TorchScript is the original if not given.

    Returns
    -------
    dict
        Their entries in ``weights`` of a model description.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    frozen = network.eval().requires_grad_(False)
    axes = {place: letter.lower() for place, letter in enumerate("BCYX") if letter in free}
    with warnings.catch_warnings(), torch.no_grad():
        # PyTorch names its other exporter, whose files OpenCV does not read, and branches that depend on fixed numbers
        warnings.simplefilter("ignore")
        with (folder / TORCHSCRIPT).open("wb") as file:
            torch.jit.save(torch.jit.trace(frozen, example, check_trace=False), file)
        with (folder / ONNX).open("wb") as file:
            torch.onnx.export(
                frozen,
                (example,),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: axes, OUTPUT: axes},
            )
    origin: dict[str, JsonValue] = {} if parent is None else {"parent": parent}
    return {
        "torchscript": {"source": TORCHSCRIPT, "pytorch_version": pytorch_version(), **origin},
        "onnx": {"source": ONNX, "opset_version": OPSET, "parent": parent or "torchscript"},
    }


def standalone_source(*modules: ModuleType) -> str:
    """Return the source of modules that need PyTorch alone, but for each other, as one; the first ones come first."""
    sources = [inspect.getsource(module) for module in modules]
    own = f"from {__name__.partition('.')[0]}"
    return "".join(line for source in sources for line in source.splitlines(True) if not line.startswith(own))


def pytorch_version() -> str:
    """Return PyTorch's version without the name of the GPU's."""
    return str(torch.__version__).partition("+")[0]
