"""Which frames of a time lapse or stack, and which parts of them."""

from typing import Any

from magicgui.widgets import ComboBox, Container, Label, SpinBox
from napari import Viewer
from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import Signal

from napari_seg_trainer.napari_plugin.layers.crops import CROP_OF, Crop, crops
from napari_seg_trainer.napari_plugin.layers.grids import plane_shape
from napari_seg_trainer.napari_plugin.layers.planes import frame_count, only_frame, shown_frame
from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.layer_choice import LayerChoice
from napari_seg_trainer.napari_plugin.parts.widgets import Section

SHOWN, RANGE = "the one shown", "from … to …"


def turned(viewer: Viewer) -> str:
    """Say that no frame is shown as it is, but a volume or another side of it; empty where one is."""
    dims = viewer.dims
    if dims.ndisplay == 3:
        return "The viewer shows a volume. Go back to 2D with the button 'Toggle 2D/3D view' below the layers."
    if tuple(dims.order[-2:]) != (dims.ndim - 2, dims.ndim - 1):
        return "The viewer shows another plane. Click 'Change order of visible axes' below the layer list to reset it."
    return ""


class FramesAndCrops(Section):
    """Folded at first, with what is chosen in its title; emits ``edited()``."""

    edited = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._crops: tuple[Crop, ...] = ()
        self._only: int | None = None
        self._turned = ""
        self._which = ComboBox(
            name="which",
            label="Frames",
            choices=[SHOWN, RANGE],
            tooltip="Export the displayed frame or slice, or a range.",
        )
        self._first = SpinBox(name="first", min=0, max=0, tooltip="First frame, counted from 0 like the slider.")
        self._last = SpinBox(name="last", min=0, max=0, tooltip="Last frame (included).")
        self._range: Container[Any] = Container(
            widgets=[self._first, Label(value="to"), self._last],
            layout="horizontal",
            labels=False,
            name="range",
            label="From",
            tooltip="Frames are counted from 0, like the viewer's slider.",
        )
        self._range.margins = (0, 0, 0, 0)
        self.shapes = LayerChoice(
            viewer,
            Shapes,
            none="whole field",
            name="shapes",
            label="Crops",
            tooltip="Export one crop per rectangle or polygon of a Shapes layer, instead of the whole field.",
        )
        self.form = Form(self._which, self._range, self.shapes)
        super().__init__("Frames and crops", self.form.native)
        self.form.changed.connect(self._edited)

    def _edited(self, _value: Any) -> None:
        self.edited.emit()

    def follow(self, labels: Labels, deepest: Layer) -> None:
        """Offer the frames of the deepest layer, and find the crops of the labels."""
        shapes = self.shapes.value
        if shapes is not None and shapes.metadata.get(CROP_OF, labels.unique_id) != labels.unique_id:
            with self.form.changed.blocked():
                self.shapes.value = shapes = None
        found = crops(shapes, labels, plane_shape(labels), deepest) if isinstance(shapes, Shapes) else ()
        self._crops = tuple(found)
        self._only = only_frame(labels, deepest)
        self._turned = turned(self._viewer) if frame_count(deepest) > 1 else ""
        count = frame_count(deepest) if self._only is None else 1
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
        shown = shown_frame(self._viewer, deepest) if self._only is None else self._only
        return range(shown, shown + 1)

    def crops(self) -> tuple[Crop, ...]:
        """Return the parts of each frame to export, as of the last `follow`; the whole of it if there are none."""
        return self._crops

    def check(self, deepest: Layer) -> str:
        """Say under the fields what is wrong with them, and return it; empty if nothing is."""
        reasons = {}
        if self._turned and self.follows_viewer and self._only is None:
            reasons["which"] = self._turned
        if not self.follows_viewer and self._first.value > self._last.value:
            reasons["range"] = f"Frame {self._first.value} comes after frame {self._last.value}. Swap them."
        if self.shapes.value is not None and not self._crops:
            reasons["shapes"] = (
                f"Layer {self.shapes.value.name!r} has no rectangle or polygon on the image. Draw one, or choose none."
            )
        elif self._crops and not any(crop.frame is None or crop.frame in self.frames(deepest) for crop in self._crops):
            where = f"frame {self.frames(deepest).start}" if self.follows_viewer else "these frames"
            reasons["shapes"] = (
                f"Layer {self.shapes.value.name!r} has no rectangle or polygon on {where}. Draw one, or choose none."
            )
        self.form.show_reasons(reasons)
        return next(iter(reasons.values()), "")

    def sum_up(self, deepest: Layer) -> None:
        """Show in the title what is chosen."""
        frames = self.frames(deepest)
        parts = [crop for crop in self._crops if crop.frame is None or crop.frame in frames]
        words = []
        if frame_count(deepest) > 1:
            words.append(f"frame {frames.start}" if len(frames) == 1 else f"frames {frames.start} to {frames.stop - 1}")
        if parts:
            words.append("1 crop" if len(parts) == 1 else f"{len(parts)} crops")
        self.summarize(", ".join(words) or "whole field")
