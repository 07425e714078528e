"""How far clients may go beyond a stream's window with messages that are larger than it. Pure.

A stream's window bounds what is held of it. A message that doesn't fit in needs more before it can be taken, so its
stream is lent more as it comes: all streams of a connection together a fixed sum, and the one that has borrowed longest
as much as it needs, until the message is taken: where it is the whole request, once that has ended. So one message can
always be completed, and of requests that no method has yet a connection holds no more than the sum, one message and the
windows, all of it as it came: packed messages are unpacked as they are taken.
"""

from collections.abc import Callable

Grant = Callable[[int, int], None]
"""Lets a stream send that many bytes more."""


class Credit:
    """One connection's."""

    __slots__ = ("_asked", "_grant", "_lent", "_sum", "_total")

    def __init__(self, total: int, grant: Grant) -> None:
        self._total = total
        self._grant = grant
        self._sum = 0
        self._lent: dict[int, int] = {}
        self._asked: dict[int, int] = {}

    def borrow(self, stream: int, size: int) -> None:
        """Grants `size`, at once or when others have given back."""
        self._asked[stream] = self._asked.get(stream, 0) + size
        self._serve(stream)

    def give_back(self, stream: int) -> int:
        """The stream's message is taken, or the stream is gone. What it was lent in all."""
        self._asked.pop(stream, None)
        lent = self._lent.pop(stream, 0)
        self._sum -= lent
        for waiting in list(self._asked):
            self._serve(waiting)
        return lent

    def _serve(self, stream: int) -> None:
        size = self._asked[stream]
        if self._sum + size <= self._total or next(iter(self._lent), stream) == stream:
            del self._asked[stream]
            self._lent[stream] = self._lent.get(stream, 0) + size
            self._sum += size
            self._grant(stream, size)
