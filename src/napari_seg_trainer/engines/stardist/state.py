"""From StarDist's folders to networks of PyTorch, and back; without TensorFlow."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_seg_trainer.engines.stardist.files import (
    CONFIG,
    KERAS_MEANS,
    StarDistConfig,
    find_stardist_weights,
    load_arrays,
    opening,
    read_config,
    read_description,
    read_thresholds,
)
from napari_seg_trainer.engines.stardist.thresholds import DEFAULTS
from napari_seg_trainer.engines.stardist.unet import Shape, StarDistNet, Unit
from napari_seg_trainer.engines.stardist.weights import read_arrays, write_arrays
from napari_seg_trainer.engines.torch.files import load_tensors
from napari_seg_trainer.engines.torch.training import MEANS_FILE

_CONV = ("kernel:0", "bias:0")
_NORM = ("gamma:0", "beta:0", "moving_mean:0", "moving_variance:0")


@dataclass(frozen=True, eq=False)
class Opened:
    """What is in a StarDist folder.

    Attributes
    ----------
    network : StarDistNet
        Ready to predict.
    config : dict
        What StarDist calls its configuration, complete.
    thresholds : dict
        ``prob`` and ``nms``.
    """

    network: StarDistNet
    config: dict[str, Any]
    thresholds: dict[str, float]


def open_network(folder: Path) -> Opened:
    """Return what is in a StarDist folder.

    Raises
    ------
    LibraryError
        If there is none, or it is damaged.
    """
    weights = find_stardist_weights(folder)
    with opening(folder):
        config = read_config(folder, weights)
        network = _filled(config, read_arrays(weights))
        thresholds = read_thresholds(folder).model_dump(exclude_none=True)
    return Opened(network, asdict(network.shape) | config.arguments(), DEFAULTS | thresholds)


def open_epoch(checkpoint: Path) -> StarDistNet:
    """Return the network of an epoch with its averaged weights, whichever framework computed it; ready to predict.

    Raises
    ------
    LibraryError
        If there is none, or it is damaged.
    """
    with opening(checkpoint):
        config = read_description(checkpoint / CONFIG, StarDistConfig)
        network = _empty(config)
        if (checkpoint / KERAS_MEANS).is_file():
            arrays = iter(load_arrays(checkpoint / KERAS_MEANS))
            layers = [list(itertools.islice(arrays, len(_tensors(module)))) for _, module in network.weighted()]
            return _filled(config, layers)
        means = load_tensors(checkpoint / MEANS_FILE)
        network.load_state_dict(means, assign=True)
    return network


def folded(network: StarDistNet) -> StarDistNet:
    """Return a network for prediction alone: batch normalization becomes part of the convolutions, which is quicker."""
    for unit in list(network.modules()):
        if isinstance(unit, Unit) and isinstance(unit.norm, nn.BatchNorm2d):
            unit.conv, unit.norm = fuse_conv_bn_eval(unit.conv, unit.norm), nn.Identity()
    return network


def invert(network: StarDistNet) -> None:
    """Have a network answer to an image (0 to 1) as it answers to its negative now, but for a pixel at the border.

    Its first layer is linear: of the negative, 1 - x, it makes the sum of its weights less what it makes of x.
    """
    first = next(module for _, module in network.weighted())
    with torch.no_grad():
        weight, bias = _negative(first.weight, first.bias, (1, 2, 3))
        first.weight.copy_(weight)
        first.bias.copy_(bias)


def inverted_arrays(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Do the same for weights in Keras' order and axes."""
    weight, bias, *rest = arrays
    return [*_negative(weight, bias, (0, 1, 2)), *rest]


def _negative(weight: Any, bias: Any, inputs: tuple[int, ...]) -> tuple[Any, Any]:
    return -weight, bias + weight.sum(inputs)


def _empty(config: StarDistConfig) -> StarDistNet:
    """Return a network that takes no memory: what stands in a file may be one of any size."""
    with torch.device("meta"):
        network: StarDistNet = StarDistNet(Shape(**config.shape())).eval()
    return network


def _filled(config: StarDistConfig, layers: Sequence[Sequence[NDArray[Any]]]) -> StarDistNet:
    """Return a network with weights, in Keras' order and axes; it is made if they are for it."""
    network = _empty(config)
    _check(network, layers)
    state: dict[str, Tensor] = {}
    for (name, module), arrays in zip(network.weighted(), layers, strict=True):
        for part, array in zip(_parts(module), arrays, strict=True):
            values = torch.from_numpy(np.array(_as_torch(array), np.float32, order="C"))
            if not values.isfinite().all():
                raise ValueError(f"the weights of {name} are not finite numbers: they are damaged")
            state[f"{name}.{part}"] = values
        if isinstance(module, nn.BatchNorm2d):
            state[f"{name}.num_batches_tracked"] = torch.tensor(0)
    network.load_state_dict(state, assign=True)
    return network


def _check(network: StarDistNet, layers: Sequence[Sequence[NDArray[Any]]]) -> None:
    """Refuse weights, in Keras' order and axes, that are not for a network."""
    modules = list(network.weighted())
    if len(layers) != len(modules):
        raise ValueError(f"the weights are of {len(layers)} layers, and config.json describes {len(modules)}")
    for (name, module), arrays in zip(modules, layers, strict=True):
        there, wanted = [_as_torch(array).shape for array in arrays], [tuple(each.shape) for each in _tensors(module)]
        if there != wanted:
            raise ValueError(f"the weights of {name} have the shapes {there}, and config.json describes {wanted}")


def _as_torch(array: NDArray[Any]) -> NDArray[Any]:
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def write_keras(network: StarDistNet, path: Path) -> None:
    """Write a network's weights as Keras does."""
    write_arrays(path, [(name.replace(".", "_"), _arrays(module)) for name, module in network.weighted()])


def _parts(module: nn.Module) -> tuple[str, ...]:
    """Return what its tensors are called here, in Keras' order."""
    normal = ("running_mean", "running_var") if isinstance(module, nn.BatchNorm2d) else ()
    return ("weight", "bias", *normal)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [getattr(module, part) for part in _parts(module)]


def _arrays(module: nn.Module) -> Mapping[str, NDArray[np.float32]]:
    names = _NORM if isinstance(module, nn.BatchNorm2d) else _CONV
    values = [tensor.detach().cpu().numpy() for tensor in _tensors(module)]
    return {
        name: np.ascontiguousarray(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value)
        for name, value in zip(names, values, strict=True)
    }
