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

UNDRAWN = "TOY_UNDRAWN"
if os.environ.get(UNDRAWN, str(os.getpid())) != str(os.getpid()):
    # in a process that the tests have started: the report's figures take ten times as long as all the rest
    from testkit import drawing

    LEFT_OUT = drawing.left_out()
    LEFT_OUT.__enter__()

STRICT = 0.8
"""What the weights of an epoch ask for, by which they can be told from a model's."""


class ToyParameters(Hyperparameters):
    seconds: Annotated[float, Field(ge=0)] = 0.0
    losses: tuple[float, ...] = ()
    failure: str = ""
    needs: int = 0
    until: str = ""


class ToyEngine:
    """Every epoch takes `seconds` and ends with the next of `losses`, or else with one over the epoch's number.

    The third epoch lasts until there is a file `until`, where one is named. If it learns from fewer images than it
    `needs`, it overlooks every second object.
    """

    def train(self, task, data, context):
        steps, parameters = 4, task.parameters
        is_weak = len(data.training) < parameters.needs
        context.start(parameters, steps_per_epoch=steps, device="toy")
        for epoch in context.epochs():
            for step in range(1, steps + 1):
                time.sleep(parameters.seconds / steps)
                if not context.end_step(epoch, step, steps):
                    break
            while epoch == 3 and parameters.until and not os.path.exists(parameters.until):
                time.sleep(0.02)
                if not context.end_step(epoch, 1, steps):
                    break
            if parameters.failure in FAILURES:
                raise FAILURES[parameters.failure]
            loss = parameters.losses[epoch - 1] if parameters.losses else 1 / epoch
            save = partial(self._save, epoch=epoch, parameters=parameters, is_weak=is_weak)
            if not context.end_epoch(
                epoch, {"loss": loss, "val_loss": loss}, save, partial(nullcontext, ToyPredictor(is_weak))
            ):
                break

    def export(self, checkpoint, data, folder, context):
        weights = json.loads((checkpoint / "weights.json").read_text())
        kept = {name: weights[name] for name in ("epoch", "weak") if name in weights}
        (folder / "toy.json").write_text(json.dumps(kept))
        if weights["failure"] == "export":
            raise ValueError("no model can be made of it")

    def load(self, folder):
        return ToyPredictor("weak" in json.loads((folder / "toy.json").read_text()))

    def load_checkpoint(self, checkpoint, model):
        json.loads((checkpoint / "weights.json").read_text())
        return ToyPredictor(level=STRICT)

    def _save(self, folder, epoch, parameters, is_weak):
        weights = {"epoch": epoch, "failure": parameters.failure} | ({"weak": True} if is_weak else {})
        (folder / "weights.json").write_text(json.dumps(weights))


class ToyPredictor:
    def __init__(self, is_weak=False, level=0.5):
        self.is_weak, self._level = is_weak, level

    def predict(self, image, settings=None):
        found = label(image.mean(axis=0) > self._level)[0].astype(np.int32)
        return np.where(found % 2, found, 0) if self.is_weak else found


SPEC = EngineSpec(
    id="toy",
    title="Toy",
    good_for="Bright objects on a dark background.",
    parameters=ToyParameters,
    channels=(1, 2),
    location="toy_engine:ToyEngine",
)
