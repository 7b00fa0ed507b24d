"""The residual U-Net of Cellpose 1 to 3 (Stringer et al. 2021, https://doi.org/10.1038/s41592-020-01018-x).

Its weights have the names that those programs gave them, so that files go both ways. Here it is written for one size of
network and for two dimensions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_seg_trainer.engines.torch.layers import doubled_conv

WIDTHS = (32, 64, 128, 256)
CHANNELS = 2
OUTPUTS = 3
_KERNEL = 3
_MOMENTUM = 0.05


class CellposeNet(nn.Module):  # type: ignore[misc]
    """Two channels in; flows along Y and X (times 5), and the logit of the object probability out.

    Going down, each level halves the image; going up, each one gets what the level beside it saw, and the style: the
    mean of the deepest features, scaled to length 1.

    Parameters
    ----------
    channels : int
        Input channels.
    widths : sequence of int
        Features on each level.
    diameter : float
        Pixels across of the objects that the network is shown.

    Attributes
    ----------
    diam_mean, diam_labels : Parameter
        That diameter, and the one of the objects in the training images before they were scaled.
    """

    def __init__(self, channels: int = CHANNELS, widths: Sequence[int] = WIDTHS, diameter: float = 30.0) -> None:
        super().__init__()
        steps = [channels, *widths]
        down = {f"res_down_{i}": _Down(steps[i], steps[i + 1]) for i in range(len(widths))}
        above = [*widths, widths[-1]]
        deepest = len(widths) - 1
        up = {f"res_up_{i}": _Up(above[i + 1], above[i], widths[-1], enlarges=i < deepest) for i in range(len(widths))}
        self.downsample = nn.ModuleDict({"down": nn.ModuleDict(down)})
        self.upsample = nn.ModuleDict({"up": nn.ModuleDict(up)})
        self.output = _unit(widths[0], OUTPUTS, 1)
        self.diam_mean = nn.Parameter(torch.tensor([diameter]), requires_grad=False)
        self.diam_labels = nn.Parameter(torch.tensor([diameter]), requires_grad=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return flows and probability (axes BCYX, 3 channels), and the style (axes BC).

        Parameters
        ----------
        image : Tensor, axes BCYX
            Height and width are multiples of 8.
        """
        seen: list[Tensor] = []
        for block in self.downsample["down"].values():
            seen.append(block(functional.max_pool2d(seen[-1], 2) if seen else image))
        style = _style(seen[-1])
        features = seen[-1]
        for block, beside in reversed(list(zip(self.upsample["up"].values(), seen, strict=True))):
            features = block(features, beside, style)
        return self.output(features), style


class FlowsOnly(CellposeNet):
    """The same for other programs: images of one or two channels, of which the second is empty then, and one answer."""

    def forward(self, image: Tensor) -> Tensor:
        """Return flows and probability (axes BCYX, 3 channels)."""
        full = functional.pad(image, (0, 0, 0, 0, 0, CHANNELS - image.shape[1]))
        answer: Tensor = super().forward(full)[0]
        return answer


class _Down(nn.Module):  # type: ignore[misc]
    """Four convolutions, in two steps that each add to what came before."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        units = {f"conv_{i}": _unit(outputs if i else inputs, outputs, _KERNEL) for i in range(4)}
        self.conv = nn.ModuleDict(units)
        self.proj = _projection(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        first, second, third, fourth = self.conv.values()
        x = self.proj(x) + second(first(x))
        return x + fourth(third(x))


class _Up(nn.Module):  # type: ignore[misc]
    """The same, with what the level beside it saw and with the style; all but the deepest double the image first.

    To enlarge and then to convolve is one transposed convolution (see `doubled_conv`), and nothing else in a unit cares
    which comes first: enlarging last does a third of the work, and finds the same.
    """

    def __init__(self, inputs: int, outputs: int, styles: int, *, enlarges: bool) -> None:
        super().__init__()
        units: dict[str, nn.Module] = {"conv_0": _unit(inputs, outputs, _KERNEL)}
        units |= {f"conv_{i}": _Styled(outputs, styles) for i in (1, 2, 3)}
        self.conv = nn.ModuleDict(units)
        self.proj = _projection(inputs, outputs)
        self._enlarges = enlarges

    def forward(self, x: Tensor, beside: Tensor, style: Tensor) -> Tensor:
        first, second, third, fourth = self.conv.values()
        projected = self.proj(x)
        if self._enlarges:
            projected = functional.interpolate(projected, scale_factor=2, mode="nearest")
            norm, relu, conv = first
            entered = doubled_conv(relu(norm(x)), conv.weight, conv.bias)
        else:
            entered = first(x)
        x = projected + second(entered + beside, style)
        return x + fourth(third(x, style), style)


class _Styled(nn.Module):  # type: ignore[misc]
    """A convolution of features to which the style is added."""

    def __init__(self, features: int, styles: int) -> None:
        super().__init__()
        self.conv = _unit(features, features, _KERNEL)
        self.full = nn.Linear(styles, features)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.conv(x + self.full(style)[:, :, None, None])


def _unit(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(inputs, momentum=_MOMENTUM),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
    )


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(inputs, momentum=_MOMENTUM), nn.Conv2d(inputs, outputs, 1))


def _style(deepest: Tensor) -> Tensor:
    mean = deepest.float().mean((2, 3))
    return mean / mean.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
