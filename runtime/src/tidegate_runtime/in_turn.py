"""One at a time, in turn by who they are: one who asks for much keeps others waiting little."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from tidegate_runtime.batching.isolation import host_of


class InTurn:
    """Of those who wait hosts take turns, and of one host's its connections; of a connection who came first is first.

    So whoever asks for one thing waits for that of at most one of each other host, beside what is in progress, as long
    as it is alone on its own.
    """

    def __init__(self) -> None:
        self.taken = False
        """Whether somebody is at it."""
        self._waiting: dict[Hashable, dict[Hashable, deque[asyncio.Future[None]]]] = {}

    @asynccontextmanager
    async def turn(self, client: Hashable) -> AsyncIterator[None]:
        """Begins once it is the turn of a client, a connection's other end; the next one's begins with its end."""
        await self.enter(client)
        try:
            yield
        finally:
            self.leave()

    async def enter(self, client: Hashable) -> None:
        """Returns once it is the client's turn, which lasts until `leave`."""
        if not self.taken:
            self.taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(host_of(client), {}).setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(client, turn)
            else:
                self.leave()
            raise

    def leave(self) -> None:
        """It is over: the next one's turn."""
        while self._waiting:
            turn = self._next()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken = False

    def _next(self) -> asyncio.Future[None]:
        """Who has waited longest of whose turn it is; that host and that connection come last from here on."""
        host, connections = next(iter(self._waiting.items()))
        client, turns = next(iter(connections.items()))
        turn = turns.popleft()
        del connections[client], self._waiting[host]
        if turns:
            connections[client] = turns
        if connections:
            self._waiting[host] = connections
        return turn

    def _forget(self, client: Hashable, turn: asyncio.Future[None]) -> None:
        host = host_of(client)
        connections = self._waiting.get(host, {})
        turns = connections.get(client, deque())
        if turn in turns:
            turns.remove(turn)
            if not turns:
                del connections[client]
            if not connections:
                del self._waiting[host]
