"""How many requests a tenant may send: a token bucket. Pure."""

from typing import Self


class Bucket:
    """Lets in, in any window of t seconds, at most `burst` + `rate` · t requests; `burst` is at least 1.

    Times are in seconds, by a clock that doesn't go backwards; where it does, nothing is added.
    """

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float, level: float | None = None) -> None:
        """`rate`, above 0, is a second's requests. It is full unless `level` says what is left of its burst."""
        self._rate = rate
        self._burst = burst
        self._level = burst if level is None else min(level, burst)
        self._at = now

    def take(self, now: float) -> float:
        """0 for a request that is let in, which is counted; else in how many seconds the next one may be."""
        self._fill(now)
        if self._level < 1:
            return (1 - self._level) / self._rate
        self._level -= 1
        return 0.0

    def changed(self, rate: float, burst: float, now: float) -> Self:
        """One of another rate and burst, with what is left in this one: a change gives nobody a burst anew."""
        self._fill(now)
        return type(self)(rate, burst, now, self._level)

    def _fill(self, now: float) -> None:
        passed = now - self._at
        if passed > 0:
            self._level = min(self._burst, self._level + passed * self._rate)
            self._at = now
