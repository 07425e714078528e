"""A connection's bounds in time, on virtual time, with a transport that remembers what was written to it."""

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from tidegate_runtime.web.connection import protocol_class

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"
GET = b"GET /v2 HTTP/1.1\r\nHost: h\r\n\r\n"


class RecordingTransport(asyncio.Transport):
    """A socket's place: keeps what is written, and tells the protocol when it is closed."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self._protocol = protocol
        self.written = b""
        self.closed_at: float | None = None

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed_at is not None

    def close(self) -> None:
        if self.closed_at is None:
            loop = asyncio.get_running_loop()
            self.closed_at = loop.time()
            loop.call_soon(self._protocol.connection_lost, None)

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, then answers 200 with none."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Connected:
    """One connection, opened now."""

    def __init__(self, draining: bool = False) -> None:
        config = uvicorn.Config(answer, log_config=None, access_log=False, timeout_keep_alive=75)
        config.load()
        create: Any = protocol_class(lambda: draining)
        loop = asyncio.get_running_loop()
        self.opened = loop.time()
        self.protocol = create(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        self.transport = RecordingTransport(self.protocol)
        self.protocol.connection_made(self.transport)

    def receive(self, data: bytes) -> None:
        self.protocol.data_received(data)

    @property
    def open_for(self) -> float | None:
        closed = self.transport.closed_at
        return None if closed is None else closed - self.opened

    @property
    def status(self) -> int | None:
        return int(self.transport.written.split()[1]) if self.transport.written else None


async def after(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def test_row_23_a_client_that_says_nothing_is_let_go_after_5_seconds() -> None:
    connection = Connected()
    await after(60)
    assert connection.open_for == pytest.approx(5)
    assert connection.status is None


async def test_row_23_half_a_head_is_answered_408_after_10_seconds_however_slowly_it_comes() -> None:
    connection = Connected()
    for byte in HEAD[:30]:
        await after(1)
        if connection.open_for is None:
            connection.receive(bytes([byte]))
    assert connection.open_for == pytest.approx(11)
    assert connection.status == 408


async def test_row_23_half_a_body_is_answered_408_30_seconds_after_its_last_byte() -> None:
    connection = Connected()
    connection.receive(HEAD + b"12345")
    await after(20)
    connection.receive(b"678")
    await after(100)
    assert connection.open_for == pytest.approx(50)
    assert connection.status == 408


async def test_row_23_an_idle_connection_is_kept_for_75_seconds_after_its_answer() -> None:
    connection = Connected()
    connection.receive(GET)
    await after(74)
    connection.receive(GET)
    await after(100)
    assert connection.open_for == pytest.approx(149)
    assert connection.transport.written.count(b"200 OK") == 2


async def test_a_whole_request_has_all_the_time_it_takes_to_answer() -> None:
    connection = Connected()
    connection.receive(HEAD + b"1234567890")
    await after(1)
    assert connection.open_for is None
    assert connection.status == 200


async def test_while_draining_each_answer_is_the_last_of_its_connection() -> None:
    connection = Connected(draining=True)
    connection.receive(GET)
    await after(1)
    assert b"connection: close" in connection.transport.written
    assert connection.open_for is not None
