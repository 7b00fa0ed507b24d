"""StarDist's network in formats that other programs open, with all that makes a StarDist model of it again."""

import json
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from napari_seg_trainer.engines.portable import PortableNetwork
from napari_seg_trainer.engines.stardist import unet
from napari_seg_trainer.engines.stardist.design import farthest_pixel
from napari_seg_trainer.engines.stardist.files import CONFIG, THRESHOLDS, WEIGHTS
from napari_seg_trainer.engines.stardist.prediction import StarDistPredictor
from napari_seg_trainer.engines.stardist.state import Opened, open_network, write_keras
from napari_seg_trainer.engines.stardist.unet import portable_net
from napari_seg_trainer.engines.torch import layers
from napari_seg_trainer.engines.torch.computing import Computing
from napari_seg_trainer.engines.torch.files import portable, save
from napari_seg_trainer.engines.torch.portable import STATE, Source, check_onnx, parameter_count, write_formats
from napari_seg_trainer.errors import EngineError

CITATION = (
    "Schmidt, Weigert, Broaddus, Myers: Cell Detection with Star-Convex Polygons. MICCAI 2018",
    "10.1007/978-3-030-00934-2_30",
)
USAGE = """\
from stardist.models import StarDist2D

model = StarDist2D(None, name="FOLDER", basedir=".")  # FOLDER: where this package is unpacked
labels, _ = model.predict_instances(image, axes="YXC")"""


def write_network(model: Path, folder: Path) -> PortableNetwork:
    """Write a StarDist model into `folder`, as `Portable.write_portable` says.

    The network gives probability and distances as one output, the probability first, as StarDist's own exports do.

    Raises
    ------
    EngineError
        If the model distinguishes classes of objects, or a package is missing that this needs.
    LibraryError
        If there is no such model.
    """
    check_onnx()
    opened = open_network(model)
    network, shape = opened.network, opened.network.shape
    if shape.n_classes is not None:
        raise EngineError("A StarDist model that predicts object classes cannot be exported in this format yet.")
    config = _write_stardist(opened, folder)
    save(portable(network.state_dict()), folder / STATE)
    told = json.loads(json.dumps(vars(shape)))
    alone = portable_net(**told).eval()
    alone.load_state_dict(network.state_dict())
    source = Source(STATE, (layers, unet), portable_net.__name__, told)
    step = [pool**shape.unet_n_depth * grid for pool, grid in zip(shape.unet_pool, shape.grid, strict=True)]
    example = torch.zeros(1, shape.n_channel_in, 4 * step[0], 4 * step[1])
    grid, reach = (shape.grid[0], shape.grid[1]), farthest_pixel(shape.unet_n_depth, max(shape.grid))
    predictor = StarDistPredictor(network, Computing(torch.device("cpu")), opened.thresholds)
    return PortableNetwork(
        weights=write_formats(alone, example, folder, source=source),
        files=(CONFIG, THRESHOLDS, WEIGHTS),
        config={"stardist": config},
        axes="BCYX",
        step=(step[0], step[1]),
        grid=grid,
        halo=(-(-reach // grid[0]), -(-reach // grid[1])),
        outputs=("probability", *(f"distance_{ray}" for ray in range(1, shape.n_rays + 1))),
        meaning="Probability of an object, and distances (input pixels) to its border along the rays, on a grid.",
        parameters=parameter_count(network),
        tags=("stardist", "unet", "pytorch"),
        citations=(CITATION,),
        usage=USAGE,
        run=partial(_run, alone, predictor),
    )


def _write_stardist(opened: Opened, folder: Path) -> dict[str, JsonValue]:
    """Write the files of a StarDist model, and return what StarDist's own import looks for, by its names."""
    config, thresholds = json.loads(json.dumps(opened.config)), dict(opened.thresholds)
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    (folder / THRESHOLDS).write_text(json.dumps(thresholds), encoding="utf-8")
    write_keras(opened.network, folder / WEIGHTS)
    return {"python_version": version("stardist"), "thresholds": thresholds, "weights": WEIGHTS, "config": config}


def _run(
    network: torch.nn.Module, predictor: StarDistPredictor, image: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    with torch.no_grad():
        output = network(torch.from_numpy(image)[None]).numpy()
    return output, predictor.predict(image)
