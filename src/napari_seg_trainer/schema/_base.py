"""The base of everything that is written to disk."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Immutable, strict about unknown fields, and true to NaN and infinity in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, validated again; what was left to its default still counts so."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        copy = type(self).model_validate(values | changes)
        copy.model_fields_set.intersection_update(self.model_fields_set | changes.keys())
        return copy
