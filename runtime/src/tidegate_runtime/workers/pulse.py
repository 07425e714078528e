"""Whether a front end still does anything: one that hangs keeps its clients, and what it was told piles up."""

import asyncio
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 3.0
"""From one look to the next; one that has said nothing between two is asked something."""

QUESTIONS: Final = 10
"""So many in a row without a word: half a minute, which no request takes that a front end reads or writes."""


class Pulse:
    """Looks from `begin` to `stop`."""

    def __init__(self, ask: Callable[[], None], hangs: Callable[[], None]) -> None:
        """`ask` asks what is soon answered; `hangs` is called once, and nothing after it."""
        self.heard = False
        """Set by whoever hears of the front end."""
        self._ask = ask
        self._hangs = hangs
        self._silent = 0
        self._next: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """From here on; may be called again."""
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """No more. May be called again."""
        if self._next is not None:
            self._next.cancel()

    def _look(self) -> None:
        # Looks are counted, not seconds: what came while this process itself stood still is read before the next one.
        self._silent = 0 if self.heard else self._silent + 1
        self.heard = False
        if self._silent > QUESTIONS:
            self._hangs()
            return
        if self._silent:
            self._ask()
        self._next = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
