"""The form of the segmentation: which model, on which images, how."""

from collections.abc import Hashable, Sequence

from magicgui.widgets import ComboBox, Label
from napari import Viewer
from napari.layers import Image, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.library.listed import ListedModel
from napari_seg_trainer.napari_plugin.layers.channel_choice import file_offers, layer_offers
from napari_seg_trainer.napari_plugin.layers.channels_question import ChannelsQuestion
from napari_seg_trainer.napari_plugin.layers.grids import check_same_grid, shape_of
from napari_seg_trainer.napari_plugin.layers.pixel_sizes import told_by, unequal
from napari_seg_trainer.napari_plugin.layers.planes import (
    Source,
    deepest,
    frame_count,
    shown_frame,
)
from napari_seg_trainer.napari_plugin.parts.form import Form, wrap
from napari_seg_trainer.napari_plugin.parts.pixel_size import KnownPixelSize, PixelSizeField
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, narrow
from napari_seg_trainer.napari_plugin.segment.folders import FolderFields
from napari_seg_trainer.napari_plugin.segment.frames import ALL, FOLDER, SHOWN, FramesChoice
from napari_seg_trainer.napari_plugin.segment.inputs import InputFields
from napari_seg_trainer.napari_plugin.segment.labels import memory_problem
from napari_seg_trainer.napari_plugin.segment.settings import SettingsSection
from napari_seg_trainer.napari_plugin.segment.tasks import FolderTask, LayerTask, Task, frames_misfit
from napari_seg_trainer.segmentation.request import SegmentRequest
from napari_seg_trainer.segmentation.segment import size_warning

NO_IMAGE = "Open an image first, or try File > Open Sample."
_PIXEL_SIZE = (
    "Pixel size of the image in µm. The image is rescaled to the model's pixel size, so that objects have the size "
    "they had in training. A value that you enter applies to all images of a folder."
)


class SegmentForm(QWidget):
    """Editor of a `Task` that follows the viewer's layers; emits ``changed()``.

    Parameters
    ----------
    viewer : Viewer
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._unequal = ""
        self._models: dict[str, ListedModel] = {}
        self._make_fields()
        self.question = ChannelsQuestion(viewer)
        in_column(self, self.question, self.form.native, self.thresholds)
        self.model.changed.connect(self._model_changed)
        self.frames.changed.connect(self._frames_changed)
        self.pixel_size.number.changed.connect(self.follow)
        self.folders.changed.connect(self.follow)
        on_theme_change(self, self.follow)

    def _make_fields(self) -> None:
        self.model = ComboBox(
            name="model",
            label="Model",
            choices=lambda _field: list(self._models),
            tooltip="A model in your library, newest first.",
        )
        narrow(self.model.native)
        self.card = Label(name="card", label=" ")
        self.pixel_size = PixelSizeField(_PIXEL_SIZE)
        self.hint = Label(name="hint", label=" ", visible=False)
        for line in (self.card, self.hint):
            wrap(line.native)
        self.frames = FramesChoice()
        self.folders = FolderFields(self)
        self.form = Form(
            self.model, self.card, self.pixel_size, self.hint, self.frames, self.folders.images, self.folders.output
        )
        self.inputs = InputFields(self.form, "card", self.follow)
        self.thresholds = SettingsSection(self.follow)

    @property
    def chosen(self) -> ListedModel | None:
        """The chosen model."""
        return self._models.get(self.model.value or "")

    def show_models(self, models: Sequence[ListedModel], choose: str = "") -> None:
        """Offer these models and choose one by name; by default the one that is chosen stays, or the first is."""
        before = self.chosen
        self._models = {listed.name: listed for listed in models}
        name = choose if choose in self._models else self._same(before)
        with self.model.changed.blocked():
            self.model.native.clear()  # magicgui would keep their order
            self.model.reset_choices()
            if self._models:
                self.model.value = name or next(iter(self._models))
        if self.chosen != before:
            self._model_changed()

    def select_layers(self, layers: Sequence[Layer]) -> None:
        """Choose the images among these layers, as far as it is clear what they show."""
        if self.frames.value() == FOLDER:
            self.frames.choose(SHOWN)
        self.inputs.prefer(layer_offers([layer for layer in self._images() if layer in layers]))

    def follow(self, _change: object = None) -> None:
        """Follow the viewer's layers, and what the user chose."""
        problem = ""
        by_folder = self.frames.value() == FOLDER
        self.question.ask([] if by_folder else [source.layer for source in self._sources()] or self._images())
        if by_folder:
            self.inputs.offer(file_offers(self.folders.content.channels))
            images: tuple[Hashable, ...] = self.folders.content.images[:1]
            size = self.folders.content.pixel_size
            told = (
                None
                if size is None
                else KnownPixelSize(size, "files", "From the first image in the folder; each image keeps its own.")
            )
        else:
            active = [layer for layer in self._images() if layer == self._viewer.layers.selection.active]
            self.inputs.offer(layer_offers(self._images()), layer_offers(active))
            layers = [source.layer for source in self._sources()]
            images = tuple(layer.unique_id for layer in layers)
            told = told_by([deepest(layers)] if layers else [])
            problem = unequal([deepest(layers)] if layers else [])
        self._unequal = problem
        self.pixel_size.follow(told, images)
        self._show_hint()
        self.form.show_reasons(self._reasons())
        self.changed.emit()

    def reason(self) -> str:
        """Return why nothing can be segmented; empty if it can."""
        return next(iter(self._reasons().values()), "") or self.thresholds.reason()

    def task(self) -> Task:
        """Return what is to be done; only where there is no `reason` against it."""
        listed = self.chosen
        assert listed is not None, "there was no reason against it"
        settings = self.thresholds.value()
        if self.frames.value() == FOLDER:
            typed = self.pixel_size.typed()  # else each file's own counts
            request = SegmentRequest(pixel_size=typed, use=self.inputs.use(), settings=settings)
            return FolderTask(listed.model, self.folders.content.images, self.folders.output_path(), request)
        chosen = self._sources()
        reference = deepest([source.layer for source in chosen])
        every = self.frames.value() == ALL
        frames = range(frame_count(reference)) if every else (shown_frame(self._viewer, reference),)
        request = SegmentRequest(pixel_size=self.pixel_size.value(), settings=settings)
        return LayerTask(listed.model, chosen, tuple(frames), request)

    def _same(self, before: ListedModel | None) -> str | None:
        """Return what a model is called now; somebody may have renamed it."""
        if before is None or before.name in self._models:
            return before.name if before else None
        return next((name for name, new in self._models.items() if new.card.created == before.card.created), None)

    def _images(self) -> list[Image]:
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def _sources(self) -> tuple[Source, ...]:
        """Return what feeds the model, in layers; nothing as long as that is not complete."""
        chosen = [offer.source for offer in self.inputs.chosen() if offer is not None and offer.source is not None]
        return tuple(chosen) if len(chosen) == len(self.inputs.chosen()) else ()

    def _model_changed(self, _name: object = None) -> None:
        listed = self.chosen
        self.card.value = _unbroken(listed.line) if listed else ""
        self.card.tooltip = listed.spec.good_for if listed and listed.spec else ""
        self.inputs.show_inputs([channel.names for channel in listed.card.channels] if listed else [])
        self.inputs.arrange_tabs(self.pixel_size.number.native)
        self.thresholds.show_model(listed)
        self.folders.propose(listed.name if listed else "")
        self.follow()

    def _frames_changed(self, _change: object) -> None:
        self.folders.show(self.frames.value() == FOLDER)
        self.follow()

    def _show_hint(self) -> None:
        listed, text = self.chosen, self._unequal
        if listed and any(self.inputs.chosen()) and not self.pixel_size.reason():
            text = text or size_warning(listed.card, self.pixel_size.value())
        self.hint.value = coloured(text, colours().warning) if text else ""
        self.hint.visible = bool(text)

    def _reasons(self) -> dict[str, str]:
        listed = self.chosen
        if listed is None:
            return {"model": ""}
        reasons = {}
        if listed.spec is None:
            reasons["model"] = f"There is no engine {listed.card.engine!r} here. Install the package that brings it."
        elif listed.lacks:
            reasons["model"] = f"{listed.kind} is not installed here."
        by_folder = self.frames.value() == FOLDER
        reasons |= (self.folders.reasons() or self.inputs.reasons()) if by_folder else self._layer_reasons()
        reasons |= {"pixel_size": self.pixel_size.reason()}
        return {name: reason for name, reason in reasons.items() if reason}

    def _layer_reasons(self) -> dict[str, str]:
        if not self._images():
            return {"input_0": NO_IMAGE}
        unclear = self.inputs.reasons()
        if unclear:
            return unclear
        layers = [source.layer for source in self._sources()]
        last = f"input_{len(layers) - 1}"
        every = self.frames.value() == ALL
        return {
            last: frames_misfit(layers) or _misplaced(layers),
            "frames": memory_problem(shape_of(deepest(layers))) if every else "",
        }


def _misplaced(layers: Sequence[Layer]) -> str:
    """Return why images do not lie on each other; empty if they do."""
    try:
        check_same_grid(layers[0], layers[1:])
    except DataError as error:
        return str(error)
    return ""


def _unbroken(line: str) -> str:
    """Return a line that is broken only at its dots."""
    return " · ".join(part.replace(" ", "\u00a0") for part in line.split(" · "))
