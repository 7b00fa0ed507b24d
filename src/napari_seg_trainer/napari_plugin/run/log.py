"""What a run has said, and what its process has printed."""

import os
from collections.abc import Iterable

from qtpy.QtGui import QTextCursor
from qtpy.QtWidgets import QPlainTextEdit, QStackedWidget, QVBoxLayout, QWidget

from napari_seg_trainer.files import open_file
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.widgets import push_button
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import Event, Log

END_BYTES = 20_000
HEIGHT = 140
"""Of a text, in pixels."""


class RunLog(QWidget):
    """The messages of a run; a button shows the end of its ``log.txt``.

    Attributes
    ----------
    warnings : int
        How many of the messages are warnings.
    """

    def __init__(self) -> None:
        super().__init__()
        self.warnings = 0
        self._run: Run | None = None
        self.messages = _text("No messages.")
        self.printed = _text("The log is empty.")
        self.printed.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.button = push_button("", "The end of log.txt, which has the details of errors.", self._change)
        self._texts = QStackedWidget()
        self._texts.setFixedHeight(HEIGHT)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for text in (self.messages, self.printed):
            self._texts.addWidget(text)
        layout.addWidget(self._texts)
        layout.addWidget(self.button)
        self.show_run(None)

    def show_run(self, run: Run | None) -> None:
        """Begin anew, for this run."""
        self._run, self.warnings = run, 0
        self.messages.clear()
        self._show_messages()

    def add(self, events: Iterable[Event]) -> None:
        """Append the messages among these events."""
        for event in events:
            if isinstance(event, Log):
                self.warnings += event.level == "warning"
                sign = "⚠ " if event.level == "warning" else ""
                self.messages.appendPlainText(f"{event.time.astimezone():%H:%M} {sign}{event.message}")

    def show_printed(self) -> None:
        """Show the end of what the process has printed so far."""
        run = self._run
        if run is not None:
            in_background(self, lambda: _end_of_log(run), self._show, self._show)

    def _change(self) -> None:
        if self._texts.currentWidget() is self.printed:
            self._show_messages()
        else:
            self.show_printed()

    def _show_messages(self) -> None:
        self._texts.setCurrentWidget(self.messages)
        self.button.setText("Show log")

    def _show(self, text: str) -> None:
        self.printed.setPlainText(text)
        self._texts.setCurrentWidget(self.printed)
        self.button.setText("Show messages")
        self.printed.moveCursor(QTextCursor.MoveOperation.End)
        self.printed.moveCursor(QTextCursor.MoveOperation.StartOfLine)
        self.printed.ensureCursorVisible()


def _end_of_log(run: Run) -> str:
    try:
        with open_file(run.folder / "log.txt") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - END_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _text(empty: str) -> QPlainTextEdit:
    text = QPlainTextEdit()
    text.setReadOnly(True)
    text.setPlaceholderText(empty)
    text.setMaximumBlockCount(2000)
    text.setTabChangesFocus(True)
    return text
