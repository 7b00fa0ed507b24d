"""Which engines there are."""

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from pydantic import JsonValue, ValidationError

from napari_seg_trainer.engines.foreign import ForeignReader
from napari_seg_trainer.engines.protocol import Engine, EngineSpec, PredictionSettings
from napari_seg_trainer.errors import EngineError, JobError
from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.job import Hyperparameters

GROUP = "napari_seg_trainer.engines"
DEFAULT_ENGINE = "stardist"
"""What a training is of where nobody says."""

_NOT_THERE = (ImportError, AttributeError, ValueError)
_log = logging.getLogger(__name__)
_Model = TypeVar("_Model", bound=FrozenModel)


def engine_specs() -> dict[str, EngineSpec]:
    """Return all usable engines by id, without importing any framework; what cannot be used is logged.

    The default comes first, the others by their titles.
    """
    return _find()[0]


def engine_spec(engine: str) -> EngineSpec:
    """Return the spec of the engine with this id.

    Raises
    ------
    EngineError
        If there is none, or its package is broken; the message lists those there are.
    """
    specs, broken = _find()
    if engine in specs:
        return specs[engine]
    if engine in broken:
        raise EngineError(broken[engine])
    ready = [name for name in sorted(specs) if specs[name].trains and not missing(specs[name])]
    lacking = [f"{name} ({', '.join(missing(specs[name]))})" for name in sorted(specs) if missing(specs[name])]
    others = f" Engines with missing packages: {', '.join(lacking)}." if lacking else ""
    raise EngineError(f"There is no engine {engine!r}. Installed: {', '.join(ready) or 'none'}.{others}")


def _find() -> tuple[dict[str, EngineSpec], dict[str, str]]:
    """Return the usable engines, and why the others are not, by the entry point's name."""
    specs: dict[str, EngineSpec] = {}
    broken: dict[str, str] = {}
    for entry in _entries(tuple(map(_state, sys.path))):
        who = f"Engine {entry.name!r} ({entry.value})"
        try:
            spec = entry.load()
        except Exception as error:  # noqa: BLE001 - a stranger's package may raise anything, and must not stop others
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            broken[entry.name] = f"{who} cannot be loaded: {reason}. Reinstall it."
            continue
        if not isinstance(spec, EngineSpec):
            broken[entry.name] = f"{who} is not an EngineSpec. Update or remove its package."
        elif spec.id != entry.name:
            broken[entry.name] = f"{who} has the id {spec.id!r}. Its entry point must have the same name."
        elif specs.get(spec.id, spec) is not spec:
            broken[entry.name] = f"{who} has the id {spec.id!r}, which is already used. Remove one of the two packages."
        else:
            specs[spec.id] = spec
    for reason in broken.values():
        _log.warning(reason)
    return dict(sorted(specs.items(), key=lambda item: (item[0] != DEFAULT_ENGINE, item[1].title.casefold()))), broken


@lru_cache(maxsize=1)
def _entries(_places: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """Return what is installed in these places; it takes 30 ms to read what all packages say of themselves."""
    return tuple(entry_points(group=GROUP))


def _state(place: str) -> tuple[str, int]:
    """Return a place from which packages are imported, and when one was last added to it or removed."""
    try:
        return place, os.stat(place or os.curdir).st_mtime_ns
    except OSError:
        return place, 0


def parse_parameters(spec: EngineSpec, values: Mapping[str, JsonValue]) -> Hyperparameters:
    """Return the engine's parameters, checked.

    Raises
    ------
    JobError
        If a name is unknown or a value impossible; names all of them in one line. If the engine cannot be trained.
    """
    if not spec.trains:
        others = ", ".join(other.id for other in engine_specs().values() if other.trains)
        raise JobError(f"{spec.title} cannot be trained. Choose one of the engines {others}.")
    return _parse(spec, spec.parameters, values, "parameters")


def parse_settings(spec: EngineSpec, values: Mapping[str, JsonValue]) -> PredictionSettings:
    """Return the engine's prediction settings, checked; None, and what is not given, mean the model's own.

    Raises
    ------
    JobError
        If a name is unknown or a value impossible; names all of them in one line.
    """
    return _parse(spec, spec.prediction, values, "settings")


def _parse(spec: EngineSpec, model: type[_Model], values: Mapping[str, JsonValue], what: str) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        unknown = any(item["type"] == "extra_forbidden" for item in error.errors())
        names = f" Its {what}: {', '.join(model.model_fields) or 'none'}." if unknown else ""
        raise JobError(f"{spec.title}: {describe(error)}.{names}") from error


def describe(error: ValidationError) -> str:
    """Return what pydantic found wrong, in one line."""
    parts = []
    for item in error.errors():
        where = ".".join(str(place) for place in item["loc"] if not str(place).startswith("function-"))
        what = item["msg"].removeprefix("Value error, ").removesuffix(".")
        value = item["input"]
        tell = where and isinstance(value, str | int | float) and item["type"] != "extra_forbidden"
        shown = f", not {value!r}" if tell else ""
        parts.append(f"{where}: {what}{shown}" if where and item["type"] != "value_error" else what)
    return "; ".join(parts)


def missing(spec: EngineSpec) -> tuple[str, ...]:
    """Return what the engine needs and is not installed, by import name; imports nothing of it."""
    return tuple(name for name in spec.requires if not _is_installed(name))


def foreign_readers() -> list[ForeignReader]:
    """Return what reads the models that engines' own packages made; one that cannot be loaded is logged."""
    found: list[ForeignReader] = []
    for place in dict.fromkeys(spec.foreign for spec in engine_specs().values() if spec.foreign):
        try:
            found.append(_at(place))
        except _NOT_THERE as error:
            _log.warning("%s cannot be loaded: %s", place, error)
    return found


def foreign_reader(spec: EngineSpec) -> ForeignReader:
    """Return what reads the models that an engine's own package made.

    Raises
    ------
    EngineError
        If it has none, or it cannot be loaded.
    """
    if not spec.foreign:
        raise EngineError(f"{spec.title} reads no models of other programs.")
    try:
        reader: ForeignReader = _at(spec.foreign)
    except _NOT_THERE as error:
        raise _unloadable(spec, spec.foreign, error) from error
    return reader


def _at(place: str) -> Any:
    """Return what stands at ``"package.module:NAME"``."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _unloadable(spec: EngineSpec, place: str, error: Exception) -> EngineError:
    reason = str(error).splitlines()[0]
    return EngineError(f"{spec.title} cannot be loaded from {place!r}: {reason}. Reinstall it.")


def check_installed(spec: EngineSpec) -> None:
    """Raise an `EngineError` with the command that installs it if the engine lacks something; imports nothing of it."""
    lacking = missing(spec)
    if lacking:
        raise EngineError(f"{spec.title} needs {' and '.join(lacking)}, not installed here. Run: {spec.install}")


def load_engine(spec: EngineSpec) -> Engine:
    """Import the engine and return it; for training and prediction processes only.

    Raises
    ------
    EngineError
        If what it needs is not installed; the message says which command installs it.
    """
    check_installed(spec)
    try:
        engine: Engine = _at(spec.location)()
    except _NOT_THERE as error:
        raise _unloadable(spec, spec.location, error) from error
    return engine


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a dotted name, the package is not there
        return False
