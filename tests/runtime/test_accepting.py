"""Connections that a process takes from a listener it shares, up to what it may have open."""

import asyncio
import resource
import socket
import sys

import numpy as np
import pytest

from tidegate_runtime.workers import accepting
from tidegate_runtime.workers.accepting import SharedServer, beyond


class Greeting(asyncio.Protocol):
    """Says so and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


def served() -> tuple[SharedServer, int]:
    """A server that greets, and its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    counts = np.zeros(1, np.uint32)
    return SharedServer(asyncio.get_running_loop(), listener, Greeting, None, counts, 0), port


async def told(port: int) -> bytes:
    """What a client gets until its connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("limit", "first"),
    [(1024, 768), (100, 75), (65536, 65280), (2**20, 2**20 - 256), (resource.RLIM_INFINITY, sys.maxsize)],
)
def test_connections_leave_some_of_the_files_that_a_process_may_open(limit: int, first: int) -> None:
    assert beyond(limit) == first


@pytest.mark.asyncio
async def test_a_process_near_its_limit_of_open_files_closes_new_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "REST_SECONDS", 0.01)
    async with asyncio.timeout(10):
        server, port = served()
        assert await told(port) == b"hello"
        server.close()
        monkeypatch.setattr(resource, "getrlimit", lambda _: (8, 8))
        server, port = served()
        for _ in range(2):
            assert await told(port) == b""
        server.close()


@pytest.mark.asyncio
async def test_connections_to_a_closed_server_do_not_wait_for_the_end_of_its_process() -> None:
    async with asyncio.timeout(10):
        server, port = served()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await told(port)
