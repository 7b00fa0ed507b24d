"""An engine that does at each prediction what its settings say; it notes what it loads, and who predicts."""

import os
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.ndimage import label

from napari_seg_trainer.engines.protocol import EngineSpec, PredictionSettings
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.paths import home
from napari_seg_trainer.schema.job import Hyperparameters


class OwnError(DataError):
    """An error of the engine's own."""


FAILURES = {
    "bug": ValueError("first line\nsecond line"),
    "memory": MemoryError(),
    "bad image": OwnError("This image is bad. Take another."),
}


class WilfulSettings(PredictionSettings):
    brightness: float | None = None
    seconds: float = 0
    tiles: int = 0
    says: str = ""
    failure: Literal["bug", "memory", "bad image"] | None = None
    exits: Literal["by itself", "killed", "segmentation fault"] | None = None

    @classmethod
    def of_model(cls, folder: Path) -> "WilfulSettings":
        return cls(brightness=0.5)


class WilfulEngine:
    def load(self, folder):
        with (home() / "loads.txt").open("a") as file:
            file.write(f"{folder.name}\n")
        return WilfulPredictor()


class WilfulPredictor:
    on_tile = None

    def predict(self, image, settings=None):
        with (home() / "predictions.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
        print(settings.says, end="")
        os.write(1, settings.says.encode())
        print(settings.says, file=sys.stderr)
        for done in range(1, settings.tiles + 1):
            time.sleep(settings.seconds / settings.tiles)
            if self.on_tile is not None:
                self.on_tile(done, settings.tiles)
        if not settings.tiles:
            time.sleep(settings.seconds)
        if settings.failure:
            raise FAILURES[settings.failure]
        if settings.exits == "by itself":
            os._exit(3)
        if settings.exits:
            os.kill(os.getpid(), 9 if settings.exits == "killed" else 11)
        return label(image[0] > (settings.brightness or 0.5))[0].astype(np.int32)


SPEC = EngineSpec(
    id="wilful",
    title="Wilful",
    good_for="Trying out what can go wrong.",
    parameters=Hyperparameters,
    channels=(1, None),
    location="wilful_engine:WilfulEngine",
    prediction=WilfulSettings,
)
LACKING = EngineSpec(
    id="lacking",
    title="Lacking",
    good_for="Nothing.",
    parameters=Hyperparameters,
    channels=(1, None),
    location="wilful_engine:WilfulEngine",
    requires=("wilful_framework",),
    install="python -m pip install wilful-framework",
)
