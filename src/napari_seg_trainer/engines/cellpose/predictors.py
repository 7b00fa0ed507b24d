"""From weights, of a model or of an epoch, to what predicts."""

from pathlib import Path

import torch
from torch import nn

from napari_seg_trainer.engines.cellpose import sam
from napari_seg_trainer.engines.cellpose.cnn import CHANNELS, CellposeNet
from napari_seg_trainer.engines.cellpose.prediction import CellposePredictor
from napari_seg_trainer.engines.cellpose.spec import SAM_BLOCK, CellposeSettings
from napari_seg_trainer.engines.cellpose.state import load_cnn
from napari_seg_trainer.engines.torch.computing import Computing, choose_device, fastest

BLOCK, LARGEST_BLOCK = 224, 512
"""Side, in pixels, of the tiles that the residual U-Net is shown: as in Cellpose, or larger where that is cheaper."""


def open_cnn(weights: Path, model: Path) -> CellposePredictor:
    """Return the residual U-Net with the weights of a file or model folder, and the thresholds of a model's folder."""
    network = load_cnn(weights)
    computing = fastest(choose_device(), CellposeNet, (2, CHANNELS, BLOCK, BLOCK))
    return cnn_predictor(network, computing, CellposeSettings.of_model(model))


def open_sam(weights: Path, model: Path) -> CellposePredictor:
    """Do the same for Cellpose-SAM."""
    computing = fastest(choose_device(), probe, (1, CHANNELS, SAM_BLOCK, SAM_BLOCK))
    return sam_predictor(sam.load_sam(weights), computing, CellposeSettings.of_model(model))


def cnn_predictor(network: CellposeNet, computing: Computing, settings: CellposeSettings) -> CellposePredictor:
    """Return what predicts with the residual U-Net."""
    return CellposePredictor(
        network,
        computing,
        channels=CHANNELS,
        block=BLOCK,
        largest_block=LARGEST_BLOCK,
        diameter=float(network.diam_mean),
        typical=float(network.diam_labels),
        settings=settings,
    )


def sam_predictor(network: nn.Module, computing: Computing, settings: CellposeSettings) -> CellposePredictor:
    """Return what predicts with Cellpose-SAM."""
    return CellposePredictor(
        network,
        computing,
        channels=sam.CHANNELS,
        block=SAM_BLOCK,
        largest_block=SAM_BLOCK,
        diameter=0.0,
        typical=0.0,
        settings=settings,
    )


def probe() -> nn.Module:
    """Return a network of few, wide layers, whose time stands for that of a transformer."""
    wide = 1024
    return nn.Sequential(
        nn.Conv2d(CHANNELS, wide, 8, stride=8), *(nn.Conv2d(wide, wide, 1) for _ in range(4)), _FirstOnly()
    )


class _FirstOnly(nn.Module):  # type: ignore[misc]
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (x,)
