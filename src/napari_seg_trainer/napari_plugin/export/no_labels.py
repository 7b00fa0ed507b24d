"""What stands where the form would, as long as there is no Labels layer."""

import numpy as np
from napari import Viewer
from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_seg_trainer.napari_plugin.layers.adding import add_in_turns
from napari_seg_trainer.napari_plugin.layers.grids import placement, shape_of
from napari_seg_trainer.napari_plugin.layers.names import LABELS_OF
from napari_seg_trainer.napari_plugin.layers.samples import sample_layers
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, push_button

NO_IMAGE = "Open an image, or a sample image with labels, to begin."
NO_LABELS = "Add a Labels layer, and paint each object with a number of its own."


class NoLabels(QWidget):
    """Says what is lacking, with a button that brings it; emits ``failed(str)`` with one line for the user.

    Parameters
    ----------
    viewer : Viewer
    """

    failed = Signal(str)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.text = wrap(QLabel())
        self.add_button = push_button(
            "Add labels", "Adds an empty Labels layer of the size of the image, ready to paint.", self._add
        )
        self.sample_button = push_button(
            "Open a sample", "Opens an image of nuclei with labels, to try the export.", self._open_sample
        )
        left = Qt.AlignmentFlag.AlignLeft
        in_column(self, self.text, (self.add_button, left), (self.sample_button, left))

    def follow(self) -> None:
        """Follow the viewer's layers."""
        has_image = self._image() is not None
        self.text.setText(NO_LABELS if has_image else NO_IMAGE)
        self.add_button.setVisible(has_image)
        self.sample_button.setVisible(not has_image)

    def _image(self) -> Image | None:
        """Return the active image, or else the uppermost one."""
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        active = self._viewer.layers.selection.active
        return active if isinstance(active, Image) else images[-1] if images else None

    def _add(self) -> None:
        image = self._image()
        assert image is not None, "else the button is hidden"
        shape = shape_of(image)
        try:
            data = np.zeros(shape, np.int32)
        except MemoryError:
            self.failed.emit(f"Labels for image {image.name!r} need more memory than there is. Crop the image first.")
            return
        labels = self._viewer.add_labels(data, name=f"{image.name}{LABELS_OF}", **placement(image))
        labels.mode = "paint"

    def _open_sample(self) -> None:
        self.sample_button.hide()  # until there is an image, or none again
        add_in_turns(self._viewer, sample_layers())
