"""Both Cellpose networks as engines."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from napari_seg_trainer.annotations.patches import PatchPlan, PatchStream
from napari_seg_trainer.annotations.selection import spread
from napari_seg_trainer.engines.cellpose import sam
from napari_seg_trainer.engines.cellpose.cnn import CHANNELS, CellposeNet
from napari_seg_trainer.engines.cellpose.files import WEIGHTS_FILE
from napari_seg_trainer.engines.cellpose.flows import Annotated, with_flows
from napari_seg_trainer.engines.cellpose.losses import batch_of, losses
from napari_seg_trainer.engines.cellpose.portable import write_cnn, write_sam
from napari_seg_trainer.engines.cellpose.prediction import CellposePredictor
from napari_seg_trainer.engines.cellpose.predictors import cnn_predictor, open_cnn, open_sam, probe, sam_predictor
from napari_seg_trainer.engines.cellpose.samples import SamplePlan, draw_sample, fixed_sample
from napari_seg_trainer.engines.cellpose.spec import (
    CNN_DIAMETER,
    SAM_BLOCK,
    SETTINGS_FILE,
    SHOWN,
    CellposeParameters,
    CellposeSamParameters,
)
from napari_seg_trainer.engines.cellpose.state import load_cnn
from napari_seg_trainer.engines.cellpose.thresholds import DEFAULTS, optimize_thresholds
from napari_seg_trainer.engines.portable import PortableNetwork
from napari_seg_trainer.engines.protocol import TrainingContext, TrainingData, TrainingTask
from napari_seg_trainer.engines.torch.computing import Computing, choose_device, fastest
from napari_seg_trainer.engines.torch.files import load_tensors, save
from napari_seg_trainer.engines.torch.training import MEANS_FILE, Batch, Setup, Trainer, run_epochs
from napari_seg_trainer.errors import DataError, JobError

MAX_VALIDATION_SAMPLES = 100
CNN_PIXELS, SAM_PIXELS = 2 << 20, 1 << 19
"""How much of the validation images the search for thresholds looks at."""
WARM_UP = 100
"""Steps in which the learning rate rises."""
MOMENTUM = 0.9
DIAMETER_TOLERANCE = 0.1
"""Pixels by which a diameter that is given may differ from a network's own: cards round it."""
_SPREAD = 3.0


class CellposeEngine:
    """Trains, exports and loads the residual U-Net of Cellpose 1 to 3; plain cellpose 3 opens its weights."""

    def train(self, task: TrainingTask, data: TrainingData, context: TrainingContext) -> None:
        """Train as `Engine.train` says."""
        given = _parameters(task, CellposeParameters)
        parameters = given.completed(data.facts(pretrained=task.pretrained is not None))
        device = choose_device(parameters.device)
        _seed(task.seed)
        network = _begun(task.pretrained, parameters.diameter, context.checkpoint)
        shape = (2, CHANNELS, parameters.patch_size, parameters.patch_size)
        computing = fastest(device, CellposeNet, shape, context.checkpoint)
        training = _teaching(with_flows(data.training, partial(context.progress, "computing flows")), task, context)
        validation = with_flows(data.validation, partial(context.progress, "computing flows"))
        typical = _typical(training, context)
        network.diam_labels.data[:] = typical
        diameter = float(network.diam_mean)
        plan = _plan(parameters, parameters.patch_size, CHANNELS, diameter, typical)
        batches = _batches(parameters, parameters.patch_size, task.seed)
        computing.place(network)
        optimizer = _optimizer(network, parameters, parameters.optimizer, computing)
        trainer = Trainer(network, losses, optimizer, computing, context)
        stream = _samples(training, plan, batches)
        predictor = partial(cnn_predictor, network, computing, DEFAULTS)
        told = TrainingTask(task.channels, parameters.replace(diameter=diameter), task.seed, task.pretrained)
        _run(trainer, stream, _validation(validation, plan, batches), told, context, predictor)

    def export(self, checkpoint: Path, data: TrainingData, folder: Path, context: TrainingContext) -> None:
        """Write a folder whose weights `cellpose.models.CellposeModel` of cellpose 3 opens."""
        _export(self.load, checkpoint, data, folder, context, CNN_PIXELS)

    def load(self, folder: Path) -> CellposePredictor:
        """Open a model folder, or a file of weights."""
        return open_cnn(folder, folder)

    def load_checkpoint(self, checkpoint: Path, model: Path) -> CellposePredictor:
        """Open a model with the weights of an epoch, as `LoadsCheckpoints.load_checkpoint` says."""
        return open_cnn(checkpoint / MEANS_FILE, model)

    def write_portable(self, model: Path, folder: Path, channels: int) -> PortableNetwork:
        """Write a network as PyTorch's weights, TorchScript and ONNX, as `Portable.write_portable` says."""
        return write_cnn(model, folder, channels)


class CellposeSamEngine:
    """Fine-tunes, exports and loads Cellpose-SAM; plain cellpose 4 opens its weights."""

    def train(self, task: TrainingTask, data: TrainingData, context: TrainingContext) -> None:
        """Train as `Engine.train` says."""
        parameters = _parameters(task, CellposeSamParameters)
        if task.pretrained is None:
            raise JobError("Cellpose-SAM is never trained from scratch. Choose a pretrained model, such as cpsam_v2.")
        device = choose_device(parameters.device)
        _seed(task.seed)
        network = sam.load_sam(task.pretrained)
        computing = fastest(device, probe, (1, CHANNELS, SAM_BLOCK, SAM_BLOCK), context.checkpoint)
        parameters = _settle_memory(network, parameters, computing, context)
        if parameters.save_memory:
            sam.use_checkpoints(network)
        training = _teaching(with_flows(data.training, partial(context.progress, "computing flows")), task, context)
        validation = with_flows(data.validation, partial(context.progress, "computing flows"))
        network.diam_labels.data[:] = _typical(training, context)
        plan = _plan(parameters, SAM_BLOCK, sam.CHANNELS, 0.0, 0.0)
        batches = _batches(parameters, SAM_BLOCK, task.seed)
        computing.place(network)
        optimizer = _optimizer(network, parameters, "AdamW", computing)
        trainer = Trainer(network, losses, optimizer, computing, context, mean_decay=0.0)
        stream = _samples(training, plan, batches)
        told = TrainingTask(task.channels, parameters, task.seed, task.pretrained)
        predictor = partial(sam_predictor, network, computing, DEFAULTS)
        _run(trainer, stream, _validation(validation, plan, batches), told, context, predictor)

    def export(self, checkpoint: Path, data: TrainingData, folder: Path, context: TrainingContext) -> None:
        """Write a folder whose weights `cellpose.models.CellposeModel` of cellpose 4 opens."""
        _export(self.load, checkpoint, data, folder, context, SAM_PIXELS)

    def load(self, folder: Path) -> CellposePredictor:
        """Open a model folder, or a file of weights."""
        return open_sam(folder, folder)

    def load_checkpoint(self, checkpoint: Path, model: Path) -> CellposePredictor:
        """Open a model with the weights of an epoch, as `LoadsCheckpoints.load_checkpoint` says."""
        return open_sam(checkpoint / MEANS_FILE, model)

    def write_portable(self, model: Path, folder: Path, channels: int) -> PortableNetwork:
        """Write a network as TorchScript and ONNX, as `Portable.write_portable` says."""
        return write_sam(model, folder, channels)


def _begun(pretrained: Path | None, diameter: float | None, checkpoint: Path | None) -> CellposeNet:
    """Return the network to begin with, for objects of a diameter; one that was trained has its own."""
    if checkpoint is not None:
        weights = load_tensors(checkpoint / MEANS_FILE)
        return CellposeNet(diameter=float(weights["diam_mean"]))
    if pretrained is None:
        return CellposeNet(diameter=diameter or CNN_DIAMETER)
    network = load_cnn(pretrained)
    own = float(network.diam_mean)
    if diameter is not None and abs(diameter - own) > DIAMETER_TOLERANCE:
        raise JobError(
            f"The pretrained model is shown objects of {own:g} pixels across, not {diameter:g}. "
            "Leave 'Training diameter' empty, or start from scratch."
        )
    return network


def _samples(annotated: Sequence[Annotated], plan: SamplePlan, batches: PatchPlan) -> PatchStream:
    def draw(place: int, augmented: bool, rng: np.random.Generator) -> Any:
        return draw_sample(annotated[place], plan, rng, augmented=augmented)

    return PatchStream(annotated, batches, draw)


def _run(
    trainer: Trainer,
    stream: PatchStream,
    validation: Sequence[Batch],
    task: TrainingTask,
    context: TrainingContext,
    predictor: Callable[[], CellposePredictor],
) -> None:
    """Train epoch after epoch, from the checkpoint where there is one."""

    @contextmanager
    def predicting() -> Iterator[CellposePredictor]:
        with trainer.averaged():
            yield predictor()

    run_epochs(trainer, Setup(stream, batch_of, validation, predicting, WARM_UP), task, context)


def _export(
    load: Callable[[Path], CellposePredictor],
    checkpoint: Path,
    data: TrainingData,
    folder: Path,
    context: TrainingContext,
    pixels: int,
) -> None:
    """Write the weights, and the thresholds that suit the validation images."""
    weights = load_tensors(checkpoint / MEANS_FILE)
    save(weights, folder / WEIGHTS_FILE)
    progress = partial(context.progress, "optimising thresholds")
    settings = optimize_thresholds(load(folder), data.validation, pixels, progress)
    told = settings.model_dump(mode="json", exclude_none=True)
    if "diam_mean" in weights:
        told[SHOWN] = float(weights["diam_mean"])
    (folder / SETTINGS_FILE).write_text(json.dumps(told), encoding="utf-8")


def _parameters(task: TrainingTask, kind: type[Any]) -> Any:
    if not isinstance(task.parameters, kind):
        raise TypeError(f"Cellpose cannot be trained with {type(task.parameters).__name__}")
    return task.parameters


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    cv2.setNumThreads(1)  # samples are made beside the network, which needs the cores


def _optimizer(network: nn.Module, parameters: Any, kind: str, computing: Computing) -> torch.optim.Optimizer:
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rest = {"lr": parameters.learning_rate, "weight_decay": parameters.weight_decay, "fused": computing.fused}
    if kind == "AdamW":
        return torch.optim.AdamW(weights, **rest)
    return torch.optim.SGD(weights, momentum=MOMENTUM, **rest)


def _plan(
    parameters: CellposeParameters | CellposeSamParameters, size: int, channels: int, diameter: float, typical: float
) -> SamplePlan:
    return SamplePlan(size, channels, diameter, typical, parameters.scale_range, parameters.foreground)


def _batches(parameters: CellposeParameters | CellposeSamParameters, size: int, seed: int) -> PatchPlan:
    return PatchPlan((size, size), parameters.batch_size, parameters.augmentation, parameters.foreground, seed)


def _teaching(images: Sequence[Annotated], task: TrainingTask, context: TrainingContext) -> list[Annotated]:
    """Return the images that have as many objects as the user asked for."""
    least = int(getattr(task.parameters, "min_objects", 0))
    enough = [one for one in images if one.objects >= least]
    if not enough:
        most = max(one.objects for one in images)
        raise DataError(
            f"No training image has {least} objects; the most that one has is {most}. Lower 'Minimum objects'."
        )
    if len(enough) < len(images):
        left = len(images) - len(enough)
        context.log(f"{left} of {len(images)} training images have fewer than {least} objects and are left out.")
    return enough


def _typical(images: Sequence[Annotated], context: TrainingContext) -> float:
    """Return the mean over the images of the objects' median diameter, as Cellpose does; warn of large differences."""
    diameters = np.array([one.diameter for one in images if one.objects])
    low, high = np.percentile(diameters, (10, 90))
    if high > _SPREAD * low:
        context.log(
            f"Objects differ much in size between images: {low:.0f} pixels across in some, {high:.0f} in others. Give "
            "the images' pixel sizes, or train a model for each kind.",
            "warning",
        )
    return float(diameters.mean())


def _validation(images: Sequence[Annotated], plan: SamplePlan, batches: PatchPlan) -> list[Batch]:
    """Return one fixed sample of each validation image, a hundred at most, in batches."""
    rng = np.random.default_rng(batches.seed)
    samples = [fixed_sample(images[i], plan, rng) for i in spread(len(images), MAX_VALIDATION_SAMPLES)]
    size = batches.batch_size
    return [batch_of(samples[start : start + size]) for start in range(0, len(samples), size)]


def _settle_memory(
    network: nn.Module, parameters: CellposeSamParameters, computing: Computing, context: TrainingContext
) -> CellposeSamParameters:
    """Return the parameters with the choice whether to save memory; say so where there is too little all the same."""
    bits, free = computing.way.bfloat16, sam.memory_free(computing.device)
    need = partial(sam.memory_needed, network, parameters.batch_size, bfloat16=bits)
    saving = parameters.save_memory
    if saving is None:
        saving = need(save_memory=False) > free
        if saving:
            context.log("Memory is short: parts of the network are computed twice, which takes a third longer.")
    needed = need(save_memory=saving)
    if needed > free:
        context.log(
            f"Cellpose-SAM needs about {needed / 2**30:.0f} GiB of memory for this, and {computing.name} has "
            f"{free / 2**30:.0f} GiB free. It may fail or be very slow: use a smaller batch size, a larger computer, "
            "or the engine Cellpose.",
            "warning",
        )
    return parameters.replace(save_memory=saving)
