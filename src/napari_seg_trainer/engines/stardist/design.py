"""The network's shape, chosen from the data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.engines.stardist.spec import StarDistParameters
from napari_seg_trainer.errors import JobError

MAX_PATCH = 256
MAX_DEPTH = 6
CONVOLUTIONS_PER_LEVEL = 2
KERNEL = 3


def complete(
    given: StarDistParameters,
    shapes: Sequence[tuple[int, int]],
    diameters: NDArray[np.float64],
    extents: NDArray[np.float64],
) -> StarDistParameters:
    """Return the parameters with grid, rays, depth and patch size filled in.

    Parameters
    ----------
    given : StarDistParameters
        What the user chose stays.
    shapes : sequence of (int, int)
        The training images' sizes, YX, pixels.
    diameters, extents : NDArray
        The objects' equivalent diameters and longer sides, pixels.
    """
    grid = given.grid or choose_grid(diameters)
    depth = given.depth or choose_depth(extents, grid)
    return given.replace(
        grid=grid,
        depth=depth,
        rays=given.rays or (64 if np.median(diameters) > 80 else 32),
        patch_size=round_patch(given.patch_size or choose_patch(shapes, extents), grid, depth),
    )


def adopt(
    given: StarDistParameters,
    config: Mapping[str, Any],
    shapes: Sequence[tuple[int, int]],
    extents: NDArray[np.float64],
) -> StarDistParameters:
    """Return the parameters with grid, rays, depth and filters of a pretrained model's configuration.

    Raises
    ------
    JobError
        If the user asked for another value than the pretrained model has.
    """
    has = {
        "grid": config["grid"][0],
        "rays": config["n_rays"],
        "depth": config["unet_n_depth"],
        "filters": config["unet_n_filter_base"],
    }
    for name, value in has.items():
        asked = getattr(given, name)
        if name in given.model_fields_set and asked not in (None, value):
            raise JobError(f"The pretrained model has {name} {value}, not {asked}. Leave {name} out.")
    patch = round_patch(given.patch_size or choose_patch(shapes, extents), has["grid"], has["depth"])
    return given.replace(**has, patch_size=patch)


def choose_grid(diameters: NDArray[np.float64]) -> int:
    """Return the coarsest grid up to 4 on which 9 of 10 objects are still at least 4 grid points wide."""
    small = float(np.percentile(diameters, 10))
    return 4 if small >= 16 else 2 if small >= 8 else 1


def field_of_view(depth: int, grid: int) -> int:
    """Return how many pixels across the network sees.

    Counted from its layers as `stardist` builds them: two 3 × 3 convolutions and a pooling for each halving to the
    grid, then a U-Net of `depth` poolings with two convolutions a level on the way down and up, then one convolution.
    """
    reach, scale = 0, 1
    step = CONVOLUTIONS_PER_LEVEL * (KERNEL - 1)
    while scale < grid:
        reach += step * scale + scale
        scale *= 2
    for _ in range(depth):
        reach += 2 * step * scale + scale
        scale *= 2
    return reach + step * scale + (KERNEL - 1) * grid + 1


def choose_depth(extents: NDArray[np.float64], grid: int) -> int:
    """Return the number of levels, 3 to 6, with which the network sees 19 of 20 objects whole."""
    large = float(np.percentile(extents, 95))
    depth = 3
    while depth < MAX_DEPTH and field_of_view(depth, grid) < large:
        depth += 1
    return depth


def choose_patch(shapes: Sequence[tuple[int, int]], extents: NDArray[np.float64]) -> int:
    """Return the patch's side: 256 pixels, more for objects that would not fit twice, less for small images."""
    wanted = max(MAX_PATCH, 2 * float(np.percentile(extents, 95)))
    typical = float(np.median([max(shape) for shape in shapes]))
    return math.ceil(min(wanted, typical, 1024))


def round_patch(size: int, grid: int, depth: int) -> int:
    """Return the nearest multiple of what the network's poolings need, at least one of them."""
    unit = grid << depth
    return max(1, round(size / unit)) * unit
