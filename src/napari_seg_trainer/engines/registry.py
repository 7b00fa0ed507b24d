"""Which engines there are."""

import importlib
import importlib.util
from collections.abc import Mapping
from importlib.metadata import entry_points

from pydantic import JsonValue, ValidationError

from napari_seg_trainer.engines.protocol import Engine, EngineSpec
from napari_seg_trainer.errors import EngineError, JobError
from napari_seg_trainer.schema.job import Hyperparameters

GROUP = "napari_seg_trainer.engines"


def engine_specs() -> dict[str, EngineSpec]:
    """Return all installed engines by id, without importing any framework.

    Raises
    ------
    EngineError
        If a package's entry point cannot be loaded, or is no `EngineSpec`.
    """
    specs: dict[str, EngineSpec] = {}
    for entry in entry_points(group=GROUP):
        try:
            spec = entry.load()
        except (ImportError, AttributeError) as error:
            raise EngineError(
                f"Engine {entry.name!r} ({entry.value}) cannot be loaded: {error}. Reinstall it."
            ) from error
        if not isinstance(spec, EngineSpec):
            raise EngineError(f"Engine {entry.name!r} ({entry.value}) is no EngineSpec. Update or remove its package.")
        specs[spec.id] = spec
    return specs


def engine_spec(engine: str) -> EngineSpec:
    """Return the spec of the engine with this id.

    Raises
    ------
    EngineError
        If there is none; the message lists those there are.
    """
    specs = engine_specs()
    if engine not in specs:
        raise EngineError(f"There is no engine {engine!r}. Installed: {', '.join(sorted(specs)) or 'none'}.")
    return specs[engine]


def parse_parameters(spec: EngineSpec, values: Mapping[str, JsonValue]) -> Hyperparameters:
    """Return the engine's parameters, checked.

    Raises
    ------
    JobError
        If a name is unknown or a value impossible; names all of them in one line.
    """
    try:
        return spec.parameters.model_validate(values)
    except ValidationError as error:
        unknown = any(item["type"] == "extra_forbidden" for item in error.errors())
        names = f" Its parameters: {', '.join(spec.parameters.model_fields)}." if unknown else ""
        raise JobError(f"{spec.title}: {describe(error)}.{names}") from error


def describe(error: ValidationError) -> str:
    """Return what pydantic found wrong, in one line."""
    parts = []
    for item in error.errors():
        where = ".".join(str(place) for place in item["loc"] if not str(place).startswith("function-"))
        what = item["msg"].removeprefix("Value error, ")
        value = item["input"]
        tell = where and isinstance(value, str | int | float) and item["type"] != "extra_forbidden"
        shown = f", not {value!r}" if tell else ""
        parts.append(f"{where}: {what}{shown}" if where and item["type"] != "value_error" else what)
    return "; ".join(parts)


def load_engine(spec: EngineSpec) -> Engine:
    """Import the engine and return it; for training and prediction processes only.

    Raises
    ------
    EngineError
        If what it needs is not installed; the message says which command installs it.
    """
    missing = [name for name in spec.requires if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineError(f"{spec.title} needs {' and '.join(missing)}, not installed here. Run: {spec.install}")
    module, _, name = spec.location.partition(":")
    engine: Engine = getattr(importlib.import_module(module), name)()
    return engine
