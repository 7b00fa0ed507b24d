"""Which axes images, models and engines have."""

from typing import Literal

Axes = Literal["YX", "ZYX"]
"""Of labels, and of each channel of an image. Everything that this version trains and segments is YX."""

PLANE: Axes = "YX"
