"""What napari prepares for the first layers of a session, done in a thread before somebody waits for it."""

import logging

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.napari_plugin.parts.background import in_background

_log = logging.getLogger(__name__)


class _State:
    is_done = False


def warm_up(owner: QWidget) -> None:
    """Make layers that nobody sees, once in a process: a second of imports and compiling is over then."""
    if not _State.is_done:
        _State.is_done = True
        in_background(
            owner, _make_layers, failed=lambda problem: _log.warning("layers cannot be prepared: %s", problem)
        )


def _make_layers() -> None:
    few = np.zeros((2, 2), np.int32)
    Image(few.astype(np.float32))
    Labels(few)
    Labels(few, colormap=DirectLabelColormap(color_dict={None: "transparent", 0: "transparent"}))
