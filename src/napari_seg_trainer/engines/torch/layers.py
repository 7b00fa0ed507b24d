"""Layers that are computed in a faster way, and give the same."""

import torch
from torch import Tensor
from torch.nn import functional


def doubled_conv(image: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Return a 3 × 3 convolution of an image that is doubled first by nearest neighbours.

    To double and then to convolve is one transposed convolution (stride 2) of the small image, which does less than
    half of the work. Processors that compute with 16 bits are so fast at plain convolutions that it does not pay there.

    Parameters
    ----------
    image : Tensor, axes BCYX
    kernel : Tensor, outputs × inputs × 3 × 3
    bias : Tensor, optional
    """
    # other programs know no kernels that are computed
    if torch.jit.is_tracing() or torch.is_autocast_enabled(image.device.type):
        large = functional.interpolate(image, scale_factor=2.0, mode="nearest")
        return functional.conv2d(large, kernel, bias, padding=1)
    return functional.conv_transpose2d(image, _doubling(kernel), bias, stride=2, padding=1)


def _doubling(kernel: Tensor) -> Tensor:
    """Return the kernel of the transposed convolution: inputs × outputs × 4 × 4.

    Each pixel of the small image is two of the large one: the kernel is added to itself, moved by one.
    """
    turned = kernel.transpose(0, 1).flip(2, 3)
    wide = functional.pad(turned, (0, 1)) + functional.pad(turned, (1, 0))
    return functional.pad(wide, (0, 0, 0, 1)) + functional.pad(wide, (0, 0, 1, 0))
