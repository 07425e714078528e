"""kopf, as it watches for us, against an API server that misbehaves: it goes on by itself, or ends and says so."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from tidegate_operator.kube import watching
from tidegate_operator.kube.objects import SERVICES, Object
from tidegate_operator.kube.pulse import Pulse
from tidegate_operator.kube.sessions import KEEPALIVE, watchful_socket

from .api_server import ApiServer, Stream, an_error, saying, silent

PATIENCE_SECONDS = 30.0
"""How long it may take until what was written after a fault is known."""


class Watcher:
    """What a watch has told."""

    def __init__(self) -> None:
        self.known: dict[str, Object] = {}
        self.pulse = Pulse([SERVICES], asyncio.get_running_loop().time)
        self._told = asyncio.Condition()

    async def see(self, item: Object, deleted: bool) -> None:
        self.known[item["metadata"]["name"]] = item
        async with self._told:
            self._told.notify_all()

    async def knows(self, server: ApiServer) -> None:
        """Return once everything is known as the server has it."""

        def level() -> bool:
            versions = {name: item["metadata"]["resourceVersion"] for name, item in server.items.items()}
            return versions == {name: item["metadata"]["resourceVersion"] for name, item in self.known.items()}

        async with asyncio.timeout(PATIENCE_SECONDS), self._told:
            await self._told.wait_for(level)

    async def run(self) -> None:
        await watching.watch({SERVICES: self.see}, {}, pulse=self.pulse)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    found = ApiServer()
    async with found.serving():

        async def configuration() -> object:
            return found.configuration

        monkeypatch.setattr(watching, "load_configuration", configuration)
        monkeypatch.setattr(watching, "SILENCE_SECONDS", 1.0)
        monkeypatch.setattr(watching, "LOGIN_SECONDS", 0.1)
        yield found


@contextlib.asynccontextmanager
async def watched(watcher: Watcher) -> AsyncIterator[asyncio.Task[None]]:
    running = asyncio.create_task(watcher.run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_is_there_and_what_comes_is_told(server: ApiServer) -> None:
    watcher = Watcher()
    await server.put("before")
    async with watched(watcher):
        await watcher.knows(server)
        await server.put("after")
        await watcher.knows(server)


SURVIVED: dict[str, Stream] = {
    "410 as an event": saying(an_error(410)),
    "an end without a word": saying(),
    "silence on an open connection": silent,
}


@pytest.mark.parametrize("fault", SURVIVED)
async def test_a_watch_goes_on_after(server: ApiServer, fault: str) -> None:
    watcher = Watcher()
    server.streams.append(SURVIVED[fault])
    async with watched(watcher):
        await server.put("one")
        await watcher.knows(server)
        await server.until_watched(1)
        await server.put("two")
        await watcher.knows(server)


async def test_a_watch_goes_on_after_its_connection_was_cut(server: ApiServer) -> None:
    watcher = Watcher()
    async with watched(watcher):
        await server.put("one")
        await watcher.knows(server)
        await server.cut()
        await server.put("two")
        await watcher.knows(server)


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_refusals_are_outlasted(server: ApiServer, status: int) -> None:
    watcher = Watcher()
    async with watched(watcher) as running:
        await server.put("one")
        await watcher.knows(server)
        server.refuses = status
        await server.cut()
        refused = server.watches
        await server.put("two")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.until_watched(refused + 3)
        assert not running.done()
        assert watcher.pulse.health()[0]
        server.refuses = None
        await watcher.knows(server)


async def test_an_api_server_that_is_unwell_at_the_start_is_waited_for(server: ApiServer) -> None:
    watcher = Watcher()
    server.refuses = 503
    await server.put("one")
    async with watched(watcher) as running:
        await asyncio.sleep(1)
        assert not running.done()
        server.refuses = None
        await watcher.knows(server)


FATAL: dict[str, Stream] = {
    "an error of the server's as an event": saying(an_error(500)),
    "half a line": saying(b'{"type": "ADDED", "obj'),
}


@pytest.mark.parametrize("fault", FATAL)
async def test_what_kopf_gives_up_on_is_told_so_that_all_begins_anew(server: ApiServer, fault: str) -> None:
    watcher = Watcher()
    server.streams.append(FATAL[fault])
    with pytest.raises(watching.WatchFailed, match="the watch ended"):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await watcher.run()


async def test_connections_ask_whether_their_peer_is_still_there(server: ApiServer) -> None:
    loop = asyncio.get_running_loop()
    (address, *_) = await loop.getaddrinfo("127.0.0.1", 80)
    with watchful_socket(address) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        told = {name: made.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in KEEPALIVE}
        assert told == KEEPALIVE
    gone_after = KEEPALIVE["TCP_KEEPIDLE"] + KEEPALIVE["TCP_KEEPINTVL"] * KEEPALIVE["TCP_KEEPCNT"]
    assert gone_after <= PATIENCE_SECONDS


async def test_what_a_handler_was_given_stays_whole(server: ApiServer) -> None:
    watcher = Watcher()
    await server.put("one")
    async with watched(watcher):
        await watcher.knows(server)
        await server.put("two")
        await watcher.knows(server)
    assert watcher.known == server.items
