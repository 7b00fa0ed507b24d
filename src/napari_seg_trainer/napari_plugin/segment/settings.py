"""The thresholds of a prediction."""

from collections.abc import Callable

from pydantic import JsonValue
from qtpy.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from napari_seg_trainer.engines.protocol import EngineSpec, PredictionSettings
from napari_seg_trainer.library.listed import ListedModel
from napari_seg_trainer.napari_plugin.parts.parameter_fields import ParameterFields
from napari_seg_trainer.napari_plugin.parts.widgets import Section, tab_through
from napari_seg_trainer.schema.parameters import parameters_of, problems


class SettingsSection(Section):
    """What the engine of a model lets the user set; what is left empty is the model's own value.

    Parameters
    ----------
    changed : callable
        Called after the user has changed a value.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._inside = QWidget()
        self._column = QVBoxLayout(self._inside)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._end = QWidget()  # a fixed place in the order of the Tab key
        self._column.addWidget(self._end)
        super().__init__("Thresholds", self._inside)
        self._changed = changed
        self._spec: EngineSpec | None = None
        self.fields: ParameterFields | None = None
        self.hide()

    def show_model(self, listed: ListedModel | None) -> None:
        """Show the settings of a model's engine, all of them left to the model."""
        spec = listed.spec if listed else None
        if self.fields is not None:
            self.fields.form.native.deleteLater()
        self._spec, self.fields = spec, None
        if listed is not None and spec is not None and spec.prediction.model_fields:
            self.fields = ParameterFields(parameters_of(spec.prediction).values(), self._edited)
            self._column.insertWidget(0, self.fields.form.native)
            stops = [self.fields.form.field(name).native for name in spec.prediction.model_fields]
            tab_through(stops, before=self._end)
            self._tell_own(self.fields, spec.prediction.of_model(listed.model.folder))
        self.setVisible(self.fields is not None)
        self._summarize()

    def value(self) -> dict[str, JsonValue]:
        """Return what the user set."""
        given = self.fields.given if self.fields is not None else {}
        return {name: value for name, value in given.items() if value is not None}

    def reason(self) -> str:
        """Return what is wrong with a value, shown under its field, too; empty if nothing is."""
        if self.fields is None or self._spec is None:
            return ""
        reasons = problems(self._spec.prediction, self.value())
        self.fields.form.show_reasons(reasons)
        return next(iter(reasons.values()), "")

    def _tell_own(self, fields: ParameterFields, own: PredictionSettings) -> None:
        for name, parameter in parameters_of(type(own)).items():
            line, value = fields.form.field(name).native, getattr(own, name)
            if isinstance(line, QLineEdit):
                known = parameter.text(round(value, 3) if isinstance(value, float) else value)
                line.setPlaceholderText(f"{known} (the model's)" if known else "from the model")

    def _edited(self) -> None:
        self._summarize()
        self._changed()

    def _summarize(self) -> None:
        known = parameters_of(self._spec.prediction) if self._spec else {}
        parts = [f"{known[name].title.lower()} {known[name].text(value)}" for name, value in self.value().items()]
        self.summarize(", ".join(parts))
