"""A node's own clock: it drifts, is stepped by an operator or by NTP, and jumps."""

PARTS: int = 1_000_000
"""Drift is counted in parts per million, as data sheets of oscillators do."""


class SkewedClock:
    """Reads true time wrongly. A step may be negative; who needs a time that never goes back (a
    ledger) takes care of that itself, as it has to in production."""

    def __init__(self, epoch: int, offset: int = 0, drift: int = 0) -> None:
        self._epoch = epoch
        self._offset = offset
        self._drift = drift
        self._since = 0

    def read(self, now: int) -> int:
        """The clock's time at true time `now`."""
        return self._epoch + now + self._offset + self._drift * (now - self._since) // PARTS

    def step(self, by: int) -> None:
        """From now on it is `by` later than it would have been."""
        self._offset += by

    def set_drift(self, parts: int, now: int) -> None:
        """From now on it runs fast (or slow) by so many parts per million."""
        self._offset += self._drift * (now - self._since) // PARTS
        self._drift, self._since = parts, now
