"""How much streams may have under way, in bytes: requests until they are answered, then answers until they are sent.

What is read of a stream is read to be worked on beside what was read before. That is bounded by number, but a request,
and its answer, may be of a few bytes or of megabytes.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

LEAST_BYTES: Final = 64 * 1024 * 1024

UNKNOWN_ANSWERS: Final = 64
"""Answers that there is room for while nothing is known of their size."""

Made = Callable[[int, int], None]
"""Told that the answer to a stream's request of that number, from 0, is made, and how many bytes it has."""


def room_bytes(max_message_bytes: int) -> int:
    """The sum where messages have at most so many bytes: two of the largest, and not less than 64 MiB."""
    return max(LEAST_BYTES, 2 * max_message_bytes)


class Room:
    """A sum of bytes. Who asks first has it first; what is more than the sum has it all, alone."""

    __slots__ = ("_held", "_waiting", "total")

    def __init__(self, total: int) -> None:
        self.total = total
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
        """So many bytes are free again; of less than none, so many more are taken, whether or not they fit in."""
        self._held -= size
        self._let_in()

    def _fits(self, size: int) -> bool:
        return not self._held or self._held + size <= self.total

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._held += size
                turn.set_result(None)


class UnderWay:
    """One stream's requests in a room, and their answers, which are sent in the order of the requests.

    How large an answer gets isn't known before it is made. Until then it is taken for as large as the latest one made,
    or half as large as what that was taken for, if that is more: a client that reads nothing would have large ones made
    for requests of a few bytes. What is under way when it shows how large they are is answered nevertheless.
    """

    __slots__ = ("_expected", "_room", "_sent", "_sizes")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._sizes: deque[int] = deque()
        self._sent = 0
        self._expected = room.total // UNKNOWN_ANSWERS

    async def begin(self, size: int) -> None:
        """Returns once there is room for the next request, of so many bytes."""
        size = max(size, self._expected)
        await self._room.enter(size)
        self._sizes.append(size)

    def measured(self, size: int) -> None:
        """The latest has so many bytes, not more than there was room made for."""
        self._resize(-1, max(size, min(self._expected, self._sizes[-1])))

    def made(self, number: int, size: int) -> None:
        """As `Made` says."""
        place = number - self._sent
        if 0 <= place < len(self._sizes):
            self._expected = max(size, self._expected // 2)
            self._resize(place, size)

    def answered(self) -> None:
        """The oldest one's answer is sent."""
        if self._sizes:
            self._sent += 1
            self._room.leave(self._sizes.popleft())

    def close(self) -> None:
        """Nobody works on any of them any more."""
        self._room.leave(sum(self._sizes))
        self._sizes.clear()

    def _resize(self, place: int, size: int) -> None:
        before, self._sizes[place] = self._sizes[place], size
        if before != size:
            self._room.leave(before - size)
