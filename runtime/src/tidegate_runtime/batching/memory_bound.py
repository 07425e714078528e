"""How many rows of a shape a batch may have, as far as the device's memory goes: halved by failures, and tried again.

What is free changes: another model is unloaded, a request that needed much for its data is gone. That can only be found
out by a batch that may fail, which costs its requests the time of a run; so it is tried seldom, and after each failure
half as often, as a sender does that meets a full network (Jacobson 1988).
"""

from math import inf
from typing import Final

FIRST_SECONDS: Final = 60.0
LONGEST_SECONDS: Final = 3600.0


class MemoryBound:
    """The bound on one shape's batches, `rows`; all times are in the clock's seconds."""

    __slots__ = ("_most", "_pause", "_tried", "_tries_at", "rows")

    def __init__(self, most: int) -> None:
        """`most` is what it is without any failure."""
        self.rows = most
        self._most = most
        self._pause = FIRST_SECONDS / 2
        self._tried = True
        """Whether there was no failure yet since batches may be as large as they are."""
        self._tries_at = inf

    def failed(self, rows: int, now: float) -> None:
        """A batch of so many rows, of several requests, was too much."""
        self.rows = max(1, min(self.rows, rows // 2))
        if self._tried:  # Halves that fail, too, are the same failure.
            self._pause = min(2 * self._pause, LONGEST_SECONDS)
            self._tried = False
        self._tries_at = now + self._pause

    def grown(self, now: float) -> bool:
        """Whether the bound is twice what it was from here on: there was no failure for long enough."""
        if now < self._tries_at:
            return False
        self.rows = min(2 * self.rows, self._most)
        self._tried = True
        self._tries_at = now + self._pause if self.rows < self._most else inf
        return True
