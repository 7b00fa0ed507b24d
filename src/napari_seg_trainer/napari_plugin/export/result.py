"""What an export shows while it writes, and after."""

import time
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_seg_trainer.annotations.findings import Finding
from napari_seg_trainer.napari_plugin.export.texts import progress
from napari_seg_trainer.napari_plugin.layers.finding_list import FindingList
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, push_button


class ExportProgress(QWidget):
    """How many images are written; hidden while nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self._began = 0.0
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self.line = QLabel()
        in_column(self, self._bar, self.line)
        self.hide()

    def start(self, items: int) -> None:
        """Begin to count."""
        self._began = time.monotonic()
        self._bar.setRange(0, items)
        self.advance(0)
        self.show()

    def advance(self, done: int) -> None:
        """Show that `done` images are written."""
        self._bar.setValue(done)
        self.line.setText(progress(done, self._bar.maximum(), time.monotonic() - self._began))


class ExportResult(QWidget):
    """What was written, what the data doctor says of it, and the way on; hidden before the first export.

    Emits ``undo_wanted()``, ``train_wanted(Path)`` with the annotation folder, ``train_again_wanted(str, Path)`` with
    the model to start from besides, and ``chosen(Finding)``.
    """

    undo_wanted = Signal()
    train_wanted = Signal(object)
    train_again_wanted = Signal(str, object)
    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._folder: Path | None = None
        self._text = self._problem = self._model = ""
        self.line, self._doctor = wrap(QLabel()), wrap(QLabel())
        self.train = push_button(
            "Train on this", "Open the training form with this annotation folder.", self._ask_for_training
        )
        self.train_again = push_button(
            "Train again",
            "Open the training form with this model's training data and this folder, to train further from it.",
            lambda: self.train_again_wanted.emit(self._model, self._folder),
        )
        self.undo = push_button("Undo", "Restore the replaced version. The current version is kept in its place.")
        self.undo.clicked.connect(self.undo_wanted)
        self.findings = FindingList()
        self.findings.chosen.connect(self.chosen)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.addWidget(self.line)
        for button in (self.undo, self.train_again, self.train):
            column.addWidget(button, alignment=Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._doctor)
        column.addWidget(self.findings)
        self.hide()
        on_theme_change(self, self._paint)

    def show_outcome(
        self, text: str, folder: Path | None, problem: str = "", model: str = "", *, replaced: bool = False
    ) -> None:
        """Say what was written, and what went wrong.

        Parameters
        ----------
        text, problem : str
        folder : Path, optional
            If there is something in it to train on.
        model : str
            That has found these labels.
        replaced : bool
            Whether something can be brought back.
        """
        self.undo.setVisible(replaced)
        self._model = model
        self.train_again.setText(f"Train again from '{model}'")
        self.train_again.setVisible(folder is not None and bool(model))
        self._text, self._problem, self._folder = text, problem, folder
        self.line.setToolTip(str(folder) if folder else "")
        self.train.setVisible(folder is not None)
        self._paint()
        self.show()

    def show_problem(self, problem: str) -> None:
        """Say what went wrong since."""
        self._problem = problem
        self._paint()

    def show_findings(self, findings: Sequence[Finding], *, done: bool) -> None:
        """Show findings, worst first; once `done`, say it too if there is none."""
        self.findings.set_findings(sorted(findings, key=lambda finding: -finding.severity))
        self._doctor.setText("The data check found no problems.")
        self._doctor.setVisible(done and not findings)

    def _ask_for_training(self) -> None:
        self.train_wanted.emit(self._folder)

    def _paint(self) -> None:
        problem = coloured(self._problem, colours().error) if self._problem else ""
        self.line.setText(" ".join(filter(None, (coloured(self._text, colours().text), problem))))
