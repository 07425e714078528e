"""Ends a run that takes too long or that nobody waits for, and says so when it can't be ended."""

import asyncio
from collections.abc import Callable
from typing import Final

STUCK_SECONDS: Final = 1.0
"""How long a run may go on after it was told to end."""


class Watchdog:
    """Watches one run at a time. `interrupt` tells it to end; `on_stuck` is called if it hasn't a second later."""

    def __init__(self, interrupt: Callable[[], None], on_stuck: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._on_stuck = on_stuck
        self._timer: asyncio.TimerHandle | None = None
        self._ending = False

    def begin(self, seconds: float) -> None:
        """A run begins that may take so long."""
        self._ending = False
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end)

    def end(self) -> None:
        """Ends the run in progress, if there is one. May be called again."""
        if self._timer is None or self._ending:
            return
        self._ending = True
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(STUCK_SECONDS, self._on_stuck)
        self._interrupt()

    def returned(self) -> None:
        """The run is over, one way or the other."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
