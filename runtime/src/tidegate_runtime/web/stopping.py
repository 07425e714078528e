"""What the signals asked for, and waiting for it."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable
from typing import Any, TypeVar

_T = TypeVar("_T")


class Stop:
    """What the signals asked for. SIGTERM drains, sent again or not; SIGINT, from a keyboard, cuts the drain short."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def listen(self) -> None:
        """Takes over both signals from here on."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.asked.set)
        loop.add_signal_handler(signal.SIGINT, self._hurry)

    async def unless_asked(self, *awaitables: Awaitable[_T]) -> _T | None:
        """What the first of them to end returns, or raises; None if the process was told to stop first."""
        waiting = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
        waited: set[asyncio.Future[Any]] = {*waiting, asyncio.ensure_future(self.asked.wait())}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        over = [future for future in waiting if future.done()]
        for future in waited:
            future.cancel()
        return over[0].result() if over else None

    async def drained(self, seconds: float) -> None:
        """Returns after so long, or once it is to be cut short."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.hurried.wait(), seconds)

    def _hurry(self) -> None:
        self.asked.set()
        self.hurried.set()
