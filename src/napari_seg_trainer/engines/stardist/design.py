"""The network's shape, chosen from the data."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.engines.stardist.spec import StarDistParameters
from napari_seg_trainer.errors import JobError
from napari_seg_trainer.schema.job import TrainingFacts

USUAL_PATCH = 128
"""Side of patches in pixels: many small ones serve better than few large ones of as many pixels."""
MAX_DEPTH = 6
CONVOLUTIONS_PER_LEVEL = 2
KERNEL = 3
_CONFIG: dict[str, Any] = {
    "n_dim": 2,
    "train_checkpoint": "weights_best.h5",
    "train_checkpoint_last": "weights_last.h5",
    "train_checkpoint_epoch": "weights_now.h5",
    "backbone": "unet",
    "n_classes": None,
    "unet_kernel_size": [3, 3],
    "unet_n_conv_per_depth": 2,
    "unet_pool": [2, 2],
    "unet_activation": "relu",
    "unet_last_activation": "relu",
    "unet_batch_norm": True,  # learns faster than StarDist's own default
    "unet_dropout": 0.0,
    "unet_expansion": 2,
    "unet_prefix": "",
    "net_conv_after_unet": 128,
    "net_mask_shape": [None, None, 1],
    "train_shape_completion": False,
    "train_completion_crop": 32,
    "train_background_reg": 1e-4,
    "train_sample_cache": True,
    "train_dist_loss": "mae",
    "train_loss_weights": [1, 0.2],
    "train_class_weights": [1, 1],
    "train_steps_per_epoch": 100,
    "train_n_val_patches": None,
    "train_tensorboard": False,
    "train_reduce_lr": {"factor": 0.5, "patience": 40, "min_delta": 0},
    "use_gpu": False,
}
"""What stands in ``config.json`` where nothing else is chosen."""


def chosen(given: StarDistParameters, facts: TrainingFacts) -> dict[str, int]:
    """Return the patch size, and grid, rays and depth where no network is there yet, by their names.

    What the user chose stays, but that the patch is rounded to what the network needs.
    """
    wanted = given.patch_size or choose_patch(facts.shapes, facts.extents)
    if facts.pretrained:
        return {"patch_size": round_patch(wanted, given.grid, given.depth) if given.grid and given.depth else wanted}
    grid = given.grid or choose_grid(facts.diameters)
    depth = given.depth or choose_depth(facts.extents, grid)
    rays = given.rays or (64 if np.median(facts.diameters) > 80 else 32)
    return {"grid": grid, "depth": depth, "rays": rays, "patch_size": round_patch(wanted, grid, depth)}


def adopt(given: StarDistParameters, config: Mapping[str, Any], facts: TrainingFacts) -> StarDistParameters:
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
    patch = round_patch(given.patch_size or choose_patch(facts.shapes, facts.extents), has["grid"], has["depth"])
    return given.replace(**has, patch_size=patch)


def describe(channels: int, parameters: StarDistParameters, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what stands in ``config.json``, as `stardist.models.Config2D` would say it.

    Parameters
    ----------
    channels : int
    parameters : StarDistParameters
        Complete ones.
    known : mapping, optional
        The configuration that the network has already, which stays but for the training.
    """
    if parameters.grid is None:
        raise ValueError("the parameters are not complete")
    shape = {
        "axes": "YXC",
        "n_channel_in": channels,
        "n_rays": parameters.rays,
        "grid": [parameters.grid, parameters.grid],
        "unet_n_depth": parameters.depth,
        "unet_n_filter_base": parameters.filters,
    }
    training = {
        "train_patch_size": [parameters.patch_size, parameters.patch_size],
        "train_epochs": parameters.epochs,
        "train_batch_size": parameters.batch_size,
        "train_learning_rate": parameters.learning_rate,
        "train_foreground_only": parameters.foreground,
    }
    told = {**_CONFIG, **shape, **(known or {}), **training}
    return {
        **told,
        "n_channel_out": 1 + told["n_rays"],
        "net_input_shape": [None, None, told["n_channel_in"]],
    }


def choose_grid(diameters: NDArray[np.float64]) -> int:
    """Return the grid on which 3 of 4 objects are still several points wide: 1, 2 from 6 pixels on, 4 from 24 on."""
    small = float(np.percentile(diameters, 25))  # lower ones are often pieces cut off at the image's border
    return 4 if small >= 24 else 2 if small >= 6 else 1


def field_of_view(depth: int, grid: int) -> int:
    """Return how many pixels across the network sees, at most."""
    return max(before + after + 1 for before, after in _reaches(depth, grid))


def farthest_pixel(depth: int, grid: int) -> int:
    """Return how many pixels away the farthest one is that the network looks at for its answer in one place."""
    return max(max(reach) for reach in _reaches(depth, grid))


def _reaches(depth: int, grid: int) -> Iterator[tuple[int, int]]:
    """Yield how far the network sees to either side, for each way in which a place can lie among the poolings.

    Followed from the output back through the layers as `stardist` builds them: one convolution, then a U-Net of
    `depth` poolings with two 3 × 3 convolutions a level on the way down and up, then for each halving to the grid a
    pooling and two convolutions.
    """
    step = CONVOLUTIONS_PER_LEVEL * (KERNEL // 2)
    for place in range(2**depth):
        low, high = place - KERNEL // 2 - step, place + KERNEL // 2 + step
        for _ in range(depth):
            low, high = low // 2 - step, high // 2 + step
        for _ in range(depth + grid.bit_length() - 1):
            low, high = 2 * low - step, 2 * high + 1 + step
        yield place * grid - low, high - place * grid


def choose_depth(extents: NDArray[np.float64], grid: int) -> int:
    """Return the number of levels, 3 to 6, with which the network sees 19 of 20 objects whole."""
    large = float(np.percentile(extents, 95))
    depth = 3
    while depth < MAX_DEPTH and field_of_view(depth, grid) < large:
        depth += 1
    return depth


def choose_patch(shapes: Sequence[tuple[int, int]], extents: NDArray[np.float64]) -> int:
    """Return the patch's side: 128 pixels, more for objects that would not fit twice, less for small images."""
    wanted = max(USUAL_PATCH, 2 * float(np.percentile(extents, 95)))
    typical = float(np.median([max(shape) for shape in shapes]))
    return math.ceil(min(wanted, typical, 1024))


def round_patch(size: int, grid: int, depth: int) -> int:
    """Return the nearest multiple of what the network's poolings need, at least two of them.

    So more than one place of a single patch is left after all poolings, as batch normalization needs.
    """
    unit = grid << depth
    return max(2, round(size / unit)) * unit
