"""The frame of every dock: a column that scrolls, and below it what is always in sight."""

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import qdebounced

from napari_seg_trainer.napari_plugin.parts.docks import Docked
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import in_row, push_button, required, tab_last

NARROWEST = 280
"""Width in pixels at which all that is inside a dock can still be read and used, beside a scroll bar."""
_SCROLL_BAR = 20


class Panel(Docked):
    """A column of widgets that scrolls, with the main button below it, always in sight.

    Parameters
    ----------
    verb : str
        On the main button.
    tooltip : str
        Of the main button.

    Attributes
    ----------
    button : QPushButton
        The main button.
    """

    def __init__(self, verb: str, tooltip: str) -> None:
        super().__init__()
        self.setMinimumWidth(NARROWEST + _SCROLL_BAR)
        self._reason, self._is_urgent = "", False
        self.button = push_button(verb, tooltip)
        self._reason_line = wrap(QLabel())
        self._column = QVBoxLayout()
        self._column.setContentsMargins(4, 4, 4, 4)
        self._column.addStretch(1)
        self._above, self._in_sight = QVBoxLayout(), QVBoxLayout()
        self._above.setContentsMargins(4, 0, 4, 0)
        self._in_sight.setContentsMargins(4, 0, 4, 0)
        self._buttons = in_row(None, self.button)
        self._arrange()
        self._scroll_soon = qdebounced(lambda widget: self._area.ensureWidgetVisible(widget, 0, 0), 0, parent=self)
        self.allow()
        on_theme_change(self, self._paint)
        self.touched.connect(self._paint)

    def add(self, widget: QWidget) -> None:
        """Append a widget to the column that scrolls."""
        self._column.insertWidget(self._column.count() - 1, widget)

    def add_above(self, widget: QWidget) -> None:
        """Append a low widget above the column, where it is always in sight."""
        self._above.addWidget(widget)

    def add_in_sight(self, widget: QWidget) -> None:
        """Append a low widget between the column and the main button, where it is always in sight."""
        self._in_sight.addWidget(widget)

    def scroll_to(self, widget: QWidget) -> None:
        """Bring a widget of the column into sight, as soon as it has its place there."""
        self._scroll_soon(widget)

    def add_beside(self, widget: QWidget) -> None:
        """Append a small widget to the row of the main button."""
        self._buttons.addWidget(widget)

    def allow(self) -> None:
        """Enable the main button."""
        self._reason, self._is_urgent = "", False
        self.button.setEnabled(True)
        self._paint()

    def refuse(self, reason: str, *, urgent: bool = False) -> None:
        """Disable the main button and say why: in red once the user has begun, or where it is `urgent`."""
        self._reason, self._is_urgent = reason, urgent
        self.button.setEnabled(False)
        self._paint()

    @property
    def reason(self) -> str:
        """Why the main button is disabled; empty if it is not."""
        return self._reason

    def showEvent(self, event: QShowEvent | None) -> None:
        """Let the Tab key come to the main button last, as the eye does."""
        super().showEvent(event)
        row = [required(self._buttons.itemAt(place)).widget() for place in range(self._buttons.count())]
        tab_last([widget for widget in row if widget is not None], of=self)

    def _arrange(self) -> None:
        inside = QWidget()
        inside.setLayout(self._column)
        self._area = area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        area.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 4)
        layout.addLayout(self._above)
        layout.addWidget(area)
        layout.addLayout(self._in_sight)
        layout.addWidget(self._reason_line)
        layout.addLayout(self._buttons)

    def _paint(self) -> None:
        colour = colours().error if self.is_touched or self._is_urgent else colours().text
        self._reason_line.setText(coloured(self._reason, colour) if self._reason else "")
        self._reason_line.setVisible(bool(self._reason))
