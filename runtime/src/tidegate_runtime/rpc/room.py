"""How much of requests streams may have under way, in bytes, until their answers are sent.

What is read of a stream is read to be worked on beside what was read before. That is bounded by number, but a request
may be of a few bytes or of megabytes.
"""

import asyncio
from collections import deque
from typing import Final

LEAST_BYTES: Final = 64 * 1024 * 1024


def room_bytes(max_message_bytes: int) -> int:
    """The sum where messages have at most so many bytes: two of the largest, and not less than 64 MiB."""
    return max(LEAST_BYTES, 2 * max_message_bytes)


class Room:
    """A sum of bytes. Who asks first has it first; what is more than the sum has it all, alone."""

    __slots__ = ("_held", "_total", "_waiting")

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> int:
        """Bytes that are taken."""
        return self._held

    async def enter(self, size: int) -> None:
        """Returns once there is room for so many bytes, which are taken then."""
        if not self._waiting and self._fits(size):
            self._held += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (size, turn)
        self._waiting.append(waiting)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave(size)
            elif waiting in self._waiting:
                self._waiting.remove(waiting)
                self._let_in()
            raise

    def leave(self, size: int) -> None:
        """So many bytes are free again."""
        self._held -= size
        self._let_in()

    def _fits(self, size: int) -> bool:
        return not self._held or self._held + size <= self._total

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._held += size
                turn.set_result(None)


class UnderWay:
    """One stream's requests in a room. Their answers come in their order."""

    __slots__ = ("_room", "_sizes")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._sizes: deque[int] = deque()

    async def begin(self, size: int) -> None:
        """Returns once there is room for the next request, of so many bytes."""
        await self._room.enter(size)
        self._sizes.append(size)

    def measured(self, size: int) -> None:
        """The latest has so many bytes, not more than there was room made for."""
        more, self._sizes[-1] = self._sizes[-1] - size, size
        if more:
            self._room.leave(more)

    def answered(self) -> None:
        """The oldest one's answer is sent."""
        if self._sizes:
            self._room.leave(self._sizes.popleft())

    def close(self) -> None:
        """Nobody works on any of them any more."""
        self._room.leave(sum(self._sizes))
        self._sizes.clear()
