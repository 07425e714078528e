"""Regular work paced by the loop's clock, so that a virtual one can drive it."""

import asyncio
import math
from collections.abc import AsyncIterator


async def ticks(period: float) -> AsyncIterator[float]:
    """Yield the loop's time now and every `period` seconds from then on, without drift; missed ticks are skipped."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        yield due
        due = next_tick(due, period, loop.time())
        await until(due)


def next_tick(due: float, period: float, now: float) -> float:
    """The first tick after `due`, whole periods later, that isn't already past at `now`."""
    return due + period * max(1, math.ceil((now - due) / period))


async def until(moment: float) -> None:
    """Return at a time of the loop's clock."""
    loop = asyncio.get_running_loop()
    reached = loop.create_future()
    timer = loop.call_at(moment, reached.set_result, None)
    try:
        await reached
    finally:
        timer.cancel()
