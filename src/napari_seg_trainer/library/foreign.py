"""Models that other programs made: those of an engine's own package, and Celldetective's around them."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from napari_seg_trainer.annotations.channels import all_unnamed
from napari_seg_trainer.engines.foreign import ForeignModel, ForeignReader, damaged, first_problem, load_description
from napari_seg_trainer.engines.registry import foreign_readers
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.schema.job import Normalization, PositiveFloat
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel
from napari_seg_trainer.schema.names import MAX_NAME_LENGTH, check_model_name

CELLDETECTIVE_CONFIG = "config_input.json"
_ABSENT = {"", "none", "--"}
_Value = TypeVar("_Value")


class _CelldetectiveConfig(BaseModel):
    """What Celldetective writes to config_input.json, as far as it matters here; missing lists mean its defaults."""

    channels: Annotated[tuple[str | None, ...], Field(min_length=1)]
    model_type: str
    normalization_percentile: tuple[bool, ...] = ()
    normalization_clip: tuple[bool, ...] = ()
    normalization_values: tuple[tuple[float, float], ...] = ()
    spatial_calibration: PositiveFloat | None = None
    cell_size_um: PositiveFloat | None = None
    diameter: PositiveFloat | None = None
    flow_threshold: FiniteFloat | None = None
    cellprob_threshold: FiniteFloat | None = None


def read_foreign(path: Path) -> ModelCard:
    """Return a card for a model that another program made; nothing is written.

    Parameters
    ----------
    path : Path
        A folder or a file that the reader of one of the engines knows, such as StarDist's folders and Cellpose's files
        of weights, or a folder of Celldetective's (``config_input.json``, and the files of such a model).

    Returns
    -------
    ModelCard
        Named after the folder or file.

    Raises
    ------
    LibraryError
        If it is none of these, or a file in it is damaged or missing.
    """
    readers = foreign_readers()
    if path.is_file():
        return _card(path, _reader_of_file(path, readers).read(path))
    if not path.is_dir():
        raise LibraryError(f"'{path}' is not a folder. Choose the folder that holds the model's files.")
    if (path / CELLDETECTIVE_CONFIG).is_file():
        return _read_celldetective(path, readers)
    reader = next((reader for reader in readers if reader.claims(path)), None)
    if reader is None:
        layouts = [*(reader.layout for reader in readers if reader.layout), f"{CELLDETECTIVE_CONFIG} (Celldetective)"]
        raise LibraryError(
            f"'{path}' is not a model folder: it has neither {' nor '.join(layouts)}. Choose the folder that holds the "
            "model's files, or a file of weights."
        )
    return _card(path, reader.read(path))


def is_model_folder(folder: Path) -> bool:
    """Return, by the names of its files, whether a folder holds a trained model of another program."""
    return (folder / CELLDETECTIVE_CONFIG).is_file() or any(reader.is_model(folder) for reader in foreign_readers())


def is_weights(path: Path) -> bool:
    """Return whether a file is one of weights that some engine can use by itself."""
    return any(reader.file_name and reader.claims(path) for reader in foreign_readers())


def weights_name(path: Path) -> str:
    """Return what a file of weights is called in a model folder."""
    return _reader_of_file(path, foreign_readers()).file_name


def _reader_of_file(path: Path, readers: Sequence[ForeignReader]) -> ForeignReader:
    """Return who reads a file: who knows it, or else who says best why it is nothing."""
    fit = [reader for reader in readers if reader.file_name]
    found = next((reader for reader in fit if reader.claims(path)), None) or next(iter(fit), None)
    if found is None:
        raise LibraryError(f"'{path}' is a file, and no engine here uses files of weights. Choose a model's folder.")
    return found


def _card(path: Path, model: ForeignModel) -> ModelCard:
    return ModelCard(
        name=model_name_from(path.resolve().name),
        engine=model.engine,
        created=_made(model.file),
        channels=tuple(
            ModelChannel(name=name, normalization=model.normalization) for name in all_unnamed(model.channels or 1)
        ),
        epochs=model.epochs,
        hyperparameters=dict(model.hyperparameters),
    )


def model_name_from(text: str) -> str:
    """Return `text` made into a valid model name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip(".-").rstrip(".")[:MAX_NAME_LENGTH].rstrip(".") or "model"
    try:
        return check_model_name(name)
    except ValueError:
        return f"model-{name}"[:MAX_NAME_LENGTH]  # a name that Windows reserves


def _read_celldetective(folder: Path, readers: Sequence[ForeignReader]) -> ModelCard:
    path = folder / CELLDETECTIVE_CONFIG
    config = load_description(path, _CelldetectiveConfig)
    channels = _celldetective_channels(config, path)
    reader = next((one for one in readers if one.celldetective and one.celldetective == config.model_type), None)
    if reader is None:
        raise damaged(path, f"model_type: no engine here uses models of {config.model_type!r}")
    model = reader.read(folder)
    if model.channels is None:
        channels = tuple(channel for channel in channels if channel.name.lower() not in _ABSENT)
    elif model.channels != len(channels):
        raise LibraryError(
            f"'{path}' names {len(channels)} channels, but the network takes {model.channels}. "
            "Copy the whole model folder again."
        )
    return ModelCard(
        name=model_name_from(folder.resolve().name),
        engine=model.engine,
        created=_made(path),
        channels=channels,
        pixel_size=config.spatial_calibration,
        object_diameter=_diameter(config),
        epochs=model.epochs,
        hyperparameters=dict(model.hyperparameters) or _prediction(config),
    )


def _celldetective_channels(config: _CelldetectiveConfig, path: Path) -> tuple[ModelChannel, ...]:
    count, standard = len(config.channels), Normalization()
    percentile = _for_each(config.normalization_percentile, True, count, "normalization_percentile", path)
    _for_each(config.normalization_clip, False, count, "normalization_clip", path)
    limits = _for_each(config.normalization_values, (standard.low, standard.high), count, "normalization_values", path)
    try:
        return tuple(
            ModelChannel(
                name=name or "None",
                normalization=Normalization(
                    mode="percentile" if is_percentile else "values",
                    low=low,
                    high=high,
                    # its functions take the list for one truth value: a list of False clips, too
                    clip=bool(config.normalization_clip),
                    skip_zeros=True,
                ),
            )
            for name, is_percentile, (low, high) in zip(config.channels, percentile, limits, strict=True)
        )
    except ValidationError as error:
        raise damaged(path, first_problem(error)) from error


def _for_each(values: Sequence[_Value], default: _Value, count: int, name: str, path: Path) -> Sequence[_Value]:
    if values and len(values) != count:
        raise damaged(path, f"{name} has {len(values)} entries for {count} channels")
    return values or [default] * count


def _prediction(config: _CelldetectiveConfig) -> dict[str, Any]:
    """Return how Celldetective has the model predict."""
    values = config.model_dump(include={"diameter", "flow_threshold", "cellprob_threshold"}, exclude_none=True)
    return dict(values)


def _diameter(config: _CelldetectiveConfig) -> float | None:
    """Return the objects' diameter in pixels at the model's pixel size."""
    if config.cell_size_um is not None and config.spatial_calibration is not None:
        diameter = config.cell_size_um / config.spatial_calibration
        return diameter if 0 < diameter < math.inf else None
    return config.diameter


def _made(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
