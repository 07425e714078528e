"""The unpacking of bodies that have come whole: step by step, and long ones one at a time."""

import asyncio
from collections.abc import Hashable
from typing import Final
from weakref import WeakKeyDictionary

from tidegate_runtime.in_turn import InTurn
from tidegate_runtime.protocol.compression import Encoding, Inflater

PORTION_BYTES: Final = 64 * 1024
"""How much of a packed body one step is given; what it leaves is copied, so not all at once."""

_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, InTurn]] = WeakKeyDictionary()


async def unpacked(packed: bytearray, encoding: Encoding, limit: int, client: Hashable = None) -> bytearray:
    """The body, of at most `limit` bytes. Raises `BodyTooLarge` or `Malformed`, as `Inflater` does.

    A body that takes more than a step waits for its `client`'s turn: a thousandth of it may have been sent, so what
    grows at the same time would be bounded by nothing that clients have to spend.
    """
    inflater = Inflater(encoding, limit)
    if not inflater.feed(bytes(packed[:PORTION_BYTES])) and len(packed) <= PORTION_BYTES:
        return inflater.end()
    # While it waits it holds no more than what was sent; a step done over is cheap.
    del inflater
    async with _turns.setdefault(asyncio.get_running_loop(), InTurn()).turn(client):
        inflater = Inflater(encoding, limit)
        for start in range(0, len(packed), PORTION_BYTES):
            rest = bytes(packed[start : start + PORTION_BYTES])
            while rest:
                rest = inflater.feed(rest)
                await asyncio.sleep(0)
        return inflater.end()
