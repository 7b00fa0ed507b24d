"""What to do where an engine is not installed."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QWidget

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, push_button, required


class InstallHint(QWidget):
    """The command that installs an engine, with a button that copies it; hidden while nothing is lacking."""

    def __init__(self) -> None:
        super().__init__()
        self._command = ""
        self.text = wrap(QLabel())
        self.button = push_button("Copy the command", "Copy the command, to paste it into a terminal.", self._copy)
        in_column(self, self.text, (self.button, Qt.AlignmentFlag.AlignLeft))
        self.hide()

    def show_missing(self, spec: EngineSpec) -> None:
        """Say how to install an engine."""
        self._command = spec.install
        way = (
            "run this in a terminal, then start napari again:"
            if spec.install
            else "install it as its developers describe."
        )
        self.text.setText(f"To use this model, {way}\n{spec.install}".strip())
        self.button.setVisible(bool(spec.install))
        self.show()

    def _copy(self) -> None:
        required(QApplication.clipboard()).setText(self._command)
