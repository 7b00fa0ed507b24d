"""Asks whether the frames of an image are its channels."""

from collections.abc import Sequence
from html import escape
from weakref import WeakSet

from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.file_channels import HiddenChannels, hidden_channels, show_channels
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured_html, colours

_FRAMES: WeakSet[Image] = WeakSet()
"""Layers of which the user has said, in any dock, that their frames are frames."""


class ChannelsQuestion(QLabel):
    """A line about an image whose channels napari has opened as frames, with links to answer; hidden without one.

    Parameters
    ----------
    viewer : ViewerModel
        Where the channels are shown.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._asked: tuple[Image, HiddenChannels] | None = None
        wrap(self)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.linkActivated.connect(self._answer)
        self.hide()

    def ask(self, layers: Sequence[Image]) -> None:
        """Ask about the first of these layers of which it is not clear."""
        found = [(layer, hidden_channels(layer)) for layer in layers if layer not in _FRAMES]
        self._asked = next(((layer, hidden) for layer, hidden in found if hidden is not None), None)
        text = _question(*self._asked) if self._asked else ""
        self.setText(coloured_html(text, colours().warning))
        self.setVisible(bool(text))

    def _answer(self, link: str) -> None:
        assert self._asked is not None, "the question is hidden then"
        layer, hidden = self._asked
        if link == "frames":
            _FRAMES.add(layer)
            self.ask([])
            return
        try:
            show_channels(self._viewer, layer, hidden)
        except DataError as error:
            show_error(str(error))


def _question(layer: Image, hidden: HiddenChannels) -> str:
    count, name = len(hidden.names), escape(layer.name)
    named = "" if hidden.names[0].startswith("channel ") else f" ({escape(', '.join(hidden.names))})"
    told = (
        f"The file of '{name}' holds {count} channels{named}, which are open as frames."
        if hidden.sure
        else f"'{name}' has {count} frames. Are these channels?"
    )
    return f'{told} <a href="channels">Show them as channels</a> · <a href="frames">They are frames</a>'
