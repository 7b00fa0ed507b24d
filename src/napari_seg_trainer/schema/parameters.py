"""A pydantic model's parameters, as a form needs them: kind of field, texts, and what is wrong in plain words."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

Kind = Literal["switch", "choice", "whole", "number", "text", "other"]
_OWN_WORDS = ("value_error", "assertion_error")
_NUMBERS = ("whole", "number")
_SIMPLE: dict[str, Kind] = {"boolean": "switch", "integer": "whole", "number": "number", "string": "text"}


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes
    ----------
    name : str
        As code calls it.
    title, description : str
        What a user reads.
    kind : {"switch", "choice", "whole", "number", "text", "other"}
        Yes or no, one of a few, a whole number, any number, any text, or else a value in JSON.
    default : JsonValue
        The model's own.
    choices : tuple of JsonValue
        What a choice is among.
    optional : bool
        Whether it may be left empty.
    empty : str
        What that means.
    rule : str
        What a value must be, such as ``"a whole number of at least 1"``.
    """

    name: str
    title: str
    description: str = ""
    kind: Kind = "other"
    default: JsonValue = None
    choices: tuple[JsonValue, ...] = ()
    optional: bool = False
    empty: str = "automatic"
    rule: str = ""

    def text(self, value: JsonValue) -> str:
        """Return a value as a person writes it."""
        if value is None:
            return ""
        if isinstance(value, float) and self.kind in _NUMBERS:
            return plain(value)
        return value if isinstance(value, str) else json.dumps(value)

    def read(self, text: str) -> JsonValue:
        """Return the value that a text means; a text that means none comes back as it is."""
        if self.optional and not text.strip():
            return None
        if self.kind in _NUMBERS:
            return _number(text.replace(",", ".") if self.kind == "number" else text)
        return text if self.kind == "text" else _json(text)


@cache
def parameters_of(model: type[BaseModel]) -> Mapping[str, Parameter]:
    """Return all parameters of a model by name, in their order, from its JSON schema."""
    schema = model.model_json_schema(by_alias=False)
    definitions = schema.get("$defs", {})
    return {
        name: _parameter(name, schema["properties"][name], definitions, _default(info))
        for name, info in model.model_fields.items()
    }


def problems(model: type[BaseModel], given: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return what is wrong with the values given, by the parameter's name; "" stands for several at once."""
    try:
        model.model_validate(given)
    except ValidationError as error:
        known = parameters_of(model)
        found: dict[str, str] = {}
        for item in error.errors():
            name = str(item["loc"][0]) if item["loc"] else ""
            found.setdefault(name, _said(item, known.get(name)))
        return found
    return {}


def plain(value: float) -> str:
    """Return a number without an exponent: 0.00001 rather than 1e-05."""
    number = Decimal(repr(value))
    if not number.is_finite():
        return str(value)
    text = format(number, "f")
    return text.removesuffix(".0")


def _number(text: str) -> JsonValue:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _default(info: FieldInfo) -> JsonValue:
    value = info.get_default(call_default_factory=True, validated_data={})
    return None if value is PydanticUndefined else to_jsonable_python(value)


def _parameter(name: str, part: Mapping[str, Any], definitions: Mapping[str, Any], default: JsonValue) -> Parameter:
    variants = list(_variants(part, definitions))
    values = [variant for variant in variants if variant.get("type") != "null"]
    optional = len(values) < len(variants)
    kind, choices = _kind(values)
    if kind == "switch" and optional:
        kind, choices = "choice", (True, False)
    return Parameter(
        name=name,
        title=_title(name, part.get("title", "")),
        description=" ".join(part.get("description", "").split()),
        kind=kind,
        default=default,
        choices=choices,
        optional=optional,
        empty=str(part.get("empty", "automatic")),
        rule=_rule(values[0]) if kind in _NUMBERS else "",
    )


def _title(name: str, title: str) -> str:
    words = name.replace("_", " ").strip()
    return title if title != words.title() else words.capitalize()  # pydantic Makes Titles Like This


def _variants(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "anyOf" in part:
        for variant in part["anyOf"]:
            yield from _variants(variant, definitions)
    elif "$ref" in part:
        yield definitions[part["$ref"].rpartition("/")[2]]
    else:
        yield part


def _kind(values: list[Mapping[str, Any]]) -> tuple[Kind, tuple[JsonValue, ...]]:
    if len(values) != 1:
        return "other", ()
    value = values[0]
    if "enum" in value or "const" in value:
        return "choice", tuple(value.get("enum", [value.get("const")]))
    return _SIMPLE.get(str(value.get("type")), "other"), ()


def _rule(value: Mapping[str, Any]) -> str:
    whole = value["type"] == "integer"
    noun = "a whole number" if whole else "a number"
    if whole and "exclusiveMinimum" in value:
        value = {"minimum": value["exclusiveMinimum"] + 1, **value}
        del value["exclusiveMinimum"]
    low, high = value.get("minimum"), value.get("maximum")
    if low is not None and high is not None:
        return f"{noun} from {plain(low)} to {plain(high)}"
    limits = {"exclusiveMinimum": "above", "minimum": "of at least", "exclusiveMaximum": "below", "maximum": "up to"}
    words = [f"{word} {plain(value[limit])}" for limit, word in limits.items() if limit in value]
    return f"{noun} {' and '.join(words)}".strip()


def _said(item: Any, parameter: Parameter | None) -> str:
    words = re.sub(r"^(Value|Assertion) error, ", "", item["msg"])
    if parameter is None:
        return f"{item['loc'][0]!r} is not a parameter of this engine." if item["loc"] else _sentence(words)
    if item["type"] in _OWN_WORDS or parameter.kind not in _NUMBERS:
        return f"{parameter.title}: {_sentence(words)}"
    return f"{parameter.title} must be {parameter.rule}{', or left empty' if parameter.optional else ''}."


def _sentence(words: str) -> str:
    return words if words.endswith(".") else f"{words}."
