"""A Cellpose network in memory, with cellpose's own tiles and dynamics."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
import torch
from cellpose.core import run_net
from cellpose.dynamics import resize_and_compute_masks
from cellpose.transforms import resize_image
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_seg_trainer.engines.cellpose.spec import CellposeSettings
from napari_seg_trainer.engines.protocol import PredictionSettings
from napari_seg_trainer.engines.torch.computing import Computing

# cellpose builds them from places that it has clipped to the image; PyTorch warns of who has not decided
torch.sparse.check_sparse_tensor_invariants.disable()

MIN_SIZE = 15
MAX_SIZE_FRACTION = 0.9
STEPS = 200
BATCH = 8
BLOCK_STEP = 16
TILE_OVERLAP = 0.1
_ENOUGH = 5
ALIKE = 1.1
"""Objects whose size differs less than this from what is typical are not looked at again."""
FARTHEST = 4.0


class Network:
    """What `cellpose.core.run_net` asks for; computes in the fastest way."""

    dtype = torch.float32

    def __init__(self, network: nn.Module, computing: Computing) -> None:
        self._network = computing.place(network).eval()
        self._computing = computing
        self.device = computing.device
        self.on_tile: Callable[[], object] | None = None

    def eval(self) -> None:
        """Do nothing: it never trains."""

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return flows and probability (BCYX), and the style (BC)."""
        with self._computing.precision():
            answer, style = self._network(self._computing.take(images))[:2]
        if self.on_tile is not None:
            self.on_tile()
        return answer.float(), style.float()


class CellposePredictor:
    """A model in memory; it is also a `tiles.TellsTiles`.

    Parameters
    ----------
    network : nn.Module
    computing : Computing
    channels : int
        What the network takes; channels that an image lacks are 0.
    block : int
        Side of a tile, pixels.
    largest_block : int
        Tiles may be larger, up to this, where fewer pixels are then computed; the same for networks that take one size.
    diameter, typical : float
        Images are scaled by the one over the other; 0 and 0 for networks that take objects of any size.
    settings : CellposeSettings
        The model's own, without None but for the diameter.
    """

    def __init__(
        self,
        network: nn.Module,
        computing: Computing,
        *,
        channels: int,
        block: int,
        largest_block: int,
        diameter: float,
        typical: float,
        settings: CellposeSettings,
    ) -> None:
        self._network = Network(network, computing)
        self._channels, self._blocks = channels, range(block, largest_block + 1, BLOCK_STEP)
        self._diameter, self._typical = diameter, typical
        self._own = settings
        self.on_tile: Callable[[int, int], object] | None = None

    def predict(self, image: NDArray[np.float32], settings: PredictionSettings | None = None) -> NDArray[np.int32]:
        """Return the instances (YX) of a normalized image (CYX); it goes through the network in tiles.

        Where the objects turn out to be larger or smaller than in the training images, the image is scaled accordingly
        and looked at once more.
        """
        chosen = CellposeSettings() if settings is None else settings
        if not isinstance(chosen, CellposeSettings):
            raise TypeError(f"Cellpose cannot predict with {type(chosen).__name__}")
        return self.masks(*self.look(image, chosen), chosen)

    def look(self, image: NDArray[np.float32], settings: CellposeSettings) -> tuple[NDArray[np.float32], float]:
        """Return what the network says of an image (YXC, see `answer`), and by how much the image was scaled for it."""
        given = settings.diameter or self._own.diameter
        factor = self._factor(given or self._typical)
        if not self._diameter or given:
            return self.answer(image, factor), factor
        answer = self.answer(image, factor, (0, 2))
        ratio = typical_diameter(self.masks(answer, factor, settings)) / self._typical
        if not ratio or 1 / ALIKE <= ratio <= ALIKE:
            return answer, factor
        factor /= float(np.clip(ratio, 1 / FARTHEST, FARTHEST))
        return self.answer(image, factor, (1, 2)), factor

    def answer(
        self, image: NDArray[np.float32], factor: float = 1.0, look: tuple[int, int] = (0, 1)
    ) -> NDArray[np.float32]:
        """Return what the network says of an image that is scaled for it, on the image's own grid.

        Parameters
        ----------
        image : NDArray, axes CYX
        factor : float
        look : (int, int)
            Which look at the image it is, from 0, and of how many.

        Returns
        -------
        NDArray of float32, axes YXC
            Flows along Y and X (times 5), and the logit of the object probability.
        """
        shape = image.shape[1:]
        full = np.zeros((*shape, self._channels), np.float32)
        full[..., : len(image)] = np.moveaxis(image, 0, -1)
        scale = [max(factor, 1.0 / length) for length in shape]
        is_scaled = any(abs(value - 1.0) > 1e-3 for value in scale)
        scaled = [length * value for length, value in zip(shape, scale, strict=True)]
        block = cheapest_block(scaled, self._blocks)
        with self._counting(-(-tile_count(scaled, block) // BATCH), look):
            answer, _ = run_net(
                self._network,
                full[np.newaxis],
                batch_size=BATCH,
                tile_overlap=TILE_OVERLAP,
                bsize=block,
                rsz=[scale[0] + 1e-9, scale[1] + 1e-9] if is_scaled else None,
            )
        if is_scaled:
            answer = resize_image(answer, *shape)
        return np.asarray(answer[0], np.float32)

    def masks(self, answer: NDArray[np.float32], factor: float, settings: CellposeSettings) -> NDArray[np.int32]:
        """Return the instances (YX) that follow from what the network said (YXC)."""
        flows, cell = np.moveaxis(answer[..., :2], -1, 0), answer[..., 2]
        labels = resize_and_compute_masks(
            np.ascontiguousarray(flows),
            np.ascontiguousarray(cell),
            niter=max(1, int(STEPS / factor)),
            cellprob_threshold=_first(settings.cellprob_threshold, self._own.cellprob_threshold),
            flow_threshold=_first(settings.flow_threshold, self._own.flow_threshold),
            min_size=MIN_SIZE,
            max_size_fraction=MAX_SIZE_FRACTION,
            device=self._network.device,
        )
        return np.asarray(labels, np.int32)

    @contextmanager
    def _counting(self, batches: int, look: tuple[int, int]) -> Iterator[None]:
        """Report how many batches of tiles the network has seen, where there are several."""
        on_tile, done, (place, looks) = self.on_tile, count(1), look
        if on_tile is not None and batches > 1:
            self._network.on_tile = lambda: on_tile(place * batches + min(next(done), batches), looks * batches)
        try:
            yield
        finally:
            self._network.on_tile = None

    def _factor(self, diameter: float) -> float:
        if not diameter:
            return 1.0
        return (self._diameter or SAM_DIAMETER) / diameter


SAM_DIAMETER = 30.0
"""Pixels across of the objects that Cellpose-SAM is shown where the user gives their diameter."""


def cheapest_block(shape: Sequence[float], blocks: Iterable[int]) -> int:
    """Return the side of cellpose's tiles with which the fewest pixels are computed for an image (YX)."""
    return min(blocks, key=lambda block: tile_count(shape, block) * block**2)


def tile_count(shape: Sequence[float], block: int) -> int:
    """Return into how many tiles of the side `block` cellpose cuts an image (YX), pixels."""
    padded = [BLOCK_STEP * (math.ceil(length / BLOCK_STEP) + 1) for length in shape]
    return math.prod(1 if length <= block else math.ceil((1 + 2 * TILE_OVERLAP) * length / block) for length in padded)


def typical_diameter(labels: NDArray[Any]) -> float:
    """Return the median diameter of circles with the areas of objects (labels YX), pixels; 0 for fewer than five."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.median(np.sqrt(areas * 4 / np.pi))) if areas.size >= _ENOUGH else 0.0


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
