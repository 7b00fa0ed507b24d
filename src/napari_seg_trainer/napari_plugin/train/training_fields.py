"""How the training goes: the engine's parameters, and which images validate."""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import JsonValue
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.engines.registry import parse_parameters
from napari_seg_trainer.napari_plugin.parts.parameter_fields import ParameterFields
from napari_seg_trainer.napari_plugin.parts.widgets import Section, tab_through
from napari_seg_trainer.napari_plugin.train.folder_list import FolderList
from napari_seg_trainer.napari_plugin.train.length_choice import LengthChoice
from napari_seg_trainer.schema.job import Hyperparameters, TrainingFacts, TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard
from napari_seg_trainer.schema.parameters import Parameter, parameters_of, problems

Values = Mapping[str, JsonValue]

_JOB = "job:"
"""Before the names of the job's own fields, as an engine may have a parameter of the same name."""

_DESCRIPTIONS = {
    "validation_split": "Fraction of the images kept apart to measure progress and to choose the best epoch.",
    "seed": "The same seed gives the same split of the images and the same training. Other seeds show how much "
    "results vary.",
    "learning_curve": "Afterwards, also trains on a half and a quarter of the images, to estimate whether more images "
    "would help. Takes about three times as long.",
}
_FOLDERS = "Use the images in these folders for validation, in place of a fraction of the others."
_TEST = (
    "The finished model is evaluated once on these images. They are never used for model selection, so the scores are "
    "unbiased."
)
_LOCKED = "Fixed by the pretrained model {!r}, whose network has this architecture."


class TrainingFields(QWidget):
    """Edits hyperparameters, validation, test and seed of a job; emits ``changed()``.

    Parameters
    ----------
    spec : EngineSpec
        The fields are those of its parameters.
    """

    changed = Signal()

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__()
        self._card: ModelCard | None = None
        self._chosen: Values = {}
        self.validation = FolderList("folder of annotated images", _FOLDERS)
        self.validation.changed.connect(self._edited)
        self.test = FolderList("folder of annotated images", _TEST)
        self.test.changed.connect(self._edited)
        labels = QLabel("Validate on separate folders"), QLabel("Test on separate folders")
        for label, tip in zip(labels, (_FOLDERS, _TEST), strict=True):
            label.setToolTip(tip)
        more = QWidget()
        self._more_column, self._column = QVBoxLayout(more), QVBoxLayout(self)
        self._ends = QWidget(), QWidget()  # fixed places in the order of the Tab key
        self._build(spec)
        self.more_section = Section("More", more)
        for part in (self._ends[0], labels[0], self.validation, labels[1], self.test, self.more_section):
            self._column.addWidget(part)
        self._more_column.addWidget(self._ends[1])
        for layout in (self._column, self._more_column, self.more_section.layout()):
            assert layout is not None
            layout.setContentsMargins(0, 0, 0, 0)
        self._enable()

    def hyperparameters(self) -> dict[str, JsonValue]:
        """Return what differs from the engine's defaults, or was given by a job; also what is wrong."""
        return {name: value for name, value in self._values().items() if not name.startswith(_JOB)}

    def job_fields(self) -> dict[str, JsonValue]:
        """Return the job's own fields that differ from its defaults."""
        return {name.removeprefix(_JOB): value for name, value in self._values().items() if name.startswith(_JOB)}

    def set_value(self, job: TrainingJob) -> None:
        """Show a job's values."""
        own = {f"{_JOB}{name}": value for name, value in job.model_dump(include=set(_DESCRIPTIONS)).items()}
        self._load(own | job.hyperparameters)
        self.validation.set_value(job.validation_data)
        self.test.set_value(job.test_data)
        self._enable()

    def set_hyperparameters(self, values: Values) -> None:
        """Show these hyperparameters, and the defaults of others."""
        self._load({f"{_JOB}{name}": value for name, value in self.job_fields().items()} | dict(values))

    def set_engine(self, spec: EngineSpec) -> None:
        """Show another engine's parameters; a value stays where both engines mean the same by it."""
        before, values = parameters_of(self._spec.parameters), self._values()
        for fields in (self.basic, self.more):
            fields.form.native.hide()
            fields.form.native.deleteLater()
        self._build(spec)
        for stops, end in zip((self.stops(), self.more.stops()), self._ends, strict=True):
            tab_through(stops, before=end)
        now = parameters_of(spec.parameters)
        self._load({n: value for n, value in values.items() if n.startswith(_JOB) or now.get(n) == before.get(n)})

    def stops(self) -> list[QWidget]:
        """Return what the Tab key stops at among the basic fields."""
        return [self.length.native, *self.basic.stops()]

    def start_from(self, card: ModelCard | None) -> None:
        """Lock the parameters that make the network's shape, if there is a pretrained model."""
        self._card = card
        self._enable()

    def taken_over(self, card: ModelCard) -> dict[str, JsonValue]:
        """Return the hyperparameters with what is taken over from the model that the training is to start from.

        That is the network's shape, and what differs from the engine's defaults; what is automatic is chosen anew.
        """
        known = parameters_of(self._spec.parameters)
        wrong = problems(self._spec.parameters, card.hyperparameters)
        lasting = {name for name in known if name in self._spec.architecture or not known[name].optional} - wrong.keys()
        own = {name: value for name, value in self.hyperparameters().items() if name not in self._spec.architecture}
        return own | {
            name: value
            for name, value in card.hyperparameters.items()
            if name in lasting and value is not None and value != known[name].default
        }

    def suggest(self, facts: TrainingFacts | None) -> None:
        """Show what is automatic as it will be for these images."""
        self._chosen = {}
        if facts is not None and not problems(self._spec.parameters, self.hyperparameters()):
            parameters = parse_parameters(self._spec, self.hyperparameters())
            self._chosen = parameters.completed(facts).model_dump(mode="json")
        for fields in (self.basic, self.more):
            fields.suggest(self._chosen, self.length.words(self._chosen.get("epochs")))

    def problems(self) -> dict[str, str]:
        """Return which values no job can have, by the field's name."""
        own = self.job_fields()
        wrong = {name: text for name, text in problems(TrainingJob, own).items() if name in own}
        if self.length.value == "minutes" and self.basic.value("minutes") is None:
            wrong["minutes"] = "Enter how many minutes the training may take."
        return wrong | problems(self._spec.parameters, self.hyperparameters())

    def reasons(self) -> dict[str, str]:
        """Return what is wrong, by the field's name: also what contradicts the pretrained model."""
        return self._shape() | self.problems()

    def show_reasons(self, reasons: Mapping[str, str]) -> None:
        """Show under each field what is wrong with it."""
        named = {**reasons, **{f"{_JOB}{name}": text for name, text in reasons.items()}}
        for fields in (self.basic, self.more):
            fields.form.show_reasons(named)

    def summary(self) -> str:
        """Return the two numbers that matter most."""
        value = self.basic.value
        length = self.length.summary(value("epochs"), value("minutes"), self._chosen.get("epochs"))
        return f"{length}, batch size {value('batch_size')}"

    def _shape(self) -> dict[str, str]:
        """Return which parameters contradict the pretrained model."""
        if self._card is None:
            return {}
        has, known = self._card.hyperparameters, parameters_of(self._spec.parameters)
        return {
            name: f"{known[name].title} is {has[name]} in the pretrained model, not {value}. Choose that model again."
            for name, value in self.hyperparameters().items()
            if name in self._spec.architecture and name in has and value not in (None, has[name])
        }

    def _build(self, spec: EngineSpec) -> None:
        self._spec = spec
        shared = Hyperparameters.model_fields.keys()
        known = parameters_of(spec.parameters)
        basic = [known[name] for name in known if name in shared]
        more = [known[name] for name in known if name not in shared]
        self.basic = ParameterFields([*basic, _own("validation_split"), _own("learning_curve")], self._edited)
        self.more = ParameterFields([*more, _own("seed")], self._edited)
        self.length = LengthChoice()
        self.basic.form.add(self.length, first=True)
        self.length.changed.connect(self._length_chosen)
        self._column.insertWidget(0, self.basic.form.native)
        self._more_column.insertWidget(0, self.more.form.native)

    def _values(self) -> dict[str, JsonValue]:
        return self.basic.given | self.more.given

    def _load(self, values: Values) -> None:
        self.basic.load(values)
        self.more.load(values)
        self.length.follow(values.get("epochs"), values.get("minutes"))
        self._enable()

    def _length_chosen(self) -> None:
        chosen = self.length.chosen(self.hyperparameters(), self._chosen.get("epochs"))
        self._load({name: value for name, value in self._values().items() if name.startswith(_JOB)} | chosen)
        self.changed.emit()

    def _edited(self) -> None:
        epochs, minutes = self.basic.value("epochs"), self.basic.value("minutes")
        if epochs is not None or self.length.value == "epochs":
            self.length.follow(epochs, minutes)
        self._enable()
        self.changed.emit()

    def _enable(self) -> None:
        why = _LOCKED.format(self._card.name) if self._card else ""
        for fields in (self.basic, self.more):
            fields.lock(self._spec.architecture if self._card else (), why)
        self.basic.form.field(f"{_JOB}validation_split").enabled = not self.validation.folders()
        self.basic.form.field("minutes").visible = self.length.value == "minutes"
        self.basic.form.field("epochs").enabled = self.length.value != "minutes"


def _own(name: str) -> Parameter:
    known = parameters_of(TrainingJob)[name]
    return replace(known, name=f"{_JOB}{name}", description=_DESCRIPTIONS[name])
