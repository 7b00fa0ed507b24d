"""Cellpose-SAM: cellpose 4's own network, and what it costs to train it (Pachitariu, Rariden and Stringer 2025)."""

import logging
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from napari_seg_trainer.engines.cellpose.spec import SAM_BLOCK, SAM_SPEC
from napari_seg_trainer.engines.cellpose.state import fill, read_weights

logging.getLogger("cellpose.vit").setLevel(logging.ERROR)  # that another network is not installed concerns nobody
logging.getLogger("cellpose.models").setLevel(logging.ERROR)

from cellpose.vit import CPSAM  # noqa: E402

CHANNELS = 3
_BYTES = 4
_COPIES = 4
"""Of each weight: itself, its gradient, and two averages of the optimizer."""
_TOKENS = (SAM_BLOCK // 8) ** 2
_RESERVE = 1 << 30


def load_sam(model: Path) -> CPSAM:
    """Return the network with the weights of a model.

    Raises
    ------
    LibraryError
        If there are none, they are damaged, or for another network.
    """
    state = read_weights(model, SAM_SPEC.id)
    network = CPSAM(dtype=torch.float32)
    fill(network, state, model)
    return network


def fold_positions(network: CPSAM) -> None:
    """Give each block the relative positions that it needs, which it else interpolates from more of them each time.

    Other programs know no such interpolation (along one axis).
    """
    side, _ = network.encoder.pos_embed.shape[1:3]
    for block in network.encoder.blocks:
        for name in ("rel_pos_h", "rel_pos_w"):
            known = getattr(block.attn, name).detach()
            needed = functional.interpolate(known.T[None], size=2 * side - 1, mode="linear")[0].T
            setattr(block.attn, name, nn.Parameter(needed.contiguous(), requires_grad=False))


def memory_needed(network: CPSAM, samples: int, *, bfloat16: bool, save_memory: bool) -> int:
    """Return about how many bytes a training step takes.

    Parameters
    ----------
    network : CPSAM
    samples : int
        At once.
    bfloat16 : bool
        Whether numbers of 16 bits are used on the way.
    save_memory : bool
        Whether what is computed on the way is kept for one block of the network at a time only.
    """
    weights = sum(parameter.numel() for parameter in network.parameters()) * _BYTES * _COPIES
    blocks = network.encoder.blocks
    features, heads = blocks[0].attn.qkv.in_features, blocks[0].attn.num_heads
    size = 2 if bfloat16 else 4
    # of a block: about 20 arrays of features for each token, and three of attention between all tokens
    block = (20 * _TOKENS * features + 3 * heads * _TOKENS**2) * size
    kept = block + len(blocks) * _TOKENS * features * size if save_memory else len(blocks) * block
    return int(weights + samples * kept)


def memory_free(device: torch.device) -> int:
    """Return how many bytes the device has free."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return max(0, int(psutil.virtual_memory().available) - _RESERVE)


def use_checkpoints(network: CPSAM) -> None:
    """Have each block compute again, on the way back, what it computed on the way there (Chen et al. 2016)."""
    for block in network.encoder.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
