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
    epochs : int, optional
        How many there will be in all, as far as is known; it may change.
    """

    def __init__(self, epochs: int | None) -> None:
        self.epochs = epochs
        self._seconds: list[float] = []
        self._is_first = True
        self._end: float | None = None
        self._told_for: int | None = None

    def end_epoch(self, seconds: float) -> None:
        """Take into account that an epoch took so long."""
        if not self._is_first:
            self._seconds.append(seconds)
        self._is_first = False

    def estimate(self, done: float, now: float) -> float | None:
        """Return the seconds left; None while too little is known.

        Parameters
        ----------
        done : float
            Epochs that are over, and the part that is done of the one that is not.
        now : float
        """
        if not self._seconds or self.epochs is None:
            return None
        epochs_left = self.epochs - done
        end = now + epochs_left * statistics.median(self._seconds[-_RECENT:])
        is_new = self._end is None or self.epochs != self._told_for
        self._end = end if is_new or self._end is None else self._end + _WEIGHT * (end - self._end)
        self._told_for = self.epochs
        return max(0.0, self._end - now) if epochs_left else 0.0
