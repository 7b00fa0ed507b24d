"""What stands where models would, as long as there is none."""

from napari import Viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_seg_trainer.napari_plugin.parts.docks import TRAIN, open_dock
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, push_button


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
        self.button = push_button(
            "Train a model",
            "Open the Train dock to train a model on your own images.",
            lambda: open_dock(viewer, TRAIN),
        )
        in_column(self, wrap(QLabel(text)), (self.button, Qt.AlignmentFlag.AlignLeft))
        self.hide()
