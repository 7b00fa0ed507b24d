"""A Cellpose network in memory, with cellpose's own tiles and dynamics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from cellpose.core import run_net
from cellpose.dynamics import resize_and_compute_masks
from cellpose.transforms import resize_image
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_seg_trainer.engines.cellpose.computing import Computing
from napari_seg_trainer.engines.cellpose.spec import CellposeSettings
from napari_seg_trainer.engines.protocol import PredictionSettings

# cellpose builds them from places that it has clipped to the image; PyTorch warns of who has not decided
torch.sparse.check_sparse_tensor_invariants.disable()

MIN_SIZE = 15
MAX_SIZE_FRACTION = 0.9
STEPS = 200
BATCH = 8
_ENOUGH = 5
_ALIKE = 1.5
_FARTHEST = 4.0


class Network:
    """What `cellpose.core.run_net` asks for; computes in the fastest way."""

    dtype = torch.float32

    def __init__(self, network: nn.Module, computing: Computing) -> None:
        self._network = computing.place(network).eval()
        self._computing = computing
        self.device = computing.device

    def eval(self) -> None:
        """Do nothing: it never trains."""

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return flows and probability (BCYX), and the style (BC)."""
        with self._computing.precision():
            answer, style = self._network(self._computing.take(images))[:2]
        return answer.float(), style.float()


class CellposePredictor:
    """A model in memory.

    Parameters
    ----------
    network : nn.Module
    computing : Computing
    channels : int
        What the network takes; channels that an image lacks are 0.
    block : int
        Side of a tile, pixels.
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
        diameter: float,
        typical: float,
        settings: CellposeSettings,
    ) -> None:
        self._network = Network(network, computing)
        self._channels, self._block = channels, block
        self._diameter, self._typical = diameter, typical
        self._own = settings

    def predict(self, image: NDArray[np.float32], settings: PredictionSettings | None = None) -> NDArray[np.int32]:
        """Return the instances (YX) of a normalized image (CYX); it goes through the network in tiles.

        Where the objects turn out to be much larger or smaller than in the training images, the image is scaled
        accordingly and looked at once more.
        """
        chosen = CellposeSettings() if settings is None else settings
        if not isinstance(chosen, CellposeSettings):
            raise TypeError(f"Cellpose cannot predict with {type(chosen).__name__}")
        given = chosen.diameter or self._own.diameter
        if not self._diameter or given:
            return self.segment(image, self._factor(given or 0.0), chosen)
        labels = self.segment(image, self._factor(self._typical), chosen)
        seen = typical_diameter(labels)
        if seen and not 1 / _ALIKE <= seen / self._typical <= _ALIKE:
            ratio = float(np.clip(seen / self._typical, 1 / _FARTHEST, _FARTHEST))
            labels = self.segment(image, self._factor(self._typical * ratio), chosen)
        return labels

    def segment(self, image: NDArray[np.float32], factor: float, settings: CellposeSettings) -> NDArray[np.int32]:
        """Return the instances of an image that is scaled by `factor` for the network."""
        return self.masks(self.answer(image, factor), factor, settings)

    def answer(self, image: NDArray[np.float32], factor: float = 1.0) -> NDArray[np.float32]:
        """Return what the network says of an image that is scaled for it, on the image's own grid.

        Parameters
        ----------
        image : NDArray, axes CYX
        factor : float

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
        answer, _ = run_net(
            self._network,
            full[np.newaxis],
            batch_size=BATCH,
            bsize=self._block,
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

    def _factor(self, diameter: float) -> float:
        if not diameter:
            return 1.0
        return (self._diameter or SAM_DIAMETER) / diameter


SAM_DIAMETER = 30.0
"""Pixels across of the objects that Cellpose-SAM is shown where the user tells their diameter."""


def typical_diameter(labels: NDArray[Any]) -> float:
    """Return the median diameter of the circles with the objects' areas, pixels; 0 for fewer than five objects."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.median(np.sqrt(areas * 4 / np.pi))) if areas.size >= _ENOUGH else 0.0


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def spread(count: int, most: int) -> Sequence[int]:
    """Return up to `most` places, evenly among `count`."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})
