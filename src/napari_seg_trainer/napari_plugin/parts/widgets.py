"""Small helpers for widgets: buttons, rows and columns, the Tab key, drop-downs, questions, folding sections, times."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLayout,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

_T = TypeVar("_T")
_Box = TypeVar("_Box", QVBoxLayout, QHBoxLayout)
Part = QWidget | QLayout | int | tuple[QWidget, Qt.AlignmentFlag | int]
"""What is laid out: a widget, by itself or with its alignment or stretch; a layout; or as much stretch."""


def small_button(sign: str, name: str, tooltip: str, clicked: Callable[[], object] | None = None) -> QToolButton:
    """Return a button that shows a sign, and whose `name` screen readers say."""
    button = QToolButton()
    button.setText(sign)
    button.setAccessibleName(name)
    button.setToolTip(tooltip)
    if clicked is not None:
        button.clicked.connect(clicked)
    return button


def shorten(edit: Any, what: str) -> None:
    """Have the button of magicgui's `FileEdit` be narrow, and say `what` it chooses, such as "a folder"."""
    edit.choose_btn.text = "…"
    edit.choose_btn.native.setMaximumWidth(28)
    edit.choose_btn.native.setAccessibleName(f"Choose {what}")
    edit.choose_btn.tooltip = f"Choose {what}."


def push_button(text: str, tooltip: str, clicked: Callable[[], object] | None = None) -> QPushButton:
    """Return a button that calls `clicked`."""
    button = QPushButton(text)
    button.setToolTip(tooltip)
    if clicked is not None:
        button.clicked.connect(clicked)
    return button


def in_column(owner: QWidget | None, *parts: Part, top: int = 0, spacing: int | None = None) -> QVBoxLayout:
    """Lay out parts below each other in `owner`, without margins but the `top` one, and return the layout."""
    return _laid_out(QVBoxLayout(), owner, parts, top, spacing)


def in_row(owner: QWidget | None, *parts: Part, spacing: int | None = None) -> QHBoxLayout:
    """Lay out parts beside each other in `owner`, without margins, and return the layout."""
    return _laid_out(QHBoxLayout(), owner, parts, 0, spacing)


def _laid_out(layout: _Box, owner: QWidget | None, parts: Sequence[Part], top: int, spacing: int | None) -> _Box:
    if owner is not None:
        owner.setLayout(layout)
        layout.setContentsMargins(0, top, 0, 0)
    if spacing is not None:
        layout.setSpacing(spacing)
    for part in parts:
        if isinstance(part, int):
            layout.addStretch(part)
        elif isinstance(part, QLayout):
            layout.addLayout(part)
        elif isinstance(part, QWidget):
            layout.addWidget(part)
        elif isinstance(part[1], Qt.AlignmentFlag):
            layout.addWidget(part[0], alignment=part[1])
        else:
            layout.addWidget(part[0], part[1])
    return layout


def tab_through(stops: Sequence[QWidget], *, before: QWidget) -> None:
    """Have the Tab key go through `stops` in their order, and then on to `before`.

    Qt puts a widget that is made late at the end of the whole window's order.
    """
    last = before.previousInFocusChain()
    # Qt passes over a request that names a widget without focus
    while last is not None and (last in stops or last.focusPolicy() == Qt.FocusPolicy.NoFocus):
        last = last.previousInFocusChain()
    for stop in stops:
        QWidget.setTabOrder(last, stop)
        last = stop


def tab_last(stops: Sequence[QWidget], *, of: QWidget) -> None:
    """Have the Tab key come to `stops`, in their order, after all else that is in a widget."""
    last, at = None, stops[0].nextInFocusChain()
    while at is not None and at is not stops[0]:
        # a text that can be selected takes the focus from the mouse only
        if of.isAncestorOf(at) and at not in stops and at.focusPolicy() & Qt.FocusPolicy.TabFocus:
            last = at
        at = at.nextInFocusChain()
    for stop in stops:
        QWidget.setTabOrder(last, stop)
        last = stop


def clock(seconds: float) -> str:
    """Return a time such as ``4:12`` or ``1:04:12``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def required(value: _T | None) -> _T:
    """Return what by Qt's type hints may be None, and is not where this is called."""
    assert value is not None
    return value


def follow(owner: QWidget, emitter: Any, callback: Callable[[Any], None]) -> None:
    """Call `callback` with each event of one of napari's emitters, or group of them, while `owner` lives."""

    def tell(event: Any = None) -> None:
        callback(event)

    def leave(_gone: object = None) -> None:
        emitter.disconnect(tell)

    emitter.connect(tell)
    owner.destroyed.connect(leave)


def narrow(box: QComboBox) -> QComboBox:
    """Let a drop-down be narrower than its longest choice, and the wheel scroll the dock rather than choose."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(4)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    pass_wheel(box)
    return box


def pass_wheel(widget: QWidget) -> None:
    """Let the wheel scroll the dock rather than change a value."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # not by the wheel
    widget.installEventFilter(_WheelPasser(widget))


class _WheelPasser(QObject):
    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        event.ignore()  # it goes to the parent
        return True


def ask(parent: QWidget, question: str, verb: str, agreed: Callable[[], None]) -> QMessageBox:
    """Ask, without blocking the viewer's event loop; `agreed` is called if the user clicks on `verb`."""
    return ask_which(parent, question, {verb: agreed})


def ask_which(parent: QWidget, question: str, answers: Mapping[str, Callable[[], None]]) -> QMessageBox:
    """As `ask`, with several verbs to choose from, and what each of them does."""
    box = QMessageBox(QMessageBox.Icon.Question, "Please confirm", question, parent=parent)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    buttons = {box.addButton(verb, QMessageBox.ButtonRole.AcceptRole): do for verb, do in answers.items()}
    back = box.addButton("Go back", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(back)
    box.setEscapeButton(back)

    def clicked(button: object) -> None:
        for answer, do in buttons.items():
            if button is answer:
                do()

    box.buttonClicked.connect(clicked)
    box.open()
    return box


class Section(QCollapsible):
    """A title to click on, and what it hides; folded at first.

    Parameters
    ----------
    title : str
        What is inside.
    content : QWidget
        What unfolds.
    """

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__(title, expandedIcon=QIcon(), collapsedIcon=QIcon())
        self.setDuration(0)
        required(self.layout()).setContentsMargins(2, 2, 2, 2)
        self._title, self._summary = title, ""
        self.toggleButton().setAccessibleName(title)
        # napari's style makes a button lower than the text in it where the layout has no room
        self.toggleButton().setMinimumHeight(self.fontMetrics().height() + 10)
        self.toggleButton().setToolTip("Click to expand or collapse.")
        # a long summary is cut off rather than widen the dock
        self.toggleButton().setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        inside = QWidget()
        in_column(inside, content)
        inside.installEventFilter(self)
        self.setContent(inside)
        self.toggled.connect(self._turn)
        self.collapse(animate=False)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Give the content more or less room as well when parts of it come or go."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest and self.isExpanded():
            self.content().setMaximumHeight(self.content().sizeHint().height() + 10)
        return bool(super().eventFilter(watched, event))  # type: ignore[arg-type]

    def summarize(self, text: str) -> None:
        """Show in the title, in brackets, what is set inside."""
        self._summary = text
        self._entitle()

    def text(self) -> str:
        """Return the title, with the summary, without the sign for what a click does."""
        return f"{self._title} ({self._summary})" if self._summary else self._title

    def _turn(self, unfolded: bool) -> None:
        # else the Tab key would go through what nobody sees
        self.content().setVisible(unfolded)
        self._entitle()

    def _entitle(self) -> None:
        # superqt draws icons in a colour of its own, which dark themes do not show
        self.setText(f"{'▾' if self.isExpanded() else '▸'} {self.text()}")
