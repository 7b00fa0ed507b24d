"""StarDist's network in PyTorch: csbdeep's U-Net as StarDist configures it (Schmidt et al. 2018).

https://doi.org/10.1007/978-3-030-00934-2_30
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_seg_trainer.engines.torch.layers import doubled_conv

_ACTIVATIONS = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "linear": nn.Identity,
}
_EPSILON = 1e-3  # as Keras has it
_MOMENTUM = 0.1  # a tenth of Keras' memory, as the running mean of a training keeps these numbers, too


@dataclass(frozen=True)
class Shape:
    """The shape of a network; names and defaults are those of `stardist.models.Config2D`."""

    n_rays: int = 32
    n_channel_in: int = 1
    n_classes: int | None = None
    grid: Sequence[int] = (1, 1)
    unet_n_depth: int = 3
    unet_kernel_size: Sequence[int] = (3, 3)
    unet_n_filter_base: int = 32
    unet_n_conv_per_depth: int = 2
    unet_pool: Sequence[int] = (2, 2)
    unet_activation: str = "relu"
    unet_last_activation: str = "relu"
    unet_batch_norm: bool = False
    unet_dropout: float = 0.0
    unet_expansion: int = 2
    net_conv_after_unet: int = 128

    def entry_pools(self) -> list[tuple[int, int]]:
        """Return the poolings from the image to the grid, along Y and X."""
        if any(side.bit_count() != 1 for side in self.grid) or len(self.grid) != 2:
            raise ValueError(f"the grid is {tuple(self.grid)}, and each side must be a power of 2")
        pools, (y, x) = [], (1, 1)
        while (y, x) != tuple(self.grid):
            pools.append((1 + (self.grid[0] > y), 1 + (self.grid[1] > x)))
            y, x = y * pools[-1][0], x * pools[-1][1]
        return pools


class StarDistNet(nn.Module):  # type: ignore[misc]
    """Image in; logit of the object probability, and distances to the object's border along the rays, out.

    Parameters
    ----------
    shape : Shape

    Attributes
    ----------
    entry, down, middle, up : ModuleList
        Units on the way to the grid, on the way down, at the bottom, and on the way up; a row of units for each level.
    features, class_features : Unit, optional
        What the answers are made of.
    probability, distances, classes : Conv2d
        The answers; `classes` where the model distinguishes classes of objects.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        depth, inner = shape.unet_n_depth, shape.unet_n_conv_per_depth - 1
        widths = [shape.unet_n_filter_base * shape.unet_expansion**level for level in range(depth + 1)]
        above = [widths[max(0, level - 1)] for level in range(depth + 1)]
        self.entry, self.down, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = shape.n_channel_in
        for _ in shape.entry_pools():
            self.entry.append(_row(shape, width, [widths[0]] * (inner + 1), plain=True))
            width = widths[0]
        for level in range(depth):
            self.down.append(_row(shape, width, [widths[level]] * (inner + 1)))
            width = widths[level]
        self.middle = _row(shape, width, [widths[depth]] * inner + [above[depth]])
        for level in reversed(range(depth)):
            width = above[level + 1] + widths[level]
            last = shape.unet_activation if level else shape.unet_last_activation
            self.up.append(_row(shape, width, [widths[level]] * inner + [above[level]], last=last))
        width, extra = above[0] if depth else above[depth], shape.net_conv_after_unet
        many = shape.n_classes is not None
        self.features = _row(shape, width, [extra], plain=True)[0] if extra else None
        self.class_features = _row(shape, width, [extra], plain=True)[0] if extra and many else None
        self.probability = nn.Conv2d(extra or width, 1, 1)
        self.distances = nn.Conv2d(extra or width, shape.n_rays, 1)
        self.classes = nn.Conv2d(extra or width, (shape.n_classes or 0) + 1, 1) if many else None

    def forward(self, image: Tensor) -> Tensor:
        """Return the answer on the grid (axes BCYX): the probability's logit first, then the distances.

        Parameters
        ----------
        image : Tensor, axes BCYX
            Height and width are multiples of what all the poolings make of one pixel.
        """
        x = image
        for row, pool in zip(self.entry, self.shape.entry_pools(), strict=True):
            x = functional.max_pool2d(_through(row, x), pool)
        seen: list[Tensor] = []
        for row in self.down:
            seen.append(_through(row, x))
            x = functional.max_pool2d(seen[-1], tuple(self.shape.unet_pool))
        x = _through(self.middle, x)
        for row, beside in zip(self.up, reversed(seen), strict=True):
            x = _through(row[1:], row[0](x, beside))
        if self.features is not None:
            x = self.features(x)
        return torch.cat([self.probability(x), self.distances(x)], dim=1)

    def weighted(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield all layers with weights and their names in the order in which Keras lists them."""
        heads = ("features", "class_features", "probability", "distances", "classes")
        for part in ("entry", "down", "middle", "up", *heads):
            for name, module in (getattr(self, part) or nn.Identity()).named_modules(prefix=part):
                if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                    yield name, module


class Unit(nn.Module):  # type: ignore[misc]
    """A convolution, batch normalization where the model has it, an activation, and dropout while it trains."""

    def __init__(self, shape: Shape, inputs: int, outputs: int, activation: str, *, plain: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, tuple(shape.unet_kernel_size), padding="same")
        normal, dropped = shape.unet_batch_norm and not plain, 0.0 if plain else shape.unet_dropout
        self.norm = nn.BatchNorm2d(outputs, eps=_EPSILON, momentum=_MOMENTUM) if normal else nn.Identity()
        self.act = nn.ReLU(inplace=True) if activation == "relu" else _ACTIVATIONS[activation]()
        self.drop = nn.Dropout(dropped) if dropped else nn.Identity()
        self._pool = float(shape.unet_pool[0]), float(shape.unet_pool[1])

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        """Return the answer; with `beside`, of the enlarged `x` and of that together, whose convolution is a sum."""
        if beside is None:
            x = self.conv(x)
        elif self._pool == (2.0, 2.0) and self.conv.kernel_size == (3, 3):
            own, other = self.conv.weight.split([x.shape[1], beside.shape[1]], dim=1)
            x = doubled_conv(x, own, self.conv.bias) + functional.conv2d(beside, other, padding=1)
        else:
            large = functional.interpolate(x, scale_factor=self._pool, mode="nearest")
            x = self.conv(torch.cat([large, beside], dim=1))
        return self.drop(self.act(self.norm(x)))


class PortableNet(StarDistNet):
    """The same for other programs: the probability itself, and distances of at least 0.001, as StarDist has them."""

    def forward(self, image: Tensor) -> Tensor:
        """Return probability and distances (axes BCYX)."""
        answer = super().forward(image)
        return torch.cat([answer[:, :1].sigmoid(), answer[:, 1:].clamp_min(1e-3)], dim=1)


def portable_net(**shape: Any) -> PortableNet:
    """Return a network of the shape with these fields."""
    return PortableNet(Shape(**shape))


def initialize(network: nn.Module) -> None:
    """Draw weights at random as Keras does (Glorot and Bengio 2010)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def _row(
    shape: Shape, inputs: int, outputs: Sequence[int], *, last: str | None = None, plain: bool = False
) -> nn.ModuleList:
    """Return units one after the other; `plain` ones have neither batch normalization nor dropout."""
    units, width = nn.ModuleList(), inputs
    for place, output in enumerate(outputs, 1):
        activation = last if last and place == len(outputs) else shape.unet_activation
        units.append(Unit(shape, width, output, activation, plain=plain))
        width = output
    return units


def _through(row: nn.ModuleList, x: Tensor) -> Tensor:
    for unit in row:
        x = unit(x)
    return x
