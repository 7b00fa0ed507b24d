"""StarDist's files, read as data; imports no framework and runs nothing of a file.

StarDist hands on what stands in ``config.json`` to Keras, which takes some values for a function to import and call. So
only entries that are known here, of the kind that StarDist writes, come through.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveInt, ValidationError

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.files import read_arrays, read_bytes
from napari_seg_trainer.schema.job import PositiveFloat

CONFIG, THRESHOLDS, WEIGHTS = "config.json", "thresholds.json", "weights_best.h5"
KERAS_MEANS, LEARNED_MEANS = "means.npz", "learned.npz"
"""What an epoch's folder has that TensorFlow computed."""
WEIGHTS_SUFFIXES = (".h5", ".hdf5")
MAX_TEXT_BYTES = 1 << 20
_BYTES = 4
_SPARE = 1 << 20
_Activation = Literal["relu", "elu", "selu", "gelu", "silu", "swish", "softplus", "tanh", "sigmoid", "linear"]
_Side = Annotated[int, Field(ge=1, le=31)]
_Fraction = Annotated[float, Field(gt=0, lt=1)]
_Model = TypeVar("_Model", bound=BaseModel)


class StarDistConfig(BaseModel):
    """What csbdeep and StarDist write to ``config.json``, as far as it matters here; the names are theirs."""

    axes: Annotated[str, Field(pattern=r"^[SYXC]{2,4}$")] | None = None
    n_channel_in: Annotated[int, Field(ge=1, le=256)] = 1
    n_rays: Annotated[int, Field(ge=3, le=1024)]
    n_classes: Annotated[int, Field(ge=1, le=1024)] | None = None
    grid: tuple[_Side, ...] = (1, 1)
    backbone: Literal["unet"] | None = None
    unet_n_depth: Annotated[int, Field(ge=1, le=10)] | None = None
    unet_kernel_size: tuple[_Side, _Side] | None = None
    unet_n_filter_base: Annotated[int, Field(ge=1, le=1024)] | None = None
    unet_n_conv_per_depth: Annotated[int, Field(ge=1, le=8)] | None = None
    unet_pool: tuple[_Side, _Side] | None = None
    unet_activation: _Activation | None = None
    unet_last_activation: _Activation | None = None
    unet_batch_norm: bool | None = None
    unet_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    unet_expansion: Annotated[int, Field(ge=1, le=4)] | None = None
    unet_prefix: Annotated[str, Field(pattern=r"^\w{0,40}$")] | None = None
    net_conv_after_unet: Annotated[int, Field(ge=0, le=4096)] | None = None
    train_patch_size: tuple[PositiveInt, ...] | None = None
    train_epochs: PositiveInt | None = None
    train_batch_size: PositiveInt | None = None
    train_learning_rate: PositiveFloat | None = None
    train_foreground_only: Annotated[float, Field(ge=0, le=1)] | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what the file says, as arguments of `stardist.models.Config2D`."""
        return self.model_dump(exclude_none=True)

    def shape(self) -> dict[str, Any]:
        """Return what makes the network's shape, by StarDist's names; what is not given is as in its `Config2D`."""
        told = self.arguments()
        return {name: told[name] for name in _SHAPE if name in told}

    def least_bytes(self) -> float:
        """Return how many bytes of weights such a network has at least."""
        height, width = self.unet_kernel_size or (3, 3)
        expansion, depth = self.unet_expansion or 2, self.unet_n_depth or 3
        features: int = (self.unet_n_filter_base or 32) * expansion ** (depth - 1)
        layers = max(1 / expansion, (self.unet_n_conv_per_depth or 2) - 1)
        return _BYTES * height * width * features**2 * layers


_SHAPE = (
    *("n_rays", "n_channel_in", "n_classes", "grid", "net_conv_after_unet", "unet_n_depth", "unet_kernel_size"),
    *("unet_n_filter_base", "unet_n_conv_per_depth", "unet_pool", "unet_activation", "unet_last_activation"),
    *("unet_batch_norm", "unet_dropout", "unet_expansion"),
)


class StarDistThresholds(BaseModel):
    """What StarDist writes to ``thresholds.json``."""

    prob: _Fraction | None = None
    nms: _Fraction | None = None


def find_stardist_weights(folder: Path) -> Path:
    """Return the file of weights that StarDist would take: the newest, the best ones first.

    Raises
    ------
    LibraryError
        If there is none.
    """
    found = [path for path in folder.glob("*") if path.suffix in WEIGHTS_SUFFIXES and path.is_file()]
    if not found:  # StarDist itself would go on with random weights
        raise LibraryError(f"The StarDist model in {str(folder)!r} has no weights (weights_best.h5). Choose another.")
    return max(found, key=lambda path: ("best" in path.name, path.stat().st_mtime))


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Say in one line that a StarDist folder cannot be opened; what is broken in weights can raise nearly anything."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise LibraryError(f"StarDist cannot open the model in {str(folder)!r}: {reason}") from error


def read_config(folder: Path, weights: Path) -> StarDistConfig:
    """Return the network that a StarDist folder describes.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, holds something else, or describes a far larger network than the weights are of.
    """
    config = read_description(folder / CONFIG, StarDistConfig)
    if config.least_bytes() > 4 * weights.stat().st_size + _SPARE:
        raise ValueError(f"{CONFIG} describes a far larger network than the weights in {weights.name} contain")
    return config


def read_thresholds(folder: Path) -> StarDistThresholds:
    """Return the thresholds in a StarDist folder, where there are any.

    Raises
    ------
    OSError, ValueError
        If they cannot be read, or are none.
    """
    there = (folder / THRESHOLDS).exists()
    return read_description(folder / THRESHOLDS, StarDistThresholds) if there else StarDistThresholds()


def read_description(path: Path, kind: type[_Model]) -> _Model:
    """Return what stands in a file of StarDist's.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or holds something else.
    """
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_TEXT_BYTES >> 20} MiB")
    try:
        return kind.model_validate(json.loads(read_bytes(path)))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply") from error


def load_arrays(path: Path) -> list[NDArray[Any]]:
    """Return the arrays, of any axes, in the order in which they were saved."""
    stored = read_arrays(path)
    return [stored[name] for name in sorted(stored)]
