"""StarDist as an `Engine`: computed with PyTorch, or with TensorFlow by the package stardist itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch

from napari_seg_trainer.annotations.patches import PatchStream
from napari_seg_trainer.engines.portable import PortableNetwork
from napari_seg_trainer.engines.protocol import TrainingContext, TrainingData, TrainingTask
from napari_seg_trainer.engines.stardist.files import CONFIG, KERAS_MEANS, THRESHOLDS, WEIGHTS, StarDistConfig
from napari_seg_trainer.engines.stardist.losses import batch_of, expect_distances, losses
from napari_seg_trainer.engines.stardist.plan import begin, patch_plan, validation_patches
from napari_seg_trainer.engines.stardist.portable import write_network
from napari_seg_trainer.engines.stardist.prediction import LearningPredictor, StarDistPredictor, instances
from napari_seg_trainer.engines.stardist.spec import StarDistParameters
from napari_seg_trainer.engines.stardist.state import folded, invert, open_epoch, open_network, write_keras
from napari_seg_trainer.engines.stardist.thresholds import DEFAULTS, optimize_thresholds
from napari_seg_trainer.engines.stardist.unet import Shape, StarDistNet, initialize
from napari_seg_trainer.engines.torch.computing import Computing, Way, choose_device, fastest
from napari_seg_trainer.engines.torch.training import Setup, Trainer, run_epochs
from napari_seg_trainer.errors import EngineError, JobError, LibraryError
from napari_seg_trainer.files import read_bytes

MEASURED = 2, 1, 256, 256
"""Shape (BCYX) of the images with which it is measured how a training is computed fastest."""
WARM_UP = 40
"""Steps in which the learning rate rises."""
EPSILON = 1e-7
"""Of the optimizer Adam, as in Keras."""
_TENSORFLOW = "napari_seg_trainer.engines.stardist.tensorflow.engine"


class StarDistEngine:
    """Trains, exports and loads models that plain `stardist.models.StarDist2D` opens, too."""

    def train(self, task: TrainingTask, data: TrainingData, context: TrainingContext) -> None:
        """Train as `Engine.train` says."""
        given = task.parameters
        if isinstance(given, StarDistParameters) and _wants_tensorflow(given, context.checkpoint):
            import_module(_TENSORFLOW).train(task, data, context)
            return
        device = choose_device(getattr(given, "device", None))
        torch.manual_seed(task.seed)
        start = None if task.pretrained is None else open_network(task.pretrained)
        parameters, config = begin(task, data, None if start is None else start.config, context.checkpoint)
        network = StarDistNet(Shape(**StarDistConfig.model_validate(config).shape()))
        plan = patch_plan(task, parameters)
        collate = partial(batch_of, rays=config["n_rays"], grid=config["grid"][0])
        validation = [collate(patches) for patches in validation_patches(data, plan)]
        if start is None:
            initialize(network)
            expect_distances(network, validation)
        else:
            network.load_state_dict(start.network.state_dict())
            if parameters.inverted:
                invert(network)
        computing = fastest(device, stardist_probe, MEASURED, context.checkpoint)
        computing.place(network)
        optimizer = torch.optim.Adam(network.parameters(), eps=EPSILON, fused=computing.fused)
        notes, keep = {CONFIG: json.dumps(config)}, parameters.keep or 0.0
        trainer = Trainer(network, losses, optimizer, computing, context, keep=keep if start else 0.0, notes=notes)
        stream = PatchStream(data.training, plan)
        setup = Setup(stream, collate, validation, partial(_predicting, trainer), WARM_UP)
        run_epochs(trainer, setup, TrainingTask(task.channels, parameters, task.seed, task.pretrained), context)

    def export(self, checkpoint: Path, data: TrainingData, folder: Path, context: TrainingContext) -> None:
        """Write a folder that `stardist.models.StarDist2D` opens, its thresholds optimised on validation images."""
        network = open_epoch(checkpoint)
        (folder / CONFIG).write_bytes(read_bytes(checkpoint / CONFIG))
        write_keras(network, folder / WEIGHTS)
        predictor = StarDistPredictor(network, _exact(), DEFAULTS)
        progress = partial(context.progress, "optimising thresholds")
        find = partial(instances, predictor.grid)
        thresholds = optimize_thresholds(predictor.look, find, data.validation, progress)
        (folder / THRESHOLDS).write_text(json.dumps(thresholds), encoding="utf-8")

    def load(self, folder: Path) -> StarDistPredictor:
        """Open a StarDist model folder."""
        opened = open_network(folder)
        return StarDistPredictor(folded(opened.network), _exact(), opened.thresholds)

    def load_checkpoint(self, checkpoint: Path, model: Path) -> StarDistPredictor:
        """Open a model folder with the weights of an epoch, as `LoadsCheckpoints.load_checkpoint` says."""
        network, opened = open_epoch(checkpoint), open_network(model)
        if network.shape != opened.network.shape:
            raise LibraryError(f"'{checkpoint}' is an epoch of another network than the model '{model}'.")
        return StarDistPredictor(folded(network), _exact(), opened.thresholds)

    def write_portable(self, model: Path, folder: Path, channels: int) -> PortableNetwork:
        """Write a network for other programs, as `Portable.write_portable` says; it has its channels itself."""
        return write_network(model, folder)


def stardist_probe() -> StarDistNet:
    """Return a network whose time stands for that of others."""
    return StarDistNet(Shape(grid=(2, 2), unet_batch_norm=True))


@contextmanager
def _predicting(trainer: Trainer) -> Iterator[LearningPredictor]:
    with trainer.averaged():
        yield LearningPredictor(StarDistPredictor(trainer.network, trainer.computing, DEFAULTS), DEFAULTS)


def _exact() -> Computing:
    """Return how a finished model is computed: with all digits, so that plain StarDist finds the same."""
    return Computing(choose_device(), Way(channels_last=True))


def _wants_tensorflow(parameters: StarDistParameters, checkpoint: Path | None) -> bool:
    """Return whether TensorFlow is to compute: where it began a training that goes on, or is chosen.

    Raises
    ------
    EngineError
        If it is not installed.
    JobError
        If a device is chosen as well, which it chooses itself.
    """
    begun = checkpoint is not None and (checkpoint / KERAS_MEANS).is_file()
    if not begun and (checkpoint is not None or parameters.computes_with == "pytorch"):
        return False
    if find_spec("tensorflow") is None:
        raise EngineError(
            f"This training {'was begun' if begun else 'is to be computed'} with TensorFlow, which is not installed. "
            'Run: python -m pip install "napari-seg-trainer[tensorflow]", or train again with PyTorch.'
        )
    if parameters.device is not None:
        raise JobError("TensorFlow chooses the device automatically. Do not set 'device'.")
    return True
