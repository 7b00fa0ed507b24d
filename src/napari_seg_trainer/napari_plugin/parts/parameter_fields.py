"""Fields for the parameters of any engine, built from its pydantic model."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, LineEdit
from magicgui.widgets.bases import ValueWidget
from pydantic import JsonValue
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.widgets import narrow
from napari_seg_trainer.schema.parameters import Parameter

_NARROWEST = 60
"""Of a field to type in, pixels."""
_TEXTS = ("whole", "number", "text", "other")


class ParameterFields:
    """A form with one field for each parameter.

    Parameters
    ----------
    parameters : iterable of Parameter
        In their order.
    edited : callable
        Called after the user has changed a field.

    Attributes
    ----------
    form : Form
        What is shown.
    given : dict of str to JsonValue
        What differs from the defaults, or was loaded; also values that are wrong.
    """

    def __init__(self, parameters: Iterable[Parameter], edited: Callable[[], None]) -> None:
        self._parameters = {parameter.name: parameter for parameter in parameters}
        self._edited = edited
        self.given: dict[str, JsonValue] = {}
        self.form = Form(*map(_field, self._parameters.values()))
        for name in self._parameters:
            self.form.field(name).changed.connect(partial(self._take, name))

    def __contains__(self, name: object) -> bool:
        """Return whether there is a field of this name."""
        return name in self._parameters

    def value(self, name: str) -> JsonValue:
        """Return a parameter's value, its default where none is given."""
        return self.given.get(name, self._parameters[name].default)

    def stops(self) -> list[QWidget]:
        """Return what the Tab key stops at."""
        return [self.form.field(name).native for name in self._parameters]

    def load(self, values: Mapping[str, JsonValue]) -> None:
        """Show these values, and the defaults of the other parameters; unknown names are passed over."""
        self.given = {name: value for name, value in values.items() if name in self._parameters}
        for name, parameter in self._parameters.items():
            field = self.form.field(name)
            value = self.value(name)
            with field.changed.blocked():
                if parameter.kind in _TEXTS:
                    field.value = parameter.text(value)
                else:
                    _show(field, value)

    def suggest(self, values: Mapping[str, JsonValue], texts: Mapping[str, str] | None = None) -> None:
        """Show in the fields that are left empty which values they will have, where that is known.

        Where there is a text for a field, it is shown instead.
        """
        for name, parameter in self._parameters.items():
            if not parameter.optional:
                continue
            value, field = values.get(name), self.form.field(name)
            words = _worded(value) if parameter.kind == "choice" else parameter.text(value)
            text = parameter.empty if value is None else f"{words} (auto)"
            text = (texts or {}).get(name, text)
            if isinstance(field, _Choice):
                field.word_empty(text)
            else:
                field.native.setPlaceholderText(text)

    def lock(self, names: Iterable[str], why: str) -> None:
        """Lock these fields, with a tooltip that says why, and no others."""
        locked = set(names)
        for name, parameter in self._parameters.items():
            field = self.form.field(name)
            field.enabled = name not in locked
            field.tooltip = f"{parameter.description} {why}" if name in locked else parameter.description

    def _take(self, name: str, shown: Any) -> None:
        parameter = self._parameters[name]
        value = parameter.read(shown) if parameter.kind in _TEXTS else shown
        if value == parameter.default:
            self.given.pop(name, None)
        else:
            self.given[name] = value
        self._edited()


def _field(parameter: Parameter) -> ValueWidget[Any]:
    common: dict[str, Any] = {"name": parameter.name, "tooltip": parameter.description}
    if parameter.kind == "switch":
        return CheckBox(text=parameter.title, value=bool(parameter.default), **common)
    if parameter.kind == "choice":
        choices = [(_worded(value), value) for value in parameter.choices]
        return _Choice(
            parameter.empty, choices, parameter.optional, value=parameter.default, label=parameter.title, **common
        )
    line = LineEdit(value=parameter.text(parameter.default), label=parameter.title, **common)
    line.native.setPlaceholderText(parameter.empty if parameter.optional else "")
    line.native.setMinimumWidth(_NARROWEST)
    return line


class _Choice(ComboBox):
    """A drop-down that says in its own words what no choice means."""

    def __init__(self, empty: str, choices: list[tuple[str, JsonValue]], optional: bool, **options: Any) -> None:
        self.null_string = empty
        super().__init__(choices=choices, nullable=optional, **options)
        narrow(self.native)

    def word_empty(self, text: str) -> None:
        """Say something else for no choice, also when magicgui lists the choices anew."""
        self.null_string = text
        self.native.setItemText(0, text)


def _worded(value: JsonValue) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _show(field: ValueWidget[Any], value: JsonValue) -> None:
    choices = getattr(field, "choices", None)
    if choices is None or value in choices:
        field.value = value
