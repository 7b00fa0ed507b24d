"""Labelled fields, each with room below it for what is wrong with its value."""

from collections.abc import Mapping
from typing import Any

from magicgui.widgets import Container, Label
from magicgui.widgets.bases import ValueWidget, Widget
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_seg_trainer.napari_plugin.parts.docks import docked_of
from napari_seg_trainer.napari_plugin.parts.theme import coloured, coloured_html, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import required


class Form(Container[Widget]):
    """A column of labelled magicgui widgets.

    A field's `name` is how code calls it, its `label` and `tooltip` are what a user reads.

    Parameters
    ----------
    *fields : Widget
        In their order, which is also that of the Tab key.
    """

    def __init__(self, *fields: Widget) -> None:
        super().__init__(layout="vertical", labels=True)
        self.margins = (0, 0, 0, 0)
        self._reasons: dict[str, str] = {}
        self._lines: dict[str, Label] = {}
        for field in fields:
            self.add(field)
        on_theme_change(self.native, self.paint)
        self.native.installEventFilter(_Aligner(self))

    def add(self, field: Widget, *, after: str = "", first: bool = False) -> None:
        """Append a field, or insert it below another, or above all."""
        line = Label(name=f"_reason_{field.name}", label=" ", visible=False)  # an empty label would become the name
        wrap(line.native)
        place = 0 if first else self.index(self._lines[after]) + 1 if after else len(self)
        self._lines[field.name] = line
        self.insert(place, field)
        self.insert(place + 1, line)

    def drop(self, name: str) -> None:
        """Remove a field for good."""
        for widget in (self[name], self._lines.pop(name)):
            row = widget.native.parentWidget()  # with the label
            self.remove(widget)
            row.deleteLater()

    @property
    def reasons(self) -> dict[str, str]:
        """What is wrong with which field, by the field's name."""
        return dict(self._reasons)

    def show_reasons(self, reasons: Mapping[str, str]) -> None:
        """Show under each field what is wrong with it; fields that are not named are right.

        In red once the user has begun to use the dock: until then it is what is left to do.
        """
        self._reasons = {name: text for name, text in reasons.items() if name in self._lines and text}
        self.paint()

    def field(self, name: str) -> ValueWidget[Any]:
        """Return the field of this name."""
        return self[name]  # type: ignore[return-value]

    def align_labels(self) -> None:
        """Give all labels the width of the widest, as it is in napari's font."""
        layouts = [row.layout() for row in self._rows()]  # a check box has none, and no label beside it
        labels = [required(required(layout.itemAt(0)).widget()) for layout in layouts if layout is not None]
        for label in labels:
            label.setMinimumWidth(max(other.sizeHint().width() for other in labels))

    def _rows(self) -> list[QWidget]:
        layout = self.native.layout()
        items = [required(layout.itemAt(place)).widget() for place in range(layout.count())]
        return [item for item in items if item is not None]  # napari adds a stretch to a form that is a dock by itself

    def paint(self) -> None:
        """Show the reasons in the colours of the theme."""
        dock = docked_of(self.native)
        colour = colours().error if dock is None or dock.is_touched else colours().text
        for name, line in self._lines.items():
            reason = self._reasons.get(name, "")
            line.value = coloured(reason, colour) if reason else ""
            line.visible = bool(reason)


class _Aligner(QObject):
    """Has a form align its labels as soon as napari's style has set their font, and follow the dock that it is in."""

    def __init__(self, form: Form) -> None:
        super().__init__(form.native)
        self._form = form
        self._dock: QWidget | None = None

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() in {QEvent.Type.Show, QEvent.Type.StyleChange}:
            self._form.align_labels()
            self._follow_dock()
        return False

    def _follow_dock(self) -> None:
        dock = docked_of(self._form.native)
        if dock is not None and dock is not self._dock:
            self._dock = dock
            dock.touched.connect(self._paint)
            self._paint()

    def _paint(self) -> None:
        self._form.paint()


class _PageLink(QLabel):
    def __init__(self, text: str, address: str) -> None:
        super().__init__()
        self._text, self._address = text, address
        self.setOpenExternalLinks(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.setToolTip(f"Opens {address} in the browser.")
        on_theme_change(self, self._paint)
        self._paint()

    def _paint(self) -> None:
        self.setText(coloured_html(f'<a href="{self._address}">{self._text}</a>', colours().text))


def page_link(text: str, address: str) -> QLabel:
    """Return a line that opens a page of the documentation."""
    return _PageLink(text, address)


def wrap(label: QLabel) -> QLabel:
    """Let a label's text break into lines rather than widen the dock, and be selected with the mouse."""
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.AutoText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label
