"""A network of PyTorch in memory; tiles, polygons and suppression are csbdeep's and stardist's own."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from csbdeep.internals.predict import tile_iterator, total_n_tiles
from numpy.typing import NDArray
from stardist.geometry import polygons_to_label
from stardist.nms import non_maximum_suppression, non_maximum_suppression_sparse

from napari_seg_trainer.engines.protocol import PredictionSettings
from napari_seg_trainer.engines.stardist.design import farthest_pixel
from napari_seg_trainer.engines.stardist.spec import StarDistSettings
from napari_seg_trainer.engines.stardist.thresholds import MAX_CANDIDATES
from napari_seg_trainer.engines.stardist.unet import StarDistNet
from napari_seg_trainer.engines.torch.computing import Computing

TILE = 1024
LEAST_DISTANCE = 1e-3
"""Shorter ones are made so long: StarDist does not compute below."""
BORDER = 2
"""Grid points at the image's border that are no object's centre."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network says of a part of an image, on the grid.

    Attributes
    ----------
    probability : NDArray of float32, axes YX
    distances : NDArray of float32, axes YXR
        Pixels.
    place : tuple of slice
        Where that lies on the grid of the image.
    """

    probability: NDArray[np.float32]
    distances: NDArray[np.float32]
    place: tuple[slice, slice]


class StarDistPredictor:
    """A StarDist model in memory; it is also a `tiles.TellsTiles`.

    Parameters
    ----------
    network : StarDistNet
    computing : Computing
    thresholds : dict
        ``prob`` and ``nms``.
    """

    def __init__(self, network: StarDistNet, computing: Computing, thresholds: dict[str, float]) -> None:
        self.network = computing.place(network)
        self._computing = computing
        self.thresholds = thresholds
        shape = network.shape
        self.grid = shape.grid[0], shape.grid[1]
        self._step = [pool**shape.unet_n_depth * g for pool, g in zip(shape.unet_pool, self.grid, strict=True)]
        self._reach = farthest_pixel(shape.unet_n_depth, max(self.grid))
        self.on_tile: Callable[[int, int], object] | None = None

    def predict(self, image: NDArray[np.float32], settings: PredictionSettings | None = None) -> NDArray[np.int32]:
        """Return the instances (YX) of a normalized image (CYX); images over 1024 pixels go through in tiles.

        As in `StarDist2D.predict_instances`, all that is kept of a tile is where an object may be.
        """
        chosen = StarDistSettings() if settings is None else settings
        if not isinstance(chosen, StarDistSettings):
            raise TypeError(f"StarDist cannot predict with {type(chosen).__name__}")
        threshold = self.thresholds["prob"] if chosen.probability is None else chosen.probability
        overlap = self.thresholds["nms"] if chosen.overlap is None else chosen.overlap
        shape = (image.shape[1], image.shape[2])
        found: list[tuple[NDArray[Any], ...]] = []
        for answer in self.answers(image):
            inner = self._inner(answer.place, shape)
            places = np.nonzero((answer.probability > threshold) & inner)
            corner = [part.start for part in answer.place]
            points = (np.stack(places, axis=1) + corner) * self.grid
            found.append((answer.distances[places], answer.probability[places], points))
        distances, probability, points = (np.concatenate(parts) for parts in zip(*found, strict=True))
        points, probability, distances, _ = non_maximum_suppression_sparse(
            distances, probability, points, nms_thresh=overlap
        )
        return _drawn(distances, points, probability, shape)

    def look(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the probability (YX) and the distances (YXR, pixels) of an image (CYX) on the grid."""
        answers = list(self.answers(image))
        size = [max(answer.place[axis].stop for answer in answers) for axis in (0, 1)]
        probability = np.empty(size, np.float32)
        distances = np.empty((*size, answers[0].distances.shape[-1]), np.float32)
        for answer in answers:
            probability[answer.place], distances[answer.place] = answer.probability, answer.distances
        last = [-(-length // grid) for length, grid in zip(image.shape[1:], self.grid, strict=True)]
        return probability[: last[0], : last[1]], distances[: last[0], : last[1]]

    def answers(self, image: NDArray[np.float32]) -> Iterator[Answer]:
        """Yield what the network says of an image (CYX), tile by tile.

        It is enlarged by reflection to a multiple of what all poolings make of one pixel, as in StarDist.
        """
        margins = [-length % step for length, step in zip(image.shape[1:], self._step, strict=True)]
        padded = np.pad(np.moveaxis(image, 0, -1), [(0, margins[0]), (0, margins[1]), (0, 0)], mode="reflect")
        tiles = [math.ceil(length / TILE) for length in image.shape[1:]]
        if max(tiles) == 1:
            probability, distances = self._compute(padded)
            yield Answer(probability, distances, (slice(0, probability.shape[0]), slice(0, probability.shape[1])))
            return
        how = {
            "n_tiles": (*tiles, 1),
            "block_sizes": (*self._step, 1),
            "n_block_overlaps": (*(math.ceil(self._reach / step) for step in self._step), 0),
        }
        count = total_n_tiles(padded, **how)
        for done, (tile, source, target) in enumerate(tile_iterator(padded, **how), 1):
            inside, place = self._on_grid(source), self._on_grid(target)
            probability, distances = self._compute(tile)
            yield Answer(probability[inside], distances[inside], place)
            if self.on_tile is not None:
                self.on_tile(done, count)

    def _on_grid(self, parts: Sequence[slice]) -> tuple[slice, slice]:
        y, x = (slice(part.start // g, part.stop // g) for part, g in zip(parts[:2], self.grid, strict=True))
        return y, x

    def _compute(self, tile: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return probability (YX) and distances (YXR) of a tile (YXC) whose size suits the network."""
        pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(tile, -1, 0), np.float32))[None]
        with torch.inference_mode(), self._computing.precision():
            answer = self.network(self._computing.take(pixels))[0].float()
            probability, distances = answer[0].sigmoid(), answer[1:].clamp_min(LEAST_DISTANCE)
            return probability.cpu().numpy(), np.ascontiguousarray(distances.permute(1, 2, 0).cpu().numpy())

    def _inner(self, place: tuple[slice, slice], shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return where (YX) a part of the grid lies inside of the image, and off its border."""
        axes = []
        for part, length, grid, step in zip(place, shape, self.grid, self._step, strict=True):
            points = np.arange(part.start, part.stop)
            last = -(-length // step) * step // grid - BORDER
            axes.append((points >= BORDER) & (points < last) & (points * grid < length))
        return np.asarray(axes[0][:, None] & axes[1])


class LearningPredictor:
    """A network while it learns, with StarDist's own thresholds.

    One that has learned little proposes an object at nearly every pixel, and comparing all with all takes minutes: then
    nothing is found.

    Parameters
    ----------
    predictor : StarDistPredictor
    thresholds : dict
        ``prob`` and ``nms``.
    """

    def __init__(self, predictor: StarDistPredictor, thresholds: dict[str, float]) -> None:
        self._predictor, self._thresholds = predictor, thresholds

    def predict(self, image: NDArray[np.float32], settings: PredictionSettings | None = None) -> NDArray[np.int32]:
        """Return the instances (YX) of a normalized image (CYX); nobody changes the settings of one that learns."""
        pixels = np.asarray(image)
        shape = (pixels.shape[1], pixels.shape[2])
        probability, distances = self._predictor.look(pixels)
        if (probability > self._thresholds["prob"]).mean() > MAX_CANDIDATES:
            return np.zeros(shape, np.int32)
        return instances(self._predictor.grid, shape, probability, distances, self._thresholds)


def instances(
    grid: tuple[int, int],
    shape: tuple[int, int],
    probability: NDArray[np.float32],
    distances: NDArray[np.float32],
    thresholds: dict[str, float],
) -> NDArray[np.int32]:
    """Return the instances (YX) in what a network says of a whole image (YX and YXR, on the grid)."""
    points, probabilities, lengths = non_maximum_suppression(
        distances, probability, grid=grid, prob_thresh=thresholds["prob"], nms_thresh=thresholds["nms"]
    )
    return _drawn(lengths, points, probabilities, shape)


def _drawn(
    distances: NDArray[Any], points: NDArray[Any], probability: NDArray[Any], shape: tuple[int, int]
) -> NDArray[np.int32]:
    return np.asarray(polygons_to_label(distances, points, prob=probability, shape=shape), np.int32)
