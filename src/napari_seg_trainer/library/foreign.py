"""Models that other programs made: plain StarDist, plain Cellpose, and Celldetective with either."""

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, FiniteFloat, PositiveInt, ValidationError

from napari_seg_trainer.annotations.channels import all_unnamed
from napari_seg_trainer.engines.cellpose.files import WEIGHTS_FILE, find_weights, network_of
from napari_seg_trainer.engines.stardist.files import StarDistConfig, StarDistThresholds
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.model_folder import read_description
from napari_seg_trainer.library.problems import first_problem
from napari_seg_trainer.schema.job import Normalization, PositiveFloat
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel
from napari_seg_trainer.schema.names import MAX_NAME_LENGTH, check_model_name

STARDIST_CONFIG, STARDIST_THRESHOLDS = "config.json", "thresholds.json"
CELLDETECTIVE_CONFIG = "config_input.json"
_WEIGHTS = (".h5", ".hdf5")
_CELLPOSE_NORMALIZATION = Normalization(low=1.0, high=99.0)
_ABSENT = {"", "none", "--"}
_Model = TypeVar("_Model", bound=BaseModel)
_Value = TypeVar("_Value")


class _Dimensions(BaseModel):
    """What is looked at first: a network for stacks has another config.json."""

    n_dim: PositiveInt = 2


class _CelldetectiveConfig(BaseModel):
    """What Celldetective writes to config_input.json, as far as it matters here; missing lists mean its defaults."""

    channels: Annotated[tuple[str | None, ...], Field(min_length=1)]
    model_type: Literal["stardist", "cellpose"]
    normalization_percentile: tuple[bool, ...] = ()
    normalization_clip: tuple[bool, ...] = ()
    normalization_values: tuple[tuple[float, float], ...] = ()
    spatial_calibration: PositiveFloat | None = None
    cell_size_um: PositiveFloat | None = None
    diameter: PositiveFloat | None = None
    flow_threshold: FiniteFloat | None = None
    cellprob_threshold: FiniteFloat | None = None


def read_foreign(folder: Path) -> ModelCard:
    """Return a card for a model that another program made; nothing is written.

    Parameters
    ----------
    folder : Path
        A StarDist folder (``config.json``, ``thresholds.json``, weights), a Celldetective one
        (``config_input.json``, and StarDist's files or Cellpose weights named like the folder), or a file of Cellpose
        weights, or a folder with one.

    Returns
    -------
    ModelCard
        Named after the folder or file.

    Raises
    ------
    LibraryError
        If it is none of these, or a file in it is damaged or missing.
    """
    if folder.is_file():
        return _read_cellpose(folder)
    if not folder.is_dir():
        raise LibraryError(f"'{folder}' is not a folder. Choose the folder that holds the model's files.")
    if (folder / CELLDETECTIVE_CONFIG).is_file():
        return _read_celldetective(folder)
    if (folder / STARDIST_CONFIG).is_file():
        return _read_stardist(folder)
    if any((folder / name).is_file() for name in (WEIGHTS_FILE, folder.resolve().name)):
        return _read_cellpose(folder)
    raise LibraryError(
        f"'{folder}' is not a model folder: it has neither {STARDIST_CONFIG} (StarDist) nor {CELLDETECTIVE_CONFIG} "
        "(Celldetective). Choose the folder that holds the model's files, or Cellpose's file of weights."
    )


def model_name_from(text: str) -> str:
    """Return `text` made into a valid model name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip(".-").rstrip(".")[:MAX_NAME_LENGTH].rstrip(".") or "model"
    try:
        return check_model_name(name)
    except ValueError:
        return f"model-{name}"[:MAX_NAME_LENGTH]  # a name that Windows reserves


def _read_stardist(folder: Path) -> ModelCard:
    config = _check_stardist(folder)
    names = all_unnamed(config.n_channel_in)
    return ModelCard(
        name=model_name_from(folder.resolve().name),
        engine="stardist",
        created=_made(folder / STARDIST_CONFIG),
        channels=tuple(ModelChannel(name=name) for name in names),
        epochs=config.train_epochs,
        hyperparameters=_stardist_hyperparameters(config),
    )


def _read_cellpose(path: Path) -> ModelCard:
    weights = find_weights(path)
    return ModelCard(
        name=model_name_from(path.resolve().name),
        engine=network_of(weights),
        created=_made(weights),
        channels=(ModelChannel(name="channel 0", normalization=_CELLPOSE_NORMALIZATION),),
    )


def _check_stardist(folder: Path) -> StarDistConfig:
    dimensions = _load(folder / STARDIST_CONFIG, _Dimensions).n_dim
    if dimensions != 2:
        raise LibraryError(f"Model '{folder}' is for {dimensions}D images; only 2D models can be used here.")
    config = _load(folder / STARDIST_CONFIG, StarDistConfig)
    if (folder / STARDIST_THRESHOLDS).is_file():
        _load(folder / STARDIST_THRESHOLDS, StarDistThresholds)
    if not any(path.suffix in _WEIGHTS for path in folder.iterdir()):
        raise LibraryError(f"Model '{folder}' has no weights (weights_best.h5). Copy the whole model folder again.")
    return config


def _stardist_hyperparameters(config: StarDistConfig) -> dict[str, Any]:
    """Return the parameters under the names that the StarDist engine here gives them."""
    patch = config.train_patch_size
    values = {
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


def _read_celldetective(folder: Path) -> ModelCard:
    path = folder / CELLDETECTIVE_CONFIG
    config = _load(path, _CelldetectiveConfig)
    channels = _celldetective_channels(config, path)
    engine: str
    epochs, hyperparameters, engine = None, _cellpose_hyperparameters(config), config.model_type
    if config.model_type == "stardist":
        network = _check_stardist(folder)
        if network.n_channel_in != len(channels):
            raise LibraryError(
                f"'{path}' names {len(channels)} channels, but the network takes {network.n_channel_in}. "
                "Copy the whole model folder again."
            )
        epochs, hyperparameters = network.train_epochs, _stardist_hyperparameters(network)
    else:
        channels = tuple(channel for channel in channels if channel.name.lower() not in _ABSENT)
        engine = network_of(find_weights(folder))
    return ModelCard(
        name=model_name_from(folder.resolve().name),
        engine=engine,
        created=_made(path),
        channels=channels,
        pixel_size=config.spatial_calibration,
        object_diameter=_diameter(config),
        epochs=epochs,
        hyperparameters=hyperparameters,
    )


def _celldetective_channels(config: _CelldetectiveConfig, path: Path) -> tuple[ModelChannel, ...]:
    count, standard = len(config.channels), Normalization()
    percentile = _for_each(config.normalization_percentile, True, count, "normalization_percentile", path)
    clip = _for_each(config.normalization_clip, False, count, "normalization_clip", path)
    limits = _for_each(config.normalization_values, (standard.low, standard.high), count, "normalization_values", path)
    try:
        return tuple(
            ModelChannel(
                name=name or "None",
                normalization=Normalization(
                    mode="percentile" if is_percentile else "values", low=low, high=high, clip=cut
                ),
            )
            for name, is_percentile, cut, (low, high) in zip(config.channels, percentile, clip, limits, strict=True)
        )
    except ValidationError as error:
        raise _damaged(path, first_problem(error)) from error


def _for_each(values: Sequence[_Value], default: _Value, count: int, name: str, path: Path) -> Sequence[_Value]:
    if values and len(values) != count:
        raise _damaged(path, f"{name} has {len(values)} entries for {count} channels")
    return values or [default] * count


def _cellpose_hyperparameters(config: _CelldetectiveConfig) -> dict[str, Any]:
    values = config.model_dump(include={"diameter", "flow_threshold", "cellprob_threshold"}, exclude_none=True)
    return dict(values)


def _diameter(config: _CelldetectiveConfig) -> float | None:
    """Return the objects' diameter in pixels at the model's pixel size."""
    if config.cell_size_um is not None and config.spatial_calibration is not None:
        diameter = config.cell_size_um / config.spatial_calibration
        return diameter if 0 < diameter < math.inf else None
    return config.diameter


def _load(path: Path, kind: type[_Model]) -> _Model:
    try:
        content = json.loads(read_description(path))
        if not isinstance(content, dict):
            raise _damaged(path, f"it holds a {type(content).__name__}, not an object with names and values")
        return kind.model_validate(content)
    except ValidationError as error:
        raise _damaged(path, first_problem(error)) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is not JSON") from error
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error


def _damaged(path: Path, what: str) -> LibraryError:
    return LibraryError(f"'{path}' cannot be used: {what}. Copy the model folder again from where it came.")


def _made(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
