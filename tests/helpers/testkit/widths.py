"""What of a dock has less room than it needs."""

import re
from collections.abc import Sequence

from napari.settings import get_settings
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QDockWidget,
    QLabel,
    QMainWindow,
    QRadioButton,
    QScrollArea,
    QSizePolicy,
    QWidget,
)

from napari_seg_trainer.napari_plugin.parts.docks import window_of
from napari_seg_trainer.napari_plugin.parts.panel import NARROWEST

_TAGS = re.compile(r"<[^>]*>")


def narrow(widget: QWidget) -> None:
    """Make the dock of a widget as narrow as it can be."""
    window, dock = window_of(widget), widget.parentWidget()
    while not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    assert isinstance(window, QMainWindow)
    for _ in range(2):
        window.resizeDocks([dock], [1], Qt.Orientation.Horizontal)
        QApplication.processEvents()


def misfits(widget: QWidget, themes: Sequence[str] = ("dark",)) -> list[str]:
    """Return what is cut off in a dock that is as narrow as it can be, in these themes."""
    found = []
    for theme in themes:
        if get_settings().appearance.theme != theme:
            get_settings().appearance.theme = theme
            QApplication.processEvents()
        found += [f"{theme}: {text}" for text in _misfits(widget)]
    return found


def _misfits(widget: QWidget) -> list[str]:
    found = []
    for area in widget.findChildren(QScrollArea):
        if not area.isVisible():
            continue
        room = area.viewport().width()
        if room < NARROWEST:
            found.append(f"there are {room} pixels")
        needed = area.widget().minimumSizeHint().width()
        if needed > NARROWEST:
            found.append(f"{needed} pixels are needed by {_widest(area.widget())}")
    for button in widget.findChildren(QAbstractButton):
        if button.isVisible() and button.text():
            found += _too_narrow(button, button.text(), _needed(button))
    for label in widget.findChildren(QLabel):
        if label.isVisible() and label.text():
            words = _TAGS.sub("", label.text()).split() if label.wordWrap() else []
            longest = max((label.fontMetrics().horizontalAdvance(word) for word in words), default=0)
            # a path or a name may be longer than any dock
            needed = min(longest, 100) if label.wordWrap() else label.sizeHint().width()
            found += _too_narrow(label, label.text(), needed)
    for child in widget.findChildren(QWidget):
        if child.isVisible() and child.parentWidget() is not None and child.window() is widget.window():
            parent = child.parentWidget()
            right = child.mapTo(parent, QPoint(child.width(), 0)).x()
            if (
                right > parent.width() + 1
                and not isinstance(parent, QScrollArea)
                and parent.objectName() != "qt_scrollarea_viewport"
            ):
                found.append(f"{type(child).__name__} {_words(child)!r} ends {right - parent.width()} pixels outside")
    return found


def _needed(button: QAbstractButton) -> int:
    if button.sizePolicy().horizontalPolicy() == QSizePolicy.Policy.Ignored:  # a long summary is cut by intention
        return 0
    if isinstance(button, QCheckBox | QRadioButton):
        return button.sizeHint().width()
    return button.fontMetrics().horizontalAdvance(button.text().replace("&", "")) + 4


def _too_narrow(widget: QWidget, text: str, needed: int) -> list[str]:
    have = widget.width()
    return [f"{_TAGS.sub('', text)!r} needs {needed} pixels and has {have}"] if needed > have else []


def _widest(widget: QWidget) -> str:
    """Return what makes a widget wide: the way to it."""
    children = [child for child in widget.findChildren(QWidget) if child.isVisibleTo(widget)]
    wide = [child for child in children if child.minimumSizeHint().width() > NARROWEST - 10]
    return " > ".join(
        f"{type(child).__name__} {_words(child)!r} ({child.minimumSizeHint().width()})" for child in wide[-4:]
    )


def _words(widget: QWidget) -> str:
    text = getattr(widget, "text", None)
    return str(text())[:40] if callable(text) else widget.objectName()[:40]
