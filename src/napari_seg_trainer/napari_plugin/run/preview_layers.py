"""An image, its truth and what the network finds in it, as layers that come and go together. Knows no Qt."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_seg_trainer.annotations.region import IGNORED
from napari_seg_trainer.napari_plugin.layers.adding import add_in_turns
from napari_seg_trainer.napari_plugin.layers.stacks import channel_look
from napari_seg_trainer.runs.previews import PreviewIndex

if TYPE_CHECKING:
    from collections.abc import Callable

TRUTH, PREDICTION = "truth", "prediction"
TRUTH_COLOUR, PREDICTION_COLOUR = "#56b4e9", "#e69f00"
"""Distinguishable for colour-blind people (Okabe and Ito 2008)."""
UNKNOWN_COLOUR = "#999999"
CONTOUR = 2
"""In pixels of the image."""
_LIMITS = (0.5, 99.8)


@dataclass(frozen=True, eq=False)
class Picture:
    """What is to be seen of one image besides the prediction.

    Attributes
    ----------
    image : NDArray of float32, axes CYX
    truth : NDArray of int32, axes YX
        -1 where the image is not annotated.
    limits : tuple of (float, float)
        Of each channel, what is shown black and what white.
    """

    image: NDArray[np.float32]
    truth: NDArray[np.int32]
    limits: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, image: NDArray[np.float32], truth: NDArray[np.int32]) -> "Picture":
        """Find the limits of each channel of an image (CYX) with its truth (YX)."""
        return cls(image, truth, tuple(_limits(channel) for channel in image))


class PreviewLayers:
    """Layers of one preview in a viewer; those that the user deletes do not come back.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    before_removal : callable
        Called before each layer is removed.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.before_removal: Callable[[], None] = lambda: None
        self._stop_adding: Callable[[], None] = lambda: None
        self._layers: dict[str | int, Layer] = {}
        self._picture: Picture | None = None

    @property
    def are_gone(self) -> bool:
        """Whether there were some, and the user has deleted them all."""
        return bool(self._layers) and not any(layer in self._viewer.layers for layer in self._layers.values())

    def show(self, index: PreviewIndex, picture: Picture, found: NDArray[np.int32]) -> None:
        """Show an image, its truth and what was found in it (YX), in the layers that there are, or in new ones."""
        if not self._layers:
            self._add(index, picture, found)
            return
        before, self._picture = self._picture, picture
        if picture is not before:
            self._change_picture(picture)
        self._put(PREDICTION, found)
        if before is not None and before.truth.shape != picture.truth.shape and self._are_alone():
            self._viewer.reset_view()

    def remove(self) -> None:
        """Take out of the viewer those that are still there."""
        self._stop_adding()
        layers, self._layers, self._picture = list(self._layers.values()), {}, None
        for layer in layers:
            if layer in self._viewer.layers:
                self.before_removal()
                self._viewer.layers.remove(layer)

    def _add(self, index: PreviewIndex, picture: Picture, found: NDArray[np.int32]) -> None:
        grid: dict[str, Any] = {"axis_labels": ("y", "x")}
        if index.pixel_size is not None:
            grid |= {"scale": (index.pixel_size,) * 2, "units": ("um",) * 2}
        for place, name in enumerate(index.channels):
            look = channel_look(index.channels, place) | {"contrast_limits": picture.limits[place]}
            self._layers[place] = Image(picture.image[place], name=name, **grid, **look)
        for name, labels, colour in (
            (TRUTH, picture.truth, TRUTH_COLOUR),
            (PREDICTION, found, PREDICTION_COLOUR),
        ):
            self._layers[name] = _contours(labels, name, colour, grid)
        self._picture = picture
        # whoever paints in a layer goes on painting in it
        self._stop_adding = add_in_turns(self._viewer, self._layers.values(), select=False)

    def _change_picture(self, picture: Picture) -> None:
        for place, channel in enumerate(picture.image):
            layer = self._layers.get(place)
            if isinstance(layer, Image):
                layer.data = channel
                layer.contrast_limits = picture.limits[place]
        self._put(TRUTH, picture.truth)

    def _put(self, name: str, labels: NDArray[np.int32]) -> None:
        layer = self._layers[name]
        if isinstance(layer, Labels):  # also one that is still to be added
            layer.data = labels
            layer.editable = False  # napari forgets it with new data

    def _are_alone(self) -> bool:
        """Whether there is nothing else in the viewer that somebody may be looking at."""
        return all(layer in self._layers.values() for layer in self._viewer.layers)


def _contours(labels: NDArray[np.int32], name: str, colour: str, grid: dict[str, Any]) -> Labels:
    # a line around what is annotated
    colours = DirectLabelColormap(color_dict={None: colour, 0: "transparent", IGNORED: UNKNOWN_COLOUR})
    layer = Labels(labels, name=name, colormap=colours, opacity=1.0, **grid)
    layer.contour = CONTOUR
    layer.editable = False
    return layer


def _limits(channel: NDArray[np.float32]) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(channel, _LIMITS))
    if low < high:
        return low, high
    return low, max(float(channel.max()), low + 1.0)
