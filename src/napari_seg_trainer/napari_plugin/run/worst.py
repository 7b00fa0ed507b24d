"""The validation images on which a model does worst, as small pictures of what is missed and what is false."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QToolButton, QWidget

from napari_seg_trainer.annotations.region import counted_only
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.evaluation.matching import match_pairs
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import in_column
from napari_seg_trainer.runs.previews import MODEL, Previews
from napari_seg_trainer.runs.run import Run

SIDE = 76
"""Of a picture, pixels: three of them side by side fit into the narrowest dock."""
MISSED, FALSE = (230, 159, 0), (204, 121, 167)
"""Colours that colour-blind people can distinguish (Okabe and Ito 2008): orange and reddish purple."""
_LEGEND = "Worst images: orange objects are missed, purple ones are false. Click one to correct it."
_OPAQUE = 0.65


@dataclass(frozen=True, eq=False)
class Picture:
    """A validation image, small; without pixels where none were kept."""

    name: str
    pixels: NDArray[np.uint8] | None


class WorstImages(QWidget):
    """A row of pictures to click on, hidden where all images are good; emits ``chosen(str)`` with an image's name."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0
        self.buttons: list[QToolButton] = []
        self.legend = wrap(QLabel(_LEGEND))
        self._row = QHBoxLayout()
        self._row.addStretch(1)
        in_column(self, self.legend, self._row)
        self.hide()

    def clear(self) -> None:
        """Show none."""
        self._asked += 1
        for button in self.buttons:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []
        self.hide()

    def show_images(self, run: Run, names: Sequence[str]) -> None:
        """Show these images of a run, with what its model finds in them; read in the background."""
        self.clear()
        if names:
            asked = self._asked
            in_background(self, partial(pictures, run, names), partial(self._show, asked))

    def _show(self, asked: int, found: Sequence[Picture]) -> None:
        if asked != self._asked:
            return
        for picture in found:
            button = QToolButton()
            button.setAccessibleName(f"Correct {picture.name}")
            button.setToolTip(f"Opens '{picture.name}' with the model's segmentation, to correct and export it.")
            button.clicked.connect(partial(self._choose, picture.name))
            button.setFixedSize(SIDE + 8, SIDE + 8)
            if picture.pixels is None:
                button.setText("no picture")
            else:
                button.setIcon(QIcon(QPixmap.fromImage(_image(picture.pixels))))
                button.setIconSize(QSize(SIDE, SIDE))
                button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
            self._row.insertWidget(len(self.buttons), button)
            self.buttons.append(button)
        self.show()

    def _choose(self, name: str, _checked: bool = False) -> None:
        self.chosen.emit(name)


def pictures(run: Run, names: Sequence[str]) -> list[Picture]:
    """Return pictures of a run's validation images, with the objects that its model misses or makes up."""
    kept, found = Previews(run), []
    for name in names:
        try:
            image, truth = kept.image(name)
            pixels = draw(image, truth, kept.prediction(name, MODEL))
        except RunError:  # not all images are kept
            pixels = None
        found.append(Picture(name, pixels))
    return found


def draw(
    image: NDArray[np.float32], truth: NDArray[np.int32], found: NDArray[np.int32], side: int = SIDE
) -> NDArray[np.uint8]:
    """Return a small picture (YXC, red, green and blue), with what is missed and what is false in colour.

    Parameters
    ----------
    image : NDArray of float32, axes CYX
        Normalized.
    truth, found : NDArray of int32, axes YX
        What lies where the truth is -1 is not shown.
    side : int
        Of the picture's longer side, pixels.
    """
    from PIL import Image

    truth, found = counted_only(truth, found)
    pairs = match_pairs(truth, found)
    missed = (truth > 0) & ~np.isin(truth, pairs[:, 0])
    false = (found > 0) & ~np.isin(found, pairs[:, 1])
    factor = side / max(truth.shape)
    size = max(1, round(truth.shape[1] * factor)), max(1, round(truth.shape[0] * factor))

    def small(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        shrunk = Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(size, Image.Resampling.BOX)
        return np.asarray(shrunk, np.float32)

    grey = small(np.clip(np.nan_to_num(image.mean(axis=0)), 0, 1))
    picture = np.repeat(grey[..., None], 3, axis=2) * 255
    for mask, colour in ((missed, MISSED), (false, FALSE)):
        opaque = _OPAQUE * small(mask.astype(np.float32))[..., None]
        picture = (1 - opaque) * picture + opaque * np.array(colour, np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _image(pixels: NDArray[np.uint8]) -> QImage:
    height, width, _ = pixels.shape
    # a copy, as Qt does not keep the bytes
    return QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
