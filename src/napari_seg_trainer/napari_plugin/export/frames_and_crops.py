"""Which frames of a time lapse or stack, and which parts of them."""

from typing import Any

from magicgui.widgets import ComboBox, Container, Label, SpinBox
from napari import Viewer
from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import Signal

from napari_seg_trainer.napari_plugin.layers.grids import plane_shape
from napari_seg_trainer.napari_plugin.layers.planes import Crop, crops, frame_count, shown_frame
from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.layer_choice import LayerChoice
from napari_seg_trainer.napari_plugin.parts.widgets import Section

SHOWN, RANGE = "the one shown", "from … to …"


class FramesAndCrops(Section):
    """Folded at first, with what is chosen in its title; emits ``edited()``."""

    edited = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._crops: tuple[Crop, ...] = ()
        self._which = ComboBox(
            name="which",
            label="Frames",
            choices=[SHOWN, RANGE],
            tooltip="Export the frame or slice that the viewer shows now, or several in a row.",
        )
        self._first = SpinBox(name="first", min=0, max=0, tooltip="The first frame, counted from 0 as by the slider.")
        self._last = SpinBox(name="last", min=0, max=0, tooltip="The last frame; it is exported too.")
        self._range: Container[Any] = Container(
            widgets=[self._first, Label(value="to"), self._last],
            layout="horizontal",
            labels=False,
            name="range",
            label="From",
            tooltip="Frames are counted from 0, as by the viewer's slider.",
        )
        self._range.margins = (0, 0, 0, 0)
        self.shapes = LayerChoice(
            viewer,
            Shapes,
            none="whole field",
            name="shapes",
            label="Crops",
            tooltip="Export one crop for each rectangle or polygon of a Shapes layer, in place of the whole field.",
        )
        self.form = Form(self._which, self._range, self.shapes)
        super().__init__("Frames and crops", self.form.native)
        self.form.changed.connect(self._edited)

    def _edited(self, _value: Any) -> None:
        self.edited.emit()

    def follow(self, labels: Labels, deepest: Layer) -> None:
        """Offer the frames of the deepest layer, and find the crops of the labels."""
        shapes = self.shapes.value
        self._crops = tuple(crops(shapes, labels, plane_shape(labels))) if isinstance(shapes, Shapes) else ()
        count = frame_count(deepest)
        with self.form.changed.blocked():
            if count - 1 != self._last.max:
                self._first.max = self._last.max = count - 1
                self._first.value, self._last.value = 0, count - 1
            self._which.visible = count > 1
            self._range.visible = count > 1 and self._which.value == RANGE

    @property
    def follows_viewer(self) -> bool:
        """Whether the frame that the viewer shows is exported."""
        return not self._last.max or self._which.value == SHOWN

    def frames(self, deepest: Layer) -> range:
        """Return the frames to export, counted in this layer."""
        if not self.follows_viewer:
            return range(self._first.value, self._last.value + 1)
        shown = shown_frame(self._viewer, deepest)
        return range(shown, shown + 1)

    def crops(self) -> tuple[Crop, ...]:
        """Return the parts of each frame to export, as of the last `follow`; the whole of it if there are none."""
        return self._crops

    def check(self) -> str:
        """Say under the fields what is wrong with them, and return it; empty if nothing is."""
        reasons = {}
        if not self.follows_viewer and self._first.value > self._last.value:
            reasons["range"] = f"Frame {self._first.value} comes after frame {self._last.value}. Exchange them."
        if self.shapes.value is not None and not self._crops:
            reasons["shapes"] = (
                f"Layer {self.shapes.value.name!r} has no rectangle or polygon on the image. Draw one, or choose none."
            )
        self.form.show_reasons(reasons)
        return next(iter(reasons.values()), "")

    def sum_up(self, deepest: Layer) -> None:
        """Show in the title what is chosen."""
        frames, parts = self.frames(deepest), self._crops
        words = []
        if frame_count(deepest) > 1:
            words.append(f"frame {frames.start}" if len(frames) == 1 else f"frames {frames.start} to {frames.stop - 1}")
        if parts:
            words.append("1 crop" if len(parts) == 1 else f"{len(parts)} crops")
        self.summarize(", ".join(words) or "whole field")
