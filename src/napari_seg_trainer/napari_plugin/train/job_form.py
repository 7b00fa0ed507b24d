"""The form in which a training is put together: an editor of a `TrainingJob`."""

from datetime import datetime
from pathlib import Path
from typing import Any

from magicgui.widgets import Container, LineEdit
from magicgui.widgets.bases import Widget
from napari import Viewer
from pydantic import JsonValue, ValidationError
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.engines.registry import describe, engine_spec, engine_specs, parse_parameters
from napari_seg_trainer.errors import JobError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.napari_plugin.models.library_watcher import LibraryWatcher
from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.theme import on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import Section, in_column
from napari_seg_trainer.napari_plugin.train.data_field import DataField
from napari_seg_trainer.napari_plugin.train.engine_choice import EngineChoice
from napari_seg_trainer.napari_plugin.train.input_fields import InputFields
from napari_seg_trainer.napari_plugin.train.job_names import name_problem, proposed_name
from napari_seg_trainer.napari_plugin.train.pretrained_field import PretrainedField
from napari_seg_trainer.napari_plugin.train.start_look import Proposal, StartLook
from napari_seg_trainer.napari_plugin.train.training_fields import TrainingFields
from napari_seg_trainer.runs.dataset import expected_facts
from napari_seg_trainer.schema.job import TrainingFacts, TrainingJob

_LINE_HEIGHT = 24
"""Pixels, as napari's style has it for fields of one line."""

_DATA = "Training data: images with masks that you have drawn or corrected."
_NAME = "Name of the new model in the library."
_KIND = "Type of network to train."
_START = "Starting from a model trained on similar images needs fewer images and less time."


class JobForm(QWidget):
    """Edits a `TrainingJob`; emits ``changed()`` when the job or what is wrong with it may be another.

    Parameters
    ----------
    viewer : Viewer
        Where findings of the data check are shown.

    Attributes
    ----------
    data, name, engine, pretrained, inputs, training
        The fields.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.engine = EngineChoice({name: spec for name, spec in engine_specs().items() if spec.trains})
        spec = self.engine.spec()
        self.data = DataField(viewer)
        self.name = LineEdit(name="name", label="Name", tooltip=_NAME)
        self.pretrained = PretrainedField(spec)
        self.inputs = InputFields(viewer, spec)
        self.training = TrainingFields(spec)
        self._look = StartLook(self)
        self._named = self._loading = False
        self._before: dict[str, JsonValue] | None = None
        self._arrange()
        self._connect()
        self._propose_name()
        self._refresh()

    def value(self) -> TrainingJob:
        """Return the job as it stands in the form.

        Raises
        ------
        JobError
            If a field holds something that no job can have; names it.
        """
        impossible = self._impossible()
        if impossible:
            raise JobError(next(iter(impossible.values())))
        fields: dict[str, Any] = self.inputs.job_fields() | self.training.job_fields()
        try:
            return TrainingJob(
                name=self.name.value.strip(),
                engine=self.engine.spec().id,
                data=self.data.folders(),
                builtin=self.data.builtin(),
                validation_data=self.training.validation.folders(),
                test_data=self.training.test.folders(),
                channels=self.inputs.channels.value(),
                pretrained=self.pretrained.value(),
                hyperparameters=self.training.hyperparameters(),
                **fields,
            )
        except ValidationError as error:
            raise JobError(f"{describe(error)}.") from error

    def set_value(self, job: TrainingJob) -> None:
        """Show a job.

        Raises
        ------
        EngineError
            If its engine is not installed.
        JobError
            If its engine does not know its hyperparameters.
        """
        parse_parameters(engine_spec(job.engine), job.hyperparameters)
        self._loading = True
        try:
            self._choose_engine(job.engine)
            self.data.set_value(job.data, job.builtin)
            self._show_name(job.name)
            self._named = True
            self.pretrained.set_value(job.pretrained)
            self.inputs.set_value(job)
            self.training.set_value(job)
        finally:
            self._loading = False
        self._edited()

    def start_from(self, model_name: str) -> None:
        """Have the training start from a model in the library, and take over its channels and parameters.

        Raises
        ------
        LibraryError
            If there is no such model.
        EngineError
            If its engine is not installed.
        JobError
            If its engine cannot be trained.
        """
        engine = ModelLibrary().get(model_name).card.engine
        parse_parameters(engine_spec(engine), {})
        self._choose_engine(engine)
        self.pretrained.set_value(model_name, by_user=True)
        self._refresh()

    def train_again(self, model: str, job: TrainingJob | None, folder: Path) -> None:
        """Do the same with the job that made the model, where it is known, and one more annotation folder."""
        if job is not None:
            there = tuple(place for place in job.data if place.is_dir())
            self.set_value(job.replace(pretrained=None, data=there or (folder,)))
            self._named = False
        self.start_from(model)
        self.add_data(folder)
        self._propose_name()

    def add_data(self, folder: Path) -> None:
        """Add an annotation folder, or look again at one that is there."""
        self.data.add(folder)

    def reasons(self) -> dict[str, str]:
        """Return what keeps the job from being trained, as far as is known, by the field's name."""
        found = {
            "data": self.data.reason(),
            "name": name_problem(self.name.value.strip()),
            "engine": self.engine.reason(),
            "pretrained": self.pretrained.reason(),
            **self.inputs.reasons(),
            **self.training.reasons(),
        }
        return {name: text for name, text in found.items() if text}

    def _impossible(self) -> dict[str, str]:
        """Return what no job can have."""
        pretrained = {"pretrained": self.pretrained.reason()} if self.pretrained.value() == "" else {}
        return pretrained | self.inputs.problems() | self.training.problems()

    def _arrange(self) -> None:
        self.form = Form(
            _held(self.data, "data", "Data", _DATA),
            self.name,
            _held(self.engine, "engine", "Kind", _KIND),
            _held(self.pretrained, "pretrained", "Start", _START),
        )
        for name in ("data", "engine", "pretrained"):
            _label_on_top(self.form[name])
        self.input_section = Section("Channels and normalization", self.inputs)
        self.training_section = Section("Training", self.training)
        in_column(self, self.form.native, self.input_section, self.training_section)

    def _connect(self) -> None:
        self.data.changed.connect(self._data_changed)
        self.data.looked.connect(self._looked)
        self.name.changed.connect(self._name_typed)
        self.engine.changed.connect(self._engine_changed)
        self.pretrained.changed.connect(self._refresh)
        self.pretrained.loaded.connect(self._pretrained_loaded)
        self.inputs.changed.connect(self._refresh)
        self.training.changed.connect(self._edited)
        self._look.found.connect(self._proposed)
        watcher = LibraryWatcher(self)
        watcher.changed.connect(self.pretrained.list_models)
        watcher.changed.connect(self._library_changed)
        on_theme_change(self, self._paint)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Propose another name if the one before was used meanwhile."""
        super().showEvent(event)
        self._library_changed()

    def _data_changed(self) -> None:
        self._propose_name()
        self._edited()

    def _looked(self) -> None:
        self.inputs.offer(self.data.survey)
        self._refresh()

    def _name_typed(self, _name: str) -> None:
        self._named = True
        self._refresh()

    def _library_changed(self) -> None:
        if name_problem(self.name.value.strip()):
            self._propose_name()
        self._refresh()

    def _propose_name(self) -> None:
        if not self._named:
            today = datetime.now().date()
            self._show_name(proposed_name(self.data.folders(), self.data.builtin(), today))

    def _show_name(self, name: str) -> None:
        with self.name.changed.blocked():
            self.name.value = name

    def _choose_engine(self, engine: str) -> None:
        if engine != self.engine.spec().id:
            self.engine.set_value(engine)
            self._engine_changed()

    def _engine_changed(self) -> None:
        spec = self.engine.spec()
        self._give_back()
        self.pretrained.set_engine(spec)
        self.inputs.set_engine(spec)
        self.training.set_engine(spec)
        self._refresh()

    def _pretrained_loaded(self) -> None:
        card, by_user = self.pretrained.card, self.pretrained.by_user
        if by_user:
            self._give_back()
        if by_user and card is not None:
            self._before = self.training.hyperparameters()
            self.training.set_hyperparameters(self.training.taken_over(card))
        self.inputs.start_from(card, adopt=by_user)
        self.training.start_from(card)
        self._refresh()

    def _give_back(self) -> None:
        """Undo what choosing a pretrained model has done to the hyperparameters."""
        if self._before is not None:
            self.training.set_hyperparameters(self._before)
            self._before = None

    def _edited(self) -> None:
        self.data.validate_on(self.training.validation.folders())
        self._refresh()

    def _refresh(self) -> None:
        if not self._loading:
            self._paint()
            self.changed.emit()

    def _job(self) -> TrainingJob | None:
        """Return the job as far as the images for it were looked at; None if they were not."""
        if self.data.survey is None:
            return None
        try:
            return self.value()
        except JobError:
            return None

    def _facts(self, job: TrainingJob | None) -> TrainingFacts | None:
        """Return what is known of the images to learn from."""
        survey, proposal = self.data.survey, self.pretrained.proposal
        if job is None or survey is None:
            return None
        if proposal is None:
            return expected_facts(job, survey, self.pretrained.card)
        return expected_facts(job, survey, proposal.card or self.pretrained.card, proposal.found, proposal.inverted)

    def _ask_what_to_start_from(self, job: TrainingJob | None) -> None:
        is_open = self.pretrained.is_looked_at and not self.data.reason() and not self.engine.reason()
        survey = self.data.survey
        self._look.follow(job if is_open else None, len(survey.images) if survey else 0)

    def _proposed(self, proposal: Proposal) -> None:
        self.pretrained.propose(proposal)
        self._refresh()

    def _paint(self) -> None:
        job = self._job()
        self._ask_what_to_start_from(job)
        self.training.suggest(self._facts(job))
        reasons = self.reasons()
        shown = {name: text for name, text in reasons.items() if name != "data" or not self.data.is_empty()}
        self.form.show_reasons(shown)
        self.inputs.show_reasons(shown)
        self.training.show_reasons(shown)
        for section, fields in ((self.input_section, self.inputs), (self.training_section, self.training)):
            section.summarize("⚠" if fields.reasons() else fields.summary())


def _label_on_top(field: Widget) -> None:
    """Put a tall field's label beside its first line."""
    row = field.native.parentWidget().layout()
    row.setAlignment(row.itemAt(0).widget(), Qt.AlignmentFlag.AlignTop)
    row.itemAt(0).widget().setMinimumHeight(_LINE_HEIGHT)


def _held(widget: QWidget, name: str, label: str, tooltip: str) -> Container[Widget]:
    """Return a widget as a field for a form."""
    field: Container[Widget] = Container(labels=False, name=name, label=label, tooltip=tooltip)
    field.margins = (0, 0, 0, 0)
    field.native.layout().addWidget(widget)
    return field
