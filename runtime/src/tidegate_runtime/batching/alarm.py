"""One timer for the nearest of many deadlines: a timer for each would cost more than the request's own scheduling."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

EARLY_SECONDS: Final = 0.0005
"""What is this close to its deadline goes with what the timer was set for; loops count in milliseconds."""


class Alarm:
    """Calls `on_due` about when the time it was set for comes, no earlier than `EARLY_SECONDS` before.

    A deadline that is met doesn't move it: it then goes off for nothing, once in the longest time a request may take,
    and is set anew for the earliest deadline there is then.
    """

    def __init__(self, on_due: Callable[[], None]) -> None:
        self.at = inf
        """What it is set for, by the clock; infinity if it isn't."""
        self._on_due = on_due
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float, now: float) -> None:
        """Sets it for `at`, and for nothing if that is infinity."""
        self.clear()
        if at < inf:
            self.at = at
            # At least a millisecond, or a loop that fires early would spin until the time has come.
            delay = max(at - now, 2 * EARLY_SECONDS)
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_due)

    def advance(self, at: float, now: float) -> None:
        """Sets it for `at`, unless it goes off before that."""
        if at < self.at:
            self.set(at, now)

    def clear(self) -> None:
        """Sets it for nothing."""
        self.at = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
