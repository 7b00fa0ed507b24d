"""What stands where models would, as long as there is none."""

from napari import Viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_seg_trainer.napari_plugin.parts.docks import TRAIN, open_dock
from napari_seg_trainer.napari_plugin.parts.form import wrap


class NoModel(QWidget):
    """Says that the library is empty, with the way on.

    Parameters
    ----------
    viewer : Viewer
        Where the training is opened.
    text : str
        What is said.
    """

    def __init__(self, viewer: Viewer, text: str) -> None:
        super().__init__()
        self.button = QPushButton("Train a model")
        self.button.setToolTip("Open the dock that trains a model on your own images.")
        self.button.clicked.connect(lambda: open_dock(viewer, TRAIN))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(wrap(QLabel(text)))
        column.addWidget(self.button, alignment=Qt.AlignmentFlag.AlignLeft)
        self.hide()
