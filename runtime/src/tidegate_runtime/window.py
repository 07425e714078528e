"""Sums over the last seconds. Pure."""

from typing import Final

SLOTS: Final = 10


class SlidingSum:
    """The sum of what was added in the last `seconds`, in tenths of that: the oldest tenth leaves as a whole."""

    __slots__ = ("_slot_seconds", "_slots", "_turn", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._slot_seconds = seconds / SLOTS
        self._slots = [0.0] * SLOTS
        self._turn = 0

    def add(self, value: float, now: float) -> None:
        """Adds `value` at `now`, which never goes back."""
        self._forward(now)
        self._slots[self._turn % SLOTS] += value

    def total(self, now: float) -> float:
        """The sum as of `now`."""
        self._forward(now)
        return sum(self._slots)

    def _forward(self, now: float) -> None:
        turn = int(now / self._slot_seconds)
        if turn > self._turn:
            for passed in range(max(self._turn + 1, turn - SLOTS + 1), turn + 1):
                self._slots[passed % SLOTS] = 0.0
            self._turn = turn
