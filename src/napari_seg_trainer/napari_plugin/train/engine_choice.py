"""Which kind of network is trained."""

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QApplication,
    QButtonGroup,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.engines.registry import check_installed, missing
from napari_seg_trainer.errors import EngineError
from napari_seg_trainer.napari_plugin.parts.widgets import in_row, push_button
from napari_seg_trainer.napari_plugin.train.which_engine import WhichEngine


class EngineChoice(QWidget):
    """A radio button for each engine, what each is good for, and how to install what the chosen one lacks.

    Emits ``changed()``.

    Parameters
    ----------
    specs : mapping of str to EngineSpec
        All engines that are known.
    """

    changed = Signal()

    def __init__(self, specs: Mapping[str, EngineSpec]) -> None:
        super().__init__()
        self._specs = list(specs.values())
        self.buttons = {spec.id: QRadioButton(spec.title) for spec in self._specs}
        self.which = WhichEngine(specs)
        self.which_button = QPushButton("Which?")
        self.which_button.setCheckable(True)
        self.which_button.setToolTip("Compare what each engine is good for, and get a suggestion.")
        self.copy_button = push_button("Copy the command", "Copy the command, to paste it into a terminal.", self._copy)
        self._group = QButtonGroup(self)
        self._arrange()
        ready = next((spec for spec in self._specs if not missing(spec)), self._specs[0])
        self.buttons[ready.id].setChecked(True)
        self._group.buttonClicked.connect(self._chosen)
        self.which_button.toggled.connect(self.which.setVisible)
        self.which.chosen.connect(self._take)
        self.which.hide()
        self._show_install()

    def spec(self) -> EngineSpec:
        """Return the chosen engine's."""
        return next(spec for spec in self._specs if self.buttons[spec.id].isChecked())

    def set_value(self, engine: str) -> None:
        """Choose the engine with this id, which must be known."""
        self.buttons[engine].setChecked(True)
        self._show_install()

    def reason(self) -> str:
        """Return what the chosen engine lacks, and which command installs it; empty if it is ready."""
        try:
            check_installed(self.spec())
        except EngineError as error:
            return str(error)
        return ""

    def _arrange(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for place, spec in enumerate(self._specs):
            button = self.buttons[spec.id]
            button.setToolTip(spec.good_for)
            self._group.addButton(button)
            line = in_row(None, button, 1)
            if place == 0:
                line.addWidget(self.which_button)
            layout.addLayout(line)
        self.copy_button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        layout.addWidget(self.which)
        layout.addWidget(self.copy_button)

    def _chosen(self) -> None:
        self._show_install()
        self.changed.emit()

    def _take(self, engine: str) -> None:
        self.set_value(engine)
        self.which_button.setChecked(False)
        self.changed.emit()

    def _show_install(self) -> None:
        spec = self.spec()
        self.copy_button.setVisible(bool(spec.install and missing(spec)))

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.spec().install)
