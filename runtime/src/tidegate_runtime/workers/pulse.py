"""Whether a front end gets to listen, and then still does anything.

One that hangs keeps its clients, and what it was told piles up; one that hangs as it starts is waited for.
"""

import asyncio
from collections.abc import Callable
from math import ceil
from typing import Final

LOOK_SECONDS: Final = 3.0
"""From one look to the next; one that has said nothing between two is asked something."""

QUESTIONS: Final = 10
"""So many in a row without a word: half a minute, which no request takes that a front end reads or writes."""

LEAST_START_SECONDS: Final = 60.0
EACH_START_SECONDS: Final = 5.0
"""A start takes a second or two of a core, nearly all for imports, and all front ends start at once, maybe on one core
beside a model that is warmed up; what they read may come from a disk that is slow at first."""


def start_seconds(front_ends: int) -> float:
    """How long one of so many front ends may take until it listens."""
    return LEAST_START_SECONDS + EACH_START_SECONDS * front_ends


class Pulse:
    """Looks from here on to `stop`, at a front end that starts."""

    def __init__(self, ask: Callable[[], None], hangs: Callable[[], None], starting_seconds: float) -> None:
        """`ask` asks what is soon answered; `hangs` is called once, and nothing after it.

        Until it listens it may take `starting_seconds`, to the next look.
        """
        self.heard = False
        """Set by whoever hears of the front end."""
        self.hung = ""
        """How it hung, in words, once it does."""
        self._ask = ask
        self._hangs = hangs
        self._starting_seconds = starting_seconds
        self._starting = ceil(starting_seconds / LOOK_SECONDS)
        """So many more looks it may take to start; 0 once it listens."""
        self._silent = 0
        self._next = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def listens(self) -> None:
        """The front end has started: from here on it is to answer."""
        self._starting = 0

    def stop(self) -> None:
        """No more. May be called again."""
        self._next.cancel()

    def _look(self) -> None:
        self.hung = self._hanging()
        if self.hung:
            self._hangs()
            return
        if self._silent:
            self._ask()
        self._next = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _hanging(self) -> str:
        """How, as of this look; "" if it doesn't."""
        # Looks are counted, not seconds: what came while this process itself stood still is read before the next one.
        if self._starting:
            # Whatever it says meanwhile: nobody is answered before it listens.
            self._starting -= 1
            return "" if self._starting else f"a start of more than {self._starting_seconds:.0f} s"
        self._silent = 0 if self.heard else self._silent + 1
        self.heard = False
        return f"a silence of {QUESTIONS * LOOK_SECONDS:.0f} s" if self._silent > QUESTIONS else ""
