"""What a front end has counted, as it last told the hub."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from tidegate_runtime.workers import tally
from tidegate_runtime.workers.tally import Counts

COUNT_SECONDS: Final = 1.0
"""How long a front end may take to say what it has counted; then what it said last is taken."""


class Counting:
    """Of one front end; it is asked by the number of the question."""

    def __init__(self, ask: Callable[[int], None]) -> None:
        self.counts: Counts = {}
        self.spans_lost = 0
        self._ask = ask
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._number = 0

    async def renew(self) -> None:
        """Brings both up to date, if the front end answers in time."""
        self._number = number = (self._number % 0xFFFFFFFF) + 1
        self._asked[number] = asked = asyncio.get_running_loop().create_future()
        self._ask(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked, COUNT_SECONDS)
        self._asked.pop(number, None)

    def told(self, number: int, content: bytes) -> None:
        """The answer to that question; one that nobody asked counts, too. Raises `ValueError` for what is none."""
        self.counts, self.spans_lost = tally.decode(content)
        self.untold(number)

    def untold(self, number: int) -> None:
        """There is no answer to that question: what was said last stays."""
        asked = self._asked.get(number)
        if asked is not None and not asked.done():
            asked.set_result(None)

    def end(self) -> None:
        """The front end is gone, and nobody waits for it."""
        for number in self._asked:
            self.untold(number)
