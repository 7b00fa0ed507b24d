"""How long a training will still take."""

import statistics

_WEIGHT = 0.25
"""Part of the difference by which a new estimate moves the one before."""
_RECENT = 9
"""Epochs that the estimate is made from."""


class TimeLeft:
    """An estimate that does not jump.

    The first epoch after a start does not count: in it, frameworks compile and memory is filled. Times are seconds of
    one clock.

    Parameters
    ----------
    epochs : int
        How many there will be in all.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._seconds: list[float] = []
        self._is_first = True
        self._end: float | None = None

    def end_epoch(self, epoch: int, seconds: float, now: float) -> float | None:
        """Return the seconds left after an epoch that took so long; None as long as that is being measured."""
        if not self._is_first:
            self._seconds.append(seconds)
        self._is_first = False
        return self._estimate(self._epochs - epoch, now)

    def end_step(self, epoch: int, part: float, now: float) -> float | None:
        """Return the same in the middle of an epoch, of which such a part is done."""
        return self._estimate(self._epochs - epoch + 1 - part, now)

    def _estimate(self, epochs_left: float, now: float) -> float | None:
        if not self._seconds:
            return None
        end = now + epochs_left * statistics.median(self._seconds[-_RECENT:])
        self._end = end if self._end is None else self._end + _WEIGHT * (end - self._end)
        return max(0.0, self._end - now) if epochs_left else 0.0
