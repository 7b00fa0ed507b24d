"""The form of the export: which layers, what they are called, where they go, and which parts of them."""

import re
from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import Container, FileEdit, LineEdit
from napari import Viewer
from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.annotations.annotated_image import check_stem
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.export.annotated_part import AnnotatedPartSection
from napari_seg_trainer.napari_plugin.export.belonging import belonging
from napari_seg_trainer.napari_plugin.export.channel_rows import ChannelRows
from napari_seg_trainer.napari_plugin.export.correct_objects import CorrectObjects
from napari_seg_trainer.napari_plugin.export.defaults import (
    FolderContent,
    Peek,
    experiment_folder,
    misfit,
    own_name,
    population_of,
)
from napari_seg_trainer.napari_plugin.export.frames_and_crops import FramesAndCrops
from napari_seg_trainer.napari_plugin.export.last_used import LastUsed
from napari_seg_trainer.napari_plugin.export.plan import ExportPlan
from napari_seg_trainer.napari_plugin.layers.annotated_part import is_region
from napari_seg_trainer.napari_plugin.layers.channels_question import ChannelsQuestion
from napari_seg_trainer.napari_plugin.layers.names import base_name, origin_of, stem_for
from napari_seg_trainer.napari_plugin.layers.pixel_sizes import told_by, unequal
from napari_seg_trainer.napari_plugin.layers.planes import PREFIX, deepest, frame_count
from napari_seg_trainer.napari_plugin.parts.docks import at_the_end
from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.layer_choice import LayerChoice
from napari_seg_trainer.napari_plugin.parts.pixel_size import PixelSizeField
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, shorten

LONGEST_POPULATION = 100
_PIXEL_SIZE = (
    "How large a pixel is in your sample, in µm. Models trained on images of one pixel size work on images of another "
    "only if both are known."
)
_NOT_KNOWN = "Tick to export without a pixel size. Models then take these images at the size they have."


class ExportForm(QWidget):
    """Editor of an `ExportPlan` that follows the viewer's layers; emits ``changed()``.

    Parameters
    ----------
    viewer : Viewer
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._peek = Peek()
        self._proposed: dict[str, str] = {}
        self._typed_names: dict[Hashable, str] = {}
        self._labelled: Image | None = None
        self._name = ""
        self._shown_name: tuple[Hashable, str] = (None, "")
        self._following = False
        self._problem = ""
        self._make_fields()
        self.parts = FramesAndCrops(viewer)
        self.correct, self.annotated = CorrectObjects(viewer), AnnotatedPartSection(viewer)
        self.question = ChannelsQuestion(viewer)
        in_column(self, self.question, self.form.native, self.correct, self.parts, self.annotated)
        active = viewer.layers.selection.active
        if active in self.labels.choices:
            self.labels.value = active
        self.follow()
        self.form.changed.connect(self._edited)
        self.channels.changed.connect(self.follow)
        self.parts.edited.connect(self.follow)
        self.annotated.edited.connect(self.follow)
        self.correct.marked.connect(self._take_marked)
        at_the_end(self, self.correct.leave)

    def _make_fields(self) -> None:
        self.labels = LayerChoice(
            self._viewer,
            Labels,
            accepts=lambda layer: not is_region(layer),
            name="labels",
            label="Labels",
            tooltip="The labels layer to export, with one number per object.",
        )
        self.channels = ChannelRows()
        channels: Container[Any] = Container(
            labels=False,
            name="channels",
            label="Channels",
            tooltip="The images that the labels were drawn on, and what each shows.",
        )
        channels.margins = (0, 0, 0, 0)
        channels.native.layout().addWidget(self.channels)
        self.population = LineEdit(
            name="population",
            label="Population",
            tooltip="What is labelled, such as nuclei or bacteria. The annotation folder is named after it.",
        )
        self.folder = FileEdit(
            name="folder",
            label="Folder",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            tooltip="The folder of your experiment. The annotation folder is created in it.",
        )
        shorten(self.folder, "the folder")
        self.image_name = LineEdit(
            name="image_name",
            label="Image name",
            tooltip="Base name of the files; by default that of the image.",
        )
        self.pixel_size = PixelSizeField(_PIXEL_SIZE, box=_NOT_KNOWN)
        self.form = Form(self.labels, channels, self.image_name, self.population, self.folder, self.pixel_size)
        row = channels.native.parentWidget().layout()
        row.setAlignment(row.itemAt(0).widget(), Qt.AlignmentFlag.AlignTop)

    @property
    def problem(self) -> str:
        """Why there is nothing to export as it stands; empty if there is."""
        return self._problem

    @property
    def has_labels(self) -> bool:
        """Whether there is a Labels layer at all."""
        return self.labels.value is not None

    @property
    def content(self) -> FolderContent:
        """What the annotation folder holds already."""
        return self._peek.content(self._target)

    def plan(self) -> ExportPlan:
        """Return what is to be exported, if there is no `problem`."""
        labels = self.labels.value
        assert self._labelled is not None, "there is no problem"
        return ExportPlan(
            labels=labels,
            labelled=self._labelled,
            channels=self.channels.chosen(),
            folder=self._target,
            frames=self.parts.frames(self._deepest(labels)),
            crops=self.parts.crops(),
            part=self.annotated.part(),
            pixel_size=self.pixel_size.value(),
            name=self._name,
        )

    def follow_active(self) -> None:
        """Choose the Labels layer that is selected in the viewer."""
        active = self._viewer.layers.selection.active
        if isinstance(active, Labels) and active is not self.labels.value and active in self.labels.choices:
            self.labels.value = active

    def select_layers(self, layers: Sequence[Layer]) -> None:
        """Choose the labels layer, tick the image layers, and take shapes for crops, among `layers`."""
        labels = next((layer for layer in layers if layer in self.labels.choices), None)
        images = [layer for layer in layers if isinstance(layer, Image)]
        if labels is not None:
            self.labels.value = labels
        if images:
            self.channels.tick(images)
        frame = next((layer for layer in layers if isinstance(layer, Shapes)), None)
        if frame is not None:
            self.parts.shapes.reset_choices()
            self.parts.shapes.value = frame

    def reset_choices(self) -> None:
        """Follow layers that came, went, moved or were renamed."""
        for choice in (self.labels, self.parts.shapes):
            choice.reset_choices()
        self.annotated.reset_choices()
        self.follow()

    def follow(self) -> None:
        """Bring what the user has not set in line with the layers, and check all."""
        if self._following:
            return
        self._following = True
        try:
            self.correct.follow(self.labels.value)
            if self.has_labels:
                self._follow_layers(self.labels.value)
                self._check(self.labels.value)
        finally:
            self._following = False
        self.changed.emit()

    def follow_frame(self) -> None:
        """Take the frame that the viewer shows now."""
        if self.has_labels and self.parts.follows_viewer:
            self.follow()

    def _edited(self, _value: Any) -> None:
        self.follow()

    def _take_marked(self) -> None:
        self.annotated.choose_painted()
        self.follow()

    def _follow_layers(self, labels: Labels) -> None:
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        belong = belonging(labels, self._viewer.layers, lambda image: not misfit(labels, image))
        self.question.ask(belong or images)
        self.channels.offer(labels, images, belong, partial(misfit, labels))
        chosen = self._chosen_layers()
        self._labelled = next((image for image in [*belong, *chosen] if image in chosen), None)
        last = LastUsed.read()
        self._propose(self.folder.line_edit, "folder", str(experiment_folder([*chosen, labels], last.folder)))
        self._propose(self.population, "population", population_of(labels, last.population))
        self._propose_name(labels)
        self.channels.know(self.content.channels, last.channels)
        self.pixel_size.follow(told_by([*chosen, labels]), labels.unique_id, unequal([*chosen, labels]))
        self.parts.follow(labels, self._deepest(labels))
        self.annotated.follow(labels, self._deepest(labels))

    def _propose_name(self, labels: Labels) -> None:
        """Show what the files are called, apart from frames and crops, and take note of what the user has typed."""
        shown_for, shown = self._shown_name
        if shown_for == labels.unique_id and self.image_name.value != shown:
            self._typed_names[labels.unique_id] = self.image_name.value.strip()
        usual, self._name = self._usual_name(), self._typed_names.get(labels.unique_id, "")
        if not self._name and self._labelled is not None:
            proposed = own_name(self._labelled, usual, self._target, self._stem)
            self._name = "" if proposed == usual else proposed
            usual = proposed
        text = self.image_name.value if labels.unique_id in self._typed_names else usual
        if shown_for != labels.unique_id:
            text = self._name or usual
        self._shown_name = labels.unique_id, text
        self.image_name.native.setPlaceholderText(usual)
        if self.image_name.value != text:
            self.image_name.value = text

    def _stem(self, name: str) -> str:
        assert self._labelled is not None
        deepest_one = self._deepest(self.labels.value)
        frame = self.parts.frames(deepest_one).start
        return stem_for(self._labelled, frame, frame_count(deepest_one), next(iter(self.parts.crops()), None), name)

    def _usual_name(self) -> str:
        if self._labelled is None:
            return ""
        deepest_one = self._deepest(self.labels.value)
        origin = origin_of(self._labelled, self.parts.frames(deepest_one).start, frame_count(deepest_one))
        return origin.stem if origin else base_name(self._labelled)

    def _propose(self, field: LineEdit, name: str, text: str) -> None:
        if field.value == self._proposed.get(name, ""):
            field.value = text
        self._proposed[name] = text

    def _check(self, labels: Labels) -> None:
        reasons = {
            "channels": self.channels.reason(),
            "image_name": _name_reason(self.image_name.value),
            "population": _population_reason(self.population.value),
            "folder": _folder_reason(self.folder.line_edit.value),
            "pixel_size": self.pixel_size.reason(),
        }
        self.form.show_reasons(reasons)
        parts = self.parts.check(self._deepest(labels)) or self.annotated.check(labels, self._deepest(labels))
        self.parts.sum_up(self._deepest(labels))
        self.annotated.sum_up()
        marked = "Fix the marked fields." if any(reasons.values()) else ""
        self._problem = marked or parts

    def _chosen_layers(self) -> list[Image]:
        return list(dict.fromkeys(source.layer for source, _ in self.channels.chosen()))

    def _deepest(self, labels: Labels) -> Layer:
        return deepest([labels, *self._chosen_layers()])

    @property
    def _target(self) -> Path:
        return _folder(self.folder.line_edit.value) / f"{PREFIX}{self.population.value.strip()}"


def _name_reason(text: str) -> str:
    try:
        check_stem(text.strip() or "image")
    except DataError as error:
        return str(error)
    return ""


def _folder(text: str) -> Path:
    return Path(text.strip()).expanduser()


def _population_reason(text: str) -> str:
    name, way_out = text.strip(), "Use letters, digits, spaces, '-', '_'."
    if not name:
        return f"Enter what is labelled, such as nuclei. {way_out}"
    if len(name) > LONGEST_POPULATION:
        return f"The name has {len(name)} characters; {LONGEST_POPULATION} is the limit."
    bad = re.search(r"[^\w -]", name)
    return f"Population {name!r} cannot be used: {bad[0]!r} is not allowed. {way_out}" if bad else ""


def _folder_reason(text: str) -> str:
    if not text.strip():
        return "Choose the folder of your experiment."
    folder = _folder(text)
    if not folder.is_absolute():
        return f"{text!r} is only a part of a path. Choose the folder with the button next to it."
    if folder.name.startswith(PREFIX):
        return f"{folder.name!r} is itself an annotation folder. Choose its parent folder."
    if folder.exists() and not folder.is_dir():
        return f"{folder.name!r} is a file. Choose a folder."
    return ""
