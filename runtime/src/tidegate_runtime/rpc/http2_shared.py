"""What the HTTP/2 connections of one server have in common, and which there are."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from tidegate_nghttp2 import Scratch
from tidegate_runtime.in_turn import InTurn
from tidegate_runtime.rpc.http2_bounds import MAX_UNSENT_BYTES
from tidegate_runtime.rpc.http2_wire import Heads
from tidegate_runtime.rpc.methods import Method

OnRefused = Callable[[str, Mapping[str, str], str], None]
"""The call's path and metadata, and the name of the status that it is refused with."""


class Served(Protocol):
    """A connection, as its server sees it."""

    def leave(self) -> None:
        """Sends the client elsewhere."""

    def abort(self) -> None:
        """Ends it at once."""

    def sweep(self, now: float) -> None:
        """Ends, every few seconds, what takes too long."""


class Shared:
    """What the connections of a server share."""

    def __init__(
        self,
        scratch: Scratch,
        table: Mapping[str, Method],
        clock: Callable[[], float],
        max_message_bytes: int,
        on_refused: OnRefused = lambda *_: None,
        oldest_seconds: Callable[[], float | None] = lambda: None,
        authenticate: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        """`on_refused` is told of calls that are refused before their method has seen a request.

        Connections get about `oldest_seconds` old. `authenticate` raises any `RuntimeFault` for the metadata of a call
        that isn't let in; None: all are.
        """
        self.authenticate = authenticate
        self.oldest_seconds = oldest_seconds
        self.on_refused = on_refused
        self.scratch = scratch
        self.table = table
        self.clock = clock
        self.heads = Heads()
        self.max_message_bytes = max_message_bytes
        self.max_unsent_bytes = max(MAX_UNSENT_BYTES, 2 * max_message_bytes)
        self.unpacking = InTurn()
        self.connections: set[Served] = set()
        self._closed = asyncio.Event()

    def closed(self, connection: Served) -> None:
        """It is gone."""
        self.connections.discard(connection)
        self._closed.set()

    async def empty(self) -> None:
        """Returns once there is no connection."""
        while self.connections:
            self._closed.clear()
            await self._closed.wait()
