"""Whether all of an image is annotated, or which part of it."""

from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, PushButton, SpinBox
from napari import Viewer
from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import Signal

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.annotated_part import (
    AnnotatedPart,
    InsideShapes,
    NearObjects,
    Painted,
    is_region,
    new_region,
    region_for,
    usual_margin,
)
from napari_seg_trainer.napari_plugin.layers.grids import check_same_grid
from napari_seg_trainer.napari_plugin.layers.planes import frame_count
from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.layer_choice import LayerChoice
from napari_seg_trainer.napari_plugin.parts.widgets import Section

WHOLE, NEAR, INSIDE, PAINTED = "whole image", "near the objects", "inside shapes", "where painted"
_MOST = 10_000
_QUICK = 2**26
"""Pixels of a layer that can be looked through with each movement of a brush."""


class AnnotatedPartSection(Section):
    """Folded at first, with what is chosen in its title; emits ``edited()``.

    Where labels were opened with a layer of the annotated part, that layer is chosen by itself.

    Parameters
    ----------
    viewer : Viewer
    """

    edited = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._labels: Labels | None = None
        self._part: AnnotatedPart | None = None
        self._decided: dict[object, str] = {}
        self._make_fields()
        self.which.changed.connect(self._chosen)  # before the form hears of it
        self.form = Form(self.which, self.margin, self.shapes, self.painted, self.add_layer)
        super().__init__("Annotated part", self.form.native)
        self.form.changed.connect(self._edited)
        self.add_layer.changed.connect(self._add)

    def _make_fields(self) -> None:
        self.which = ComboBox(
            name="which",
            label="Annotated",
            choices=[WHOLE, NEAR, INSIDE, PAINTED],
            tooltip="If only a part of the image is annotated, the rest is left out of training and scores. Otherwise "
            "objects without a label count as background.",
        )
        self.margin = SpinBox(
            name="margin",
            label="Margin (px)",
            value=10,
            min=1,
            max=_MOST,
            tooltip="How far around each object you are sure that there is no other object.",
        )
        self.shapes = LayerChoice(
            self._viewer,
            Shapes,
            name="shapes",
            label="Shapes",
            tooltip="Rectangles, ellipses or polygons around the parts in which every object is labelled.",
        )
        self.painted = LayerChoice(
            self._viewer,
            Labels,
            accepts=is_region,
            name="painted",
            label="Layer",
            tooltip="Paint with 1 where every object is labelled. Objects count that are in it by at least half.",
        )
        self.add_layer = PushButton(
            name="add_layer", text="Add a layer to paint", tooltip="Adds a layer in which you paint the annotated part."
        )

    def _edited(self, _value: Any) -> None:
        self.edited.emit()

    def _chosen(self, which: str) -> None:
        if self._labels is not None:
            self._decided[self._labels.unique_id] = which
            if which == NEAR:
                self.margin.value = usual_margin(self._viewer, self._labels)

    def _add(self) -> None:
        if self._labels is None:
            return
        layer = new_region(self._labels)
        self._viewer.add_layer(layer)
        layer.mode = "paint"
        layer.brush_size = max(10, min(layer.data.shape[-2:]) // 20)
        self.painted.reset_choices()
        self.painted.value = layer

    def choose_painted(self) -> None:
        """Choose the layer that was made for the labels."""
        region = None if self._labels is None else region_for(self._labels, self._viewer.layers)
        if self._labels is not None and region is not None:
            self._decided[self._labels.unique_id] = PAINTED
            with self.form.changed.blocked(), self.which.changed.blocked():
                self.which.value = PAINTED
                self.painted.reset_choices()
                self.painted.value = region

    def reset_choices(self) -> None:
        """Follow layers that came, went or were renamed."""
        for choice in (self.shapes, self.painted):
            choice.reset_choices()

    def follow(self, labels: Labels, deepest: Layer) -> None:
        """Find the annotated part of these labels, and show the fields that matter."""
        if labels.unique_id not in self._decided or labels is not self._labels:
            self._propose(labels)
        self._labels = labels
        which = self.which.value
        with self.form.changed.blocked():
            for field, choice in ((self.margin, NEAR), (self.shapes, INSIDE), (self.painted, PAINTED)):
                field.visible = which == choice
            self.add_layer.visible = which == PAINTED and not self.painted.choices
        self._part = None
        if which == NEAR:
            self._part = NearObjects(self.margin.value)
        elif which == INSIDE and self.shapes.value is not None:
            self._part = InsideShapes.of(self.shapes.value, labels, deepest)
        elif which == PAINTED and self.painted.value is not None:
            self._part = Painted(self.painted.value)

    def _propose(self, labels: Labels) -> None:
        """Choose what the user has decided, else the layer that was opened with the labels, else the whole image."""
        region = region_for(labels, self._viewer.layers)
        proposed = self._decided.get(labels.unique_id, WHOLE if region is None else PAINTED)
        with self.form.changed.blocked(), self.which.changed.blocked():
            self.which.value = proposed
            if region is not None and proposed == PAINTED:
                self.painted.reset_choices()
                self.painted.value = region

    def part(self) -> AnnotatedPart | None:
        """Return the annotated part, as of the last `follow`; None if it is the whole image."""
        return self._part

    def check(self, labels: Labels, deepest: Layer) -> str:
        """Say under the fields what is wrong with them, and return it; empty if nothing is."""
        reasons = {}
        if self.which.value == INSIDE:
            reasons["shapes"] = self._reason_of_shapes()
        elif self.which.value == PAINTED:
            reasons["painted"] = self._reason_of_painted(labels, deepest)
        self.form.show_reasons(reasons)
        return next(filter(None, reasons.values()), "")

    def _reason_of_shapes(self) -> str:
        if self.shapes.value is None:
            return "Add a Shapes layer, and draw around the annotated part."
        if isinstance(self._part, InsideShapes) and not self._part.polygons:
            name = self.shapes.value.name
            return f"Layer {name!r} has no rectangle, ellipse or polygon. Draw around the annotated part."
        return ""

    def _reason_of_painted(self, labels: Labels, deepest: Layer) -> str:
        layer = self.painted.value
        if layer is None:
            return "Add a layer, and paint the annotated part."
        try:
            check_same_grid(labels, [layer])
        except DataError as error:
            return str(error)
        if isinstance(layer.data, np.ndarray) and layer.data.size <= _QUICK and not layer.data.any():
            return f"Nothing is painted in layer {layer.name!r}. Paint the annotated part with 1."
        if frame_count(layer) not in {1, frame_count(deepest)}:
            return f"Layer {layer.name!r} has {frame_count(layer)} frames, the images have {frame_count(deepest)}."
        return ""

    def sum_up(self) -> None:
        """Show in the title what is chosen."""
        self.summarize(self.which.value)
