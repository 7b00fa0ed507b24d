"""An engine as a third party would write it, small enough to train in a second: it learns nothing and thresholds."""

import errno
import json
import os
import time
from contextlib import nullcontext
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.ndimage import label

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.schema.job import Hyperparameters

FAILURES = {
    "bug": ValueError("first line\nsecond line"),
    "memory": MemoryError(),
    "disk": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
}

STRICT = 0.8
"""What the weights of an epoch ask for, by which they can be told from a model's."""


class ToyParameters(Hyperparameters):
    seconds: Annotated[float, Field(ge=0)] = 0.0
    losses: tuple[float, ...] = ()
    failure: str = ""


class ToyEngine:
    """Every epoch takes `seconds` and ends with the next of `losses`, or else with one over the epoch's number."""

    def train(self, task, data, context):
        steps, parameters = 4, task.parameters
        context.start(parameters, steps_per_epoch=steps, device="toy")
        for epoch in range(context.first_epoch, parameters.epochs + 1):
            for step in range(1, steps + 1):
                time.sleep(parameters.seconds / steps)
                if not context.end_step(epoch, step, steps):
                    break
            if parameters.failure in FAILURES:
                raise FAILURES[parameters.failure]
            loss = parameters.losses[epoch - 1] if parameters.losses else 1 / epoch
            save = partial(self._save, epoch=epoch, parameters=parameters)
            if not context.end_epoch(
                epoch, {"loss": loss, "val_loss": loss}, save, partial(nullcontext, ToyPredictor())
            ):
                break

    def export(self, checkpoint, data, folder, context):
        weights = json.loads((checkpoint / "weights.json").read_text())
        (folder / "toy.json").write_text(json.dumps({"epoch": weights["epoch"]}))
        if weights["failure"] == "export":
            raise ValueError("no model can be made of it")

    def load(self, folder):
        json.loads((folder / "toy.json").read_text())
        return ToyPredictor()

    def load_checkpoint(self, checkpoint, model):
        json.loads((checkpoint / "weights.json").read_text())
        return ToyPredictor(level=STRICT)

    def _save(self, folder, epoch, parameters):
        (folder / "weights.json").write_text(json.dumps({"epoch": epoch, "failure": parameters.failure}))


class ToyPredictor:
    def __init__(self, level=0.5):
        self._level = level

    def predict(self, image):
        return label(image.mean(axis=0) > self._level)[0].astype(np.int32)


SPEC = EngineSpec(
    id="toy",
    title="Toy",
    good_for="Bright objects on a dark background.",
    parameters=ToyParameters,
    channels=(1, 2),
    location="toy_engine:ToyEngine",
)
