"""Both Cellpose networks in formats that other programs open, with all that makes a Cellpose model of them again."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn

from napari_seg_trainer.engines.cellpose import cnn
from napari_seg_trainer.engines.cellpose.cnn import FlowsOnly
from napari_seg_trainer.engines.cellpose.files import WEIGHTS_FILE
from napari_seg_trainer.engines.cellpose.prediction import CellposePredictor
from napari_seg_trainer.engines.cellpose.predictors import cnn_predictor, sam_predictor
from napari_seg_trainer.engines.cellpose.sam import fold_positions, load_sam
from napari_seg_trainer.engines.cellpose.spec import SAM_BLOCK, SETTINGS_FILE, SHOWN, CellposeSettings
from napari_seg_trainer.engines.cellpose.state import load_cnn
from napari_seg_trainer.engines.portable import PortableNetwork
from napari_seg_trainer.engines.torch import layers
from napari_seg_trainer.engines.torch.computing import Computing
from napari_seg_trainer.engines.torch.files import save
from napari_seg_trainer.engines.torch.portable import Source, check_onnx, parameter_count, write_formats

HALO = 32
"""Pixels at a tile's border that another tile sees better; cellpose weighs the outer 22 less and less."""
STEP = 2 ** (len(cnn.WIDTHS) - 1)
OUTPUTS = ("flow_y", "flow_x", "probability_logit")
MEANING = "Flows along Y and X to the objects' centres (times 5), and the logit of the probability of an object."
CITATIONS = (
    (
        "Stringer, Wang, Michaelos, Pachitariu: Cellpose: a generalist algorithm for cellular segmentation. "
        "Nature Methods 2021",
        "10.1038/s41592-020-01018-x",
    ),
    (
        "Pachitariu, Stringer: Cellpose 2.0: how to train your own model. Nature Methods 2022",
        "10.1038/s41592-022-01663-4",
    ),
)
SAM_CITATIONS = (
    (
        "Pachitariu, Rariden, Stringer: Cellpose-SAM: superhuman generalization for cellular segmentation. "
        "bioRxiv 2025",
        "10.1101/2025.04.28.651001",
    ),
)
_USAGE = """\
from cellpose.models import CellposeModel  # cellpose {versions}

model = CellposeModel(pretrained_model="FOLDER/{weights}")  # FOLDER: where this package is unpacked
labels, *_ = model.eval(image, {arguments})"""


def write_cnn(model: Path, folder: Path, channels: int) -> PortableNetwork:
    """Write a residual U-Net into `folder`, as `Portable.write_portable` says.

    Raises
    ------
    EngineError
        If a package is missing that this needs.
    """
    check_onnx()
    network = load_cnn(model)
    diameter, typical = float(network.diam_mean), float(network.diam_labels)
    settings = _write_cellpose(network, model, folder, {SHOWN: diameter})
    alone = FlowsOnly()
    alone.load_state_dict(network.state_dict())
    source = Source(WEIGHTS_FILE, (layers, cnn), FlowsOnly.__name__)
    example = torch.zeros(1, channels, 8 * STEP, 8 * STEP)
    return PortableNetwork(
        weights=write_formats(alone, example, folder, source=source),
        files=(WEIGHTS_FILE, SETTINGS_FILE),
        config={"cellpose": {"diameter": diameter, **settings.model_dump(mode="json", exclude_none=True)}},
        axes="BCYX",
        step=(STEP, STEP),
        grid=(1, 1),
        halo=(HALO, HALO),
        enlarged=diameter / typical if typical else 1.0,
        diameter=diameter,
        outputs=OUTPUTS,
        meaning=MEANING,
        parameters=parameter_count(network),
        tags=("cellpose", "unet", "pytorch"),
        citations=CITATIONS,
        usage=_usage("2 or 3", {"channel_axis": -1, "diameter": diameter, "normalize": False}, settings),
        run=partial(_run, alone, cnn_predictor(network, _CPU, settings)),
    )


def write_sam(model: Path, folder: Path, channels: int) -> PortableNetwork:
    """Do the same for Cellpose-SAM, which takes tiles of one size."""
    check_onnx()
    network = load_sam(model)
    settings = _write_cellpose(network, model, folder, {})
    fold_positions(network)
    alone = _FlowsOnly(network)
    return PortableNetwork(
        weights=write_formats(alone, torch.zeros(1, channels, SAM_BLOCK, SAM_BLOCK), folder, free="B"),
        files=(WEIGHTS_FILE, SETTINGS_FILE),
        config={"cellpose": settings.model_dump(mode="json", exclude_none=True)},
        axes="BCYX",
        step=(SAM_BLOCK, SAM_BLOCK),
        fixed=True,
        grid=(1, 1),
        halo=(HALO, HALO),
        outputs=OUTPUTS,
        meaning=MEANING,
        parameters=parameter_count(network),
        tags=("cellpose", "vit", "pytorch"),
        citations=SAM_CITATIONS,
        usage=_usage("4", {"channel_axis": -1, "normalize": False}, settings),
        run=partial(_run, alone, sam_predictor(network, _CPU, settings)),
    )


_CPU = Computing(torch.device("cpu"))


class _FlowsOnly(nn.Module):  # type: ignore[misc]
    """A network without its second answer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.network(image)[0]
        return answer


def _write_cellpose(network: nn.Module, model: Path, folder: Path, more: Mapping[str, JsonValue]) -> CellposeSettings:
    """Write the files of a Cellpose model, and return the settings as they stand there."""
    settings = CellposeSettings.of_model(model)
    save(network.state_dict(), folder / WEIGHTS_FILE)
    told = settings.model_dump(mode="json", exclude_none=True) | dict(more)
    (folder / SETTINGS_FILE).write_text(json.dumps(told), encoding="utf-8")
    return settings


def _usage(versions: str, arguments: Mapping[str, object], settings: CellposeSettings) -> str:
    given = {**arguments, **settings.model_dump(exclude_none=True, exclude={"diameter"})}
    return _USAGE.format(
        versions=versions,
        weights=WEIGHTS_FILE,
        arguments=", ".join(f"{name}={value!r}" for name, value in given.items()),
    )


def _run(
    network: nn.Module, predictor: CellposePredictor, image: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    with torch.no_grad():
        output = network(torch.from_numpy(image)[None]).numpy()
    return output, predictor.masks(np.moveaxis(output[0], 0, -1), 1.0, CellposeSettings())
