"""What an engine may do besides: say how far it is in an image that it computes in tiles."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class TellsTiles(Protocol):
    """What a `Predictor` may have besides, so that a large image shows progress.

    Attributes
    ----------
    on_tile : callable, optional
        Set by whoever waits for a prediction. Where it is set, `predict` calls it with how many tiles are done, and how
        many there are.
    """

    on_tile: Callable[[int, int], object] | None
