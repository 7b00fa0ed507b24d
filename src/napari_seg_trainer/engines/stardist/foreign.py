"""Model folders that StarDist itself wrote, read as data."""

from pathlib import Path

from pydantic import BaseModel, JsonValue, PositiveInt

from napari_seg_trainer.engines.foreign import ForeignModel, load_description
from napari_seg_trainer.engines.stardist.files import (
    CONFIG,
    THRESHOLDS,
    WEIGHTS_SUFFIXES,
    StarDistConfig,
    StarDistThresholds,
)
from napari_seg_trainer.engines.stardist.spec import SPEC
from napari_seg_trainer.errors import LibraryError


class _Dimensions(BaseModel):
    """What is looked at first: a network for stacks has another config.json."""

    n_dim: PositiveInt = 2


class StarDistReader:
    """Reads folders with ``config.json``, ``thresholds.json`` and weights."""

    layout = f"{CONFIG} ({SPEC.title})"
    file_name = ""
    celldetective = "stardist"
    celldetective_inputs = 0

    def claims(self, path: Path) -> bool:
        """Whether there is a ``config.json``."""
        return (path / CONFIG).is_file()

    def is_model(self, folder: Path) -> bool:
        """Whether there are weights, too: others call a file ``config.json`` as well."""
        return self.claims(folder) and _has_weights(folder)

    def celldetective_settings(self, folder: Path) -> dict[str, JsonValue]:
        """Return nothing: what Celldetective needs is in the folder."""
        return {}

    def read(self, path: Path) -> ForeignModel:
        """Return the description of a StarDist folder; see `ForeignReader.read`."""
        dimensions = load_description(path / CONFIG, _Dimensions).n_dim
        if dimensions != 2:
            raise LibraryError(f"Model '{path}' is for {dimensions}D images; only 2D models can be used here.")
        config = load_description(path / CONFIG, StarDistConfig)
        if (path / THRESHOLDS).is_file():
            load_description(path / THRESHOLDS, StarDistThresholds)
        if not _has_weights(path):
            raise LibraryError(f"Model '{path}' has no weights (weights_best.h5). Copy the whole model folder again.")
        return ForeignModel(
            engine=SPEC.id,
            file=path / CONFIG,
            channels=config.n_channel_in,
            epochs=config.train_epochs,
            hyperparameters=_hyperparameters(config),
        )


def _has_weights(folder: Path) -> bool:
    return any(path.suffix in WEIGHTS_SUFFIXES and path.is_file() for path in folder.iterdir())


def _hyperparameters(config: StarDistConfig) -> dict[str, JsonValue]:
    patch = config.train_patch_size
    values: dict[str, JsonValue] = {
        "epochs": config.train_epochs,
        "batch_size": config.train_batch_size,
        "learning_rate": config.train_learning_rate,
        "rays": config.n_rays,
        "grid": config.grid[0] if len(set(config.grid)) == 1 else None,
        "depth": config.unet_n_depth,
        "filters": config.unet_n_filter_base,
        "patch_size": patch[0] if patch and len(set(patch)) == 1 else None,
        "foreground": config.train_foreground_only,
    }
    return {name: value for name, value in values.items() if value is not None}


READER = StarDistReader()
