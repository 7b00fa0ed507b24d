"""What an engine may do besides: pass its networks on to other programs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

NETWORK_FILES = ("network.keras", "network.onnx", "network.pt", "network.pth", "network.py")
"""Names that files of a network have in a package; a package is imported again without them."""


@dataclass(frozen=True, eq=False)
class PortableNetwork:
    """A network, written in a format that other programs open, and what they must know of it.

    Attributes
    ----------
    weights : mapping
        The entry ``weights`` of a model description of the BioImage Model Zoo (0.5), without hashes; its source is one
        of `NETWORK_FILES` or of `files`.
    files : tuple of str
        Names of the engine's own model files, written beside the weights.
    config : mapping
        What the engine's own package looks for in the description's ``config``.
    axes : str
        The network's input, of the letters BYXC.
    step : (int, int)
        What the input's height and width must be multiples of, or just be where they are `fixed`, pixels.
    grid : (int, int)
        How many input pixels one output pixel stands for, along Y and X.
    halo : (int, int)
        How much at each of the output's borders is unreliable, output pixels.
    outputs : tuple of str
        Names of the output's channels.
    meaning : str
        What the output says, in at most 128 characters.
    parameters : int
        How many numbers the network has learned.
    tags : tuple of str
    citations : tuple of (str, str)
        Text and DOI of what to cite.
    usage : str
        Lines of Python that make ``labels`` from a normalized ``image`` (YXC) with the engine's own package.
    fixed : bool
        Whether the network takes images of one size only.
    enlarged : float
        By how much images at the model's pixel size are enlarged for the network.
    diameter : float, optional
        Pixels across that objects are made to have by that.
    run : callable
        Takes a normalized image (float32, CYX; sizes as `step` demands), and returns the network's output (float32,
        axes in the order of `axes`) and the labels (int32, YX).
    """

    weights: Mapping[str, Mapping[str, JsonValue]]
    files: tuple[str, ...]
    config: Mapping[str, JsonValue]
    axes: str
    step: tuple[int, int]
    grid: tuple[int, int]
    halo: tuple[int, int]
    outputs: tuple[str, ...]
    meaning: str
    parameters: int
    tags: tuple[str, ...]
    citations: tuple[tuple[str, str], ...]
    usage: str
    run: Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.int32]]]
    fixed: bool = False
    enlarged: float = 1.0
    diameter: float | None = None


@runtime_checkable
class Portable(Protocol):
    """What an `Engine` may do besides, so that its models can be exported for the BioImage Model Zoo."""

    def write_portable(self, model: Path, folder: Path, channels: int) -> PortableNetwork:
        """Write the network of a model, and the engine's own model files.

        Parameters
        ----------
        model : Path
            The model's folder.
        folder : Path
            An empty one.
        channels : int
            How many the model's images have.
        """
        ...
