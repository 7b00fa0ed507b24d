"""A network of PyTorch in formats that other programs open: TorchScript, and ONNX."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Source:
    """How a network is made of its weights.

    Attributes
    ----------
    weights : str
        Name of the file with its weights.
    modules : tuple of module
        Which need PyTorch alone, but for each other; the first ones come first.
    make : str
        Name of what makes the network, in the last one of them.
    kwargs : mapping
        What that is given.
    """

    weights: str
    modules: tuple[ModuleType, ...]
    make: str
    kwargs: Mapping[str, JsonValue] = field(default_factory=dict)


def write_formats(
    network: nn.Module, example: Tensor, folder: Path, *, free: Sequence[str] = "BYX", source: Source | None = None
) -> dict[str, dict[str, JsonValue]]:
    """Write a network into `folder` as TorchScript and as ONNX, and its source.

    Parameters
    ----------
    network : nn.Module
        Takes one array (BCYX), gives one array (BCYX); on the CPU, in evaluation.
    example : Tensor, axes BCYX
        An image that it takes.
    folder : Path
    free : sequence of str
        The axes along which images may have other lengths than the example.
    source : Source, optional
        Of the weights that are in the folder already.

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
    used = str(torch.__version__).partition("+")[0]  # without the name of the GPU's
    scripted: dict[str, JsonValue] = {"source": TORCHSCRIPT, "pytorch_version": used}
    exchanged: dict[str, JsonValue] = {"source": ONNX, "opset_version": OPSET}
    if source is None:
        return {"torchscript": scripted, "onnx": exchanged | {"parent": "torchscript"}}
    (folder / ARCHITECTURE).write_text(_alone(source.modules), encoding="utf-8")
    architecture: dict[str, JsonValue] = {
        "source": ARCHITECTURE,
        "callable": source.make,
        "kwargs": dict(source.kwargs),
    }
    parent: dict[str, JsonValue] = {"parent": "pytorch_state_dict"}
    return {
        "pytorch_state_dict": {"source": source.weights, "pytorch_version": used, "architecture": architecture},
        "torchscript": scripted | parent,
        "onnx": exchanged | parent,
    }


def parameter_count(network: nn.Module) -> int:
    """Return how many numbers a network has learned."""
    return sum(parameter.numel() for parameter in network.parameters())


def _alone(modules: Sequence[ModuleType]) -> str:
    """Return the source of modules as one, without their imports of each other."""
    own = f"from {__name__.partition('.')[0]}"
    lines = [line for module in modules for line in inspect.getsource(module).splitlines(keepends=True)]
    return "".join(line for line in lines if not line.startswith(own))
