"""A part of a form that folds away."""

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget
from superqt import QCollapsible


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
        super().__init__(title)
        self.setDuration(0)
        self._title = title
        # napari's style makes a button lower than the text in it where the layout has no room
        self.toggleButton().setMinimumHeight(self.fontMetrics().height() + 10)
        self.toggleButton().setToolTip("Click to unfold or fold.")
        # a long summary is cut off rather than widen the dock
        self.toggleButton().setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(content)
        inside.installEventFilter(self)
        self.setContent(inside)
        self.collapse(animate=False)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Give the content more or less room as well when parts of it come or go."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest and self.isExpanded():
            self.content().setMaximumHeight(self.content().sizeHint().height() + 10)
        return bool(super().eventFilter(watched, event))  # type: ignore[arg-type]

    def summarize(self, text: str) -> None:
        """Show in the title, in brackets, what is set inside."""
        self.setText(f"{self._title} ({text})" if text else self._title)
