"""Connections from a listener that several processes share, about as many for each.

Left to itself, an event loop accepts all that waits in one go, so the first process to wake would have every client
that connects in one moment, and keep them. A listener for each process (SO_REUSEPORT) spreads them by a hash: of few
long connections one process may get nearly all, and what waits at a process that has died isn't answered by the others.
Here a process takes one connection a turn, and while another one has fewer lets that one go first for a moment.
"""

import asyncio
import logging
import mmap
import resource
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import uvloop

from tidegate_runtime.tensors import Array

logger = logging.getLogger(__name__)

HESITATION_SECONDS: Final = 0.001
"""How long a process that has more connections than another leaves the next one to it."""

COUNT_SECONDS: Final = 0.25
"""How often a process finds out which of its connections are still open."""

REST_SECONDS: Final = 1.0
"""How long nothing is accepted where a descriptor can't be had, or spared."""

KEPT_DESCRIPTORS: Final = 256
"""Connections leave so many to what is open beside them, such as slabs and what the hub sends; of few, a quarter."""

LISTENERS: Final = 2
GONE: Final = 0xFFFFFFFF


class Board:
    """How many connections each process has of each listener, in memory that all of them write to."""

    def __init__(self, descriptor: int, processes: int) -> None:
        """Maps what `board_bytes` says the size of."""
        memory = mmap.mmap(descriptor, board_bytes(processes))
        self.counts: Array = np.frombuffer(memory, np.uint32).reshape(LISTENERS, processes)

    def gone(self, process: int) -> None:
        """That process accepts nothing; nobody lets it go first."""
        self.counts[:, process] = GONE


def board_bytes(processes: int) -> int:
    """The size of a board."""
    return LISTENERS * processes * 4


def hesitates(own: int, fewest: int) -> bool:
    """Whether a process with `own` connections leaves the next one to the one with the `fewest`."""
    return own > fewest + fewest // 8


def beyond(limit: int) -> int:
    """The first descriptor that no connection gets, of a process that may have `limit`: the system's, in its form."""
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    return limit - min(KEPT_DESCRIPTORS, limit // 4)


class SharingLoop(uvloop.Loop):
    """An event loop whose servers share their listeners with other processes."""

    def share(self, listeners: Mapping[int, Array], process: int) -> None:
        """`listeners` are the counts of each listener, by its descriptor; this process is the `process`-th."""
        self._shared = listeners
        self._process = process

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *,
        sock: socket.socket,
        ssl: ssl.SSLContext | None = None,
        backlog: int = 0,
    ) -> "SharedServer":
        """Accepts from `sock`, which listens already, with a backlog of its own."""
        del backlog
        return SharedServer(self, sock, protocol_factory, ssl, self._shared[sock.fileno()], self._process)


class SharedServer:
    """Accepts until it is closed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext | None,
        counts: Array,
        process: int,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._factory = factory
        self._context = context
        self._counts = counts
        self._process = process
        self._open: set[asyncio.BaseTransport] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._hesitated = False
        self._beyond = beyond(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        listener.setblocking(False)
        counts[process] = 0
        loop.add_reader(listener.fileno(), self._on_readable)
        self._counting = loop.call_later(COUNT_SECONDS, self._count)
        self._resting: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Accepts no more; connections stay open. Without another process that listens clients are refused."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        self._counting.cancel()
        if self._resting is not None:
            self._resting.cancel()
        self._counts[self._process] = GONE

    async def wait_closed(self) -> None:
        """Returns at once: connections are their servers' own concern."""

    def _on_readable(self) -> None:
        counts = self._counts
        if not self._hesitated and hesitates(int(counts[self._process]), int(counts.min())):
            self._hesitated = True
            self._rest(HESITATION_SECONDS)
            return
        self._hesitated = False
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # Another process was quicker, or the client has left.
        except OSError as error:
            self._refuse(str(error))
            return
        if connection.fileno() >= self._beyond:
            # The system gives the lowest that is free: those below are open.
            connection.close()
            self._refuse(f"{self._beyond} files are open")
            return
        counts[self._process] += 1
        task = self._loop.create_task(self._begin(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            transport, _ = await self._loop.connect_accepted_socket(self._factory, connection, ssl=self._context)
        except OSError:  # A handshake that fails is its client's concern.
            connection.close()
            return
        self._open.add(transport)

    def _refuse(self, why: str) -> None:
        logger.error("a connection can't be accepted", extra={"error": why})
        self._rest(REST_SECONDS)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._resting = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._on_readable)

    def _count(self) -> None:
        self._open = {transport for transport in self._open if not transport.is_closing()}
        self._counts[self._process] = len(self._open) + len(self._opening)
        self._counting = self._loop.call_later(COUNT_SECONDS, self._count)


def listeners_of(board: Board, *listeners: socket.socket) -> dict[int, Any]:
    """The board's counts of each listener, by its descriptor."""
    return {listener.fileno(): board.counts[index] for index, listener in enumerate(listeners)}
