"""One HTTP/2 connection without a socket: ours at one end, the h2 package at the other."""

import asyncio
import gzip
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.settings
from hyperframe.frame import Frame

from tidegate_nghttp2 import Scratch
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.http2_connection import Connection
from tidegate_runtime.rpc.http2_shared import Shared
from tidegate_runtime.rpc.methods import BothStream, Method, Unary
from tidegate_runtime.rpc.protos.health_pb2 import HealthCheckRequest
from tidegate_runtime.rpc.room import Made

Headers = list[tuple[str, str]]
SCRATCH = Scratch()
MAX_MESSAGE = 1 << 20
RST_STREAM, GOAWAY = 3, 7


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Wire:
    """A transport that keeps what is written. `full` is whether its reader has stopped reading."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def get_extra_info(self, name: str) -> None:
        return None


class Methods:
    """A unary and a streaming method that answer with what they are asked and told, the latter when it is let."""

    def __init__(self) -> None:
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.held = asyncio.Event()
        self.held.set()
        self.cancelled = 0

    async def echo(self, request: HealthCheckRequest, call: Call) -> HealthCheckRequest:
        try:
            await self.held.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return HealthCheckRequest(service=f"{request.service}|{call.metadata.get('x-own', '')}")

    async def stream(
        self, requests: AsyncIterator[HealthCheckRequest], call: Call, made: Made
    ) -> AsyncGenerator[HealthCheckRequest, None]:
        await self.may_read.wait()
        async for request in requests:
            yield HealthCheckRequest(service=request.service)
            del request
            await self.may_read.wait()

    def table(self) -> dict[str, Method]:
        return {
            "/t/Echo": Unary("/t/Echo", HealthCheckRequest, HealthCheckRequest, self.echo, tensors=True),
            "/t/Small": Unary("/t/Small", HealthCheckRequest, HealthCheckRequest, self.echo),
            "/t/Stream": BothStream("/t/Stream", HealthCheckRequest, HealthCheckRequest, self.stream, tensors=True),
        }


class Http2Peer:
    """A client and the connection that serves it. `settings` are the client's."""

    def __init__(self, **settings: int) -> None:
        self.clock = Clock()
        self.methods = Methods()
        self.wire = Wire()
        self.oldest_seconds: float | None = None
        self.shared = Shared(
            SCRATCH, self.methods.table(), self.clock, MAX_MESSAGE, oldest_seconds=lambda: self.oldest_seconds
        )
        self.connection = Connection(self.shared)
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.events: list[h2.events.Event] = []
        self.bodies: dict[int, bytearray] = {}
        self.heads: dict[int, dict[str, str]] = {}
        self.resets: dict[int, int] = {}
        self.goaway: int | None = None
        self.read_windows = True
        wanted = {getattr(h2.settings.SettingCodes, name): value for name, value in settings.items()}
        self.client.local_settings = h2.settings.Settings(client=True, initial_values=wanted)
        self.client.initiate_connection()
        self.connection.connection_made(cast(asyncio.Transport, self.wire))
        self.exchange()

    def exchange(self) -> None:
        """Brings over what each has to say, once each."""
        if out := self.client.data_to_send():
            self.connection.data_received(out)
        self.read()

    def send(self, data: bytes) -> None:
        """Raw bytes, after what the client has to say."""
        self.connection.data_received(self.client.data_to_send() + data)
        self.read()

    def read(self) -> None:
        """What was written is heard by the client, but for GOAWAY and RST_STREAM: h2 ends too much on them."""
        written, self.wire.written = bytes(self.wire.written), bytearray()
        while written:
            size = 9 + int.from_bytes(written[:3])
            frame, kind, written = written[:size], written[3], written[size:]
            if kind == GOAWAY:
                self.goaway = int.from_bytes(frame[13:17])
            elif kind == RST_STREAM:
                self.resets[int.from_bytes(frame[5:9])] = int.from_bytes(frame[9:13])
            else:
                for event in self.client.receive_data(frame):
                    self._hear(event)

    def _hear(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            self.heads.setdefault(event.stream_id, {}).update(cast(Any, event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self.bodies.setdefault(event.stream_id, bytearray()).extend(event.data)
            if self.read_windows:
                self.client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    async def settle(self) -> None:
        """Lets the loop and both ends run until nothing more is said."""
        quiet = 0
        while quiet < 5:
            await asyncio.sleep(0)
            out = b"" if self.wire.closed else self.client.data_to_send()
            quiet = 0 if out or self.wire.written else quiet + 1
            if out:
                self.connection.data_received(out)
            self.read()

    def begin(self, path: str = "/t/Echo", **more: str) -> int:
        """Sends a request's head."""
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, head(path, **more))
        return stream

    def call(self, text: str, path: str = "/t/Echo", **more: str) -> int:
        """Sends a whole request of one message."""
        stream = self.begin(path, **more)
        self.client.send_data(stream, message(text), end_stream=True)
        return stream

    def status(self, stream: int) -> str | None:
        return self.heads.get(stream, {}).get("grpc-status")

    def answers(self, stream: int) -> list[str]:
        """The texts of the messages that came."""
        body, texts = bytes(self.bodies.get(stream, b"")), []
        while body:
            length = int.from_bytes(body[1:5])
            assert body[0] == 0
            assert len(body) >= 5 + length
            texts.append(HealthCheckRequest.FromString(body[5 : 5 + length]).service)
            body = body[5 + length :]
        return texts


def head(path: str, **more: str) -> Headers:
    """A call's, with `x_own="1"` as metadata x-own."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "a",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return list(fields.items())


def message(text: str) -> bytes:
    """One, with its prefix."""
    data = HealthCheckRequest(service=text).SerializeToString()
    return b"\0" + len(data).to_bytes(4) + data


def packed(text: str) -> bytes:
    """One for a request with `grpc_encoding="gzip"`."""
    data = gzip.compress(message(text)[5:])
    return b"\1" + len(data).to_bytes(4) + data


def framed(kind: type[Frame], stream: int, data: bytes = b"", *flags: str, **members: Any) -> bytes:
    frame = kind(stream, **members)
    if data:
        frame.data = data  # type: ignore[attr-defined]
    for flag in flags:
        frame.flags.add(flag)
    return frame.serialize()
