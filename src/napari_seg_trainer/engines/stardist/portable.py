"""StarDist's network as a file that Keras opens by itself, with all that makes a StarDist model of it again."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import JsonValue
from stardist.models import StarDist2D

from napari_seg_trainer.engines.portable import PortableNetwork
from napari_seg_trainer.engines.stardist.design import farthest_pixel
from napari_seg_trainer.errors import EngineError

NETWORK = "network.keras"
CONFIG, THRESHOLDS, WEIGHTS = "config.json", "thresholds.json", "weights_best.h5"
SMALLEST_DISTANCE = 1e-3
CITATION = (
    "Schmidt, Weigert, Broaddus, Myers: Cell Detection with Star-Convex Polygons. MICCAI 2018",
    "10.1007/978-3-030-00934-2_30",
)
USAGE = """\
from stardist.models import StarDist2D

model = StarDist2D(None, name="FOLDER", basedir=".")  # FOLDER: where this package is unpacked
labels, _ = model.predict_instances(image, axes="YXC")"""


def write_network(model: StarDist2D, folder: Path) -> PortableNetwork:
    """Write a StarDist model into `folder`, as `Portable.write_portable` says.

    The network gives probability and distances as one output, the probability first, as StarDist's own exports do.

    Raises
    ------
    EngineError
        If the model tells classes of objects.
    """
    if model.config.n_classes is not None:
        raise EngineError("A StarDist model that tells classes of objects cannot be exported in this format yet.")
    network = _joined(model)
    network.save(folder / NETWORK)
    config, thresholds = _write_stardist(model, folder)
    grid = (model.config.grid[0], model.config.grid[1])
    step = model._axes_div_by("YX")  # noqa: SLF001 - no public name
    reach = farthest_pixel(model.config.unet_n_depth, max(grid))
    return PortableNetwork(
        weights={
            "keras_v3": {
                "source": NETWORK,
                "keras_version": keras.__version__,
                "backend": ["tensorflow", tf.__version__],
            }
        },
        files=(CONFIG, THRESHOLDS, WEIGHTS),
        config={
            # the names that StarDist's own import looks for
            "stardist": {
                "python_version": version("stardist"),
                "thresholds": thresholds,
                "weights": WEIGHTS,
                "config": config,
            }
        },
        axes="BYXC",
        step=(int(step[0]), int(step[1])),
        grid=grid,
        halo=(-(-reach // grid[0]), -(-reach // grid[1])),
        outputs=("probability", *(f"distance_{ray}" for ray in range(1, model.config.n_rays + 1))),
        meaning="Probability of an object, and distances (input pixels) to its border along the rays, on a grid.",
        parameters=int(network.count_params()),
        tags=("stardist", "unet", "tensorflow", "keras"),
        citations=(CITATION,),
        usage=USAGE,
        run=lambda image: _run(model, network, image),
    )


def _joined(model: StarDist2D) -> Any:
    """Return the network with one output; distances are at least 0.001, below which StarDist does not compute."""
    network = model.keras_model
    probability, distances = network.outputs
    distances = keras.ops.maximum(distances, SMALLEST_DISTANCE)
    output = keras.layers.Concatenate(name="output")([probability, distances])
    return keras.Model(network.inputs, output, name="stardist")


def _write_stardist(model: StarDist2D, folder: Path) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """Write StarDist's own files, and return configuration and thresholds as they stand there."""
    config: dict[str, JsonValue] = json.loads(json.dumps(vars(model.config)))
    thresholds: dict[str, JsonValue] = {name: float(value) for name, value in model.thresholds._asdict().items()}
    model.keras_model.save_weights(str(folder / WEIGHTS))
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    (folder / THRESHOLDS).write_text(json.dumps(thresholds), encoding="utf-8")
    return config, thresholds


def _run(model: StarDist2D, network: Any, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    pixels = np.moveaxis(image, 0, -1)
    output = network.predict(pixels[np.newaxis], verbose=0)
    labels, _ = model.predict_instances(pixels, axes="YXC", show_tile_progress=False)
    return np.asarray(output, np.float32), np.asarray(labels, np.int32)
