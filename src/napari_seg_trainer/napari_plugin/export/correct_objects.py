"""Tools that correct one object at a time, by a click or a key."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels, Vectors
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QPushButton, QWidget

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.annotated_part import region_for
from napari_seg_trainer.napari_plugin.layers.grids import placement
from napari_seg_trainer.napari_plugin.layers.object_tools import ObjectTools
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours
from napari_seg_trainer.napari_plugin.parts.widgets import Section, in_column, push_button

ACCEPT, DELETE, SPLIT, JOIN, GROW, SHRINK = "Accept", "Delete", "Split", "Join", "Grow", "Shrink"
LINE = "split line"
_STILL = 4
"""Screen pixels by which the mouse may move in a click."""
_HOW = "Choose a tool and click an object, or point at an object and press the key."
_NOT_HERE = "These labels are not a NumPy array in 2D view, so objects cannot be corrected one by one."


@dataclass(frozen=True)
class _Tool:
    name: str
    key: str
    tip: str

    @property
    def shown_key(self) -> str:
        return self.key.replace("Shift-", "⇧")


TOOLS = (
    _Tool(ACCEPT, "A", "The object is right. It counts as annotated, with what surrounds it."),
    _Tool(DELETE, "D", "Delete the object."),
    _Tool(SPLIT, "S", "Draw a line across objects that belong apart."),
    _Tool(JOIN, "J", "Click two parts of one object, one after the other."),
    _Tool(GROW, "G", "Add one pixel on each side."),
    _Tool(SHRINK, "Shift-G", "Remove one pixel on each side."),
)
UNDO, REDO = "Control-Z", "Control-Shift-Z"


class CorrectObjects(Section):
    """The tools, which work while this is unfolded; napari's own work beside them.

    Emits ``marked()`` once only what was looked at counts as annotated.

    Parameters
    ----------
    viewer : Viewer
    """

    marked = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None
        self._tools: ObjectTools | None = None
        self._first = 0
        self._works = False
        self.buttons = {tool.name: self._button(tool) for tool in TOOLS}
        self.only_seen = QCheckBox("Only what I looked at counts")
        self.only_seen.setToolTip(
            "Objects that you accept, correct or draw count as annotated, with what surrounds them. The rest of the "
            "image is left out of training and scores."
        )
        self.only_seen.clicked.connect(self._mark)
        self.line = wrap(QLabel(_HOW))
        inside, grid = QWidget(), QWidget()
        rows = QGridLayout(grid)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(2)
        for place, button in enumerate(self.buttons.values()):
            rows.addWidget(button, place // 3, place % 3)
        in_column(inside, grid, self.only_seen, self.line)
        super().__init__("Correct objects", inside)
        self.toggled.connect(lambda _unfolded: self._follow())

    def _button(self, tool: _Tool) -> QPushButton:
        tip = f"{tool.tip} Key: {tool.key}, with the cursor over the object."
        button = push_button(f"{tool.name} ({tool.shown_key})", tip, partial(self._choose, tool.name))
        button.setAccessibleName(tool.name)
        button.setCheckable(True)
        return button

    @property
    def tool(self) -> str:
        """The name of the tool that a click uses; empty for none."""
        return next((name for name, button in self.buttons.items() if button.isChecked()), "")

    def follow(self, labels: Labels | None) -> None:
        """Work on these labels."""
        if labels is not self._layer:
            self._release()
            self._layer = labels
        self._follow()

    def _follow(self) -> None:
        layer, works = self._layer, self.isExpanded() and self._can_correct()
        if works and self._tools is None and layer is not None:
            self._bind(layer)
        elif not works and self._tools is not None:
            self._release()
        for button in self.buttons.values():
            button.setEnabled(works)
        self.only_seen.setEnabled(works)
        if works != self._works:
            self._works = works
            self._say(_HOW if works else "")
        if not works and self.isExpanded():
            self._say(_NOT_HERE)

    def _can_correct(self) -> bool:
        layer = self._layer
        if layer is None or layer.multiscale or not isinstance(layer.data, np.ndarray):
            return False
        dims = self._viewer.dims
        return dims.ndisplay == 2 and tuple(dims.order[-2:]) == (dims.ndim - 2, dims.ndim - 1)

    # what is tied to the layer

    def _bind(self, layer: Labels) -> None:
        self._tools = ObjectTools(self._viewer, layer)
        self._tools.marks = self.only_seen.isChecked() and region_for(layer, self._viewer.layers) is not None
        self.only_seen.setChecked(self._tools.marks)
        for tool in TOOLS:
            layer.bind_key(tool.key, partial(self._pressed, tool.name), overwrite=True)
        layer.bind_key(UNDO, lambda _layer: self._replay("undo"), overwrite=True)
        layer.bind_key(REDO, lambda _layer: self._replay("redo"), overwrite=True)
        layer.mouse_drag_callbacks.append(self._dragged)
        layer.events.mode.connect(self._mode_changed)

    def _release(self) -> None:
        if self._tools is not None:
            self._uncheck()
            self.leave()

    def leave(self) -> None:
        """Let go of the layer; also when the dock is gone."""
        tools, self._tools = self._tools, None
        if tools is None:
            return
        layer = tools.layer
        tools.release()
        for key in (*(tool.key for tool in TOOLS), UNDO, REDO):
            layer.bind_key(key, None)
        layer.mouse_drag_callbacks.remove(self._dragged)
        layer.events.mode.disconnect(self._mode_changed)

    def _mode_changed(self, _event: object) -> None:
        if self._tools is not None and self._tools.layer.mode != "pan_zoom":  # a tool of napari's own
            self._uncheck()

    def _uncheck(self) -> None:
        for button in self.buttons.values():
            button.setChecked(False)
        self._choose("", False)

    def _choose(self, name: str, checked: bool) -> None:
        self._first = 0
        for other, button in self.buttons.items():
            if other != name:
                button.setChecked(False)
        if self._tools is None:
            return
        if checked:
            self._viewer.layers.selection.active = self._tools.layer
            self._tools.layer.mode = "pan_zoom"
        # else the camera would move while a line is drawn
        self._tools.layer.mouse_pan = self.tool != SPLIT and self._tools.layer.mode == "pan_zoom"
        self._say(next((tool.tip for tool in TOOLS if tool.name == self.tool), _HOW))

    # what is done

    def _mark(self, wanted: bool) -> None:
        if self._tools is None:
            return
        if wanted:
            self._tools.begin_marking()
            self.marked.emit()
        else:
            self._tools.marks = False

    def _pressed(self, name: str, _layer: Labels) -> None:
        if name == SPLIT:
            self.buttons[SPLIT].click()
        else:
            self._do(name, self._viewer.cursor.position)

    def _replay(self, how: str) -> None:
        if self._tools is not None:
            getattr(self._tools, how)()
            self._first = 0

    def _do(self, name: str, position: Any) -> None:
        tools = self._tools
        if tools is None:
            return
        label = tools.label_at(position)
        if not label:
            self._first = 0
            self._say("There is no object here.")
            return
        acts: dict[str, Callable[[int], str]] = {
            ACCEPT: self._accept,
            DELETE: partial(_told, tools.delete, "Deleted object {}."),
            JOIN: self._join,
            GROW: partial(_told, tools.grow, "Added one pixel around object {}."),
            SHRINK: partial(_told, tools.shrink, "Removed one pixel around object {}."),
        }
        self._try(lambda: acts[name](label))

    def _try(self, act: Callable[[], str]) -> None:
        try:
            self._say(act())
        except DataError as error:
            self._say(str(error), failed=True)

    def _accept(self, label: int) -> str:
        assert self._tools is not None
        was = self._tools.marks
        self._tools.accept(label)
        if not was:
            self.only_seen.setChecked(True)
            self.marked.emit()
        return f"Accepted object {label}."

    def _join(self, label: int) -> str:
        assert self._tools is not None
        first, self._first = self._first, 0
        if not first:
            self._first = label
            return f"Now click the other part of object {label}."
        if first == label:
            return "Click two different objects."
        self._tools.join(first, label)
        return f"Joined object {label} with object {first}."

    def _split(self, points: list[Any]) -> str:
        assert self._tools is not None
        pieces = self._tools.split(self._tools.pixels_of(points))
        return f"Split into objects {', '.join(map(str, pieces))}."

    def _dragged(self, _layer: Labels, event: Any) -> Iterator[None]:
        name, began = self.tool, np.array(event.pos)
        if not name or event.button != 1 or self._tools is None:
            return
        points, moved, line = [event.position], 0.0, None
        yield
        while event.type == "mouse_move":
            points.append(event.position)
            moved = max(moved, float(np.abs(np.array(event.pos) - began).max()))
            if name == SPLIT:
                line = self._show_line(line, points)
            yield
        if line is not None and line in self._viewer.layers:
            self._viewer.layers.remove(line)
            self._viewer.layers.selection.active = self._layer
        if name == SPLIT:
            if moved > _STILL:
                self._try(lambda: self._split(points))
        elif moved <= _STILL:
            self._do(name, event.position)

    def _show_line(self, line: Vectors | None, points: list[Any]) -> Vectors:
        """Draw what the mouse has drawn so far."""
        assert self._tools is not None
        layer = self._tools.layer
        pixels = np.array([layer.world_to_data(point) for point in points])
        vectors = np.stack([pixels[:-1], np.diff(pixels, axis=0)], axis=1)
        if line is None:
            line = Vectors(
                vectors,
                name=LINE,
                edge_color=colours().warning,
                edge_width=1.0,
                vector_style="line",
                **placement(layer),
            )
            self._viewer.add_layer(line)
            self._viewer.layers.selection.active = layer
        else:
            line.data = vectors
        return line

    def _say(self, text: str, *, failed: bool = False) -> None:
        self.line.setText(coloured(text, colours().error) if failed else text)


def _told(act: Callable[[int], None], words: str, label: int) -> str:
    act(label)
    return words.format(label)
