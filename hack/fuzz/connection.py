"""One connection of the data port without a socket, and another implementation of HTTP to hold it against."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import h11
import uvicorn
from uvicorn.server import ServerState

from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Datatype, Feeds, TensorSpec
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.hot import protocol_class

TURNS = 40
"""Of the event loop: more than lie between two answers of one connection."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Answer = tuple[int, Any]
"""Status and body."""


class Doubling:
    """An engine of one input and one output."""

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise NotImplementedError

    async def run(self, feeds: Feeds) -> Ran:
        return [feeds["x"] * 2], 0.0

    def interrupt(self) -> None: ...


class Pipe(asyncio.Transport):
    """A socket's place: keeps what is written until it is closed."""

    def __init__(self, protocol: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self._protocol = protocol
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Server:
    """A service that doubles numbers, and connections to it, one after the other."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._runner.run(self._open())

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._service.close())
        self._runner.close()

    def answers(self, *pieces: bytes) -> tuple[list[Answer], bool]:
        """What a new connection answers to the pieces, and whether it is closed then.

        Raises `h11.RemoteProtocolError` and `ValueError` if that is no sequence of whole answers in HTTP and JSON.
        """
        written, closed = self._runner.run(self._exchange(pieces))
        return list(parsed(written)), closed

    def answers_of_each(self, *streams: Sequence[bytes], leave: frozenset[int] = frozenset()) -> list[list[Answer]]:
        """What connections answer that get their pieces in the same turns of the loop, one each a turn.

        Those in `leave` go in the turn of their last piece. Raises what `answers` raises.
        """
        return [list(parsed(written)) for written in self._runner.run(self._exchange_together(streams, leave))]

    async def _open(self) -> None:
        self._service = Service(Limits(4, 0.005, 64, 4096, 30.0))
        self._service.expect("m", "1", "cpu")
        x, y = (TensorSpec(name, Datatype.FP32, ("N", 1)) for name in "xy")
        self._service.open("m", "1", Loaded(Signature((x,), (y,)), Verdict(True, "declared"), Doubling()))
        self._config = uvicorn.Config(create_app(self._service), log_config=None, access_log=False)
        self._config.load()
        self._create: Any = protocol_class(self._service)

    async def _exchange(self, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
        connection, pipe = self._connected()
        for piece in pieces:
            if pipe.closed:
                break
            connection.data_received(piece)
            await _quiet(pipe)
        written, closed = pipe.written, pipe.closed
        pipe.close()
        await _quiet(pipe)
        return written, closed

    async def _exchange_together(self, streams: Sequence[Sequence[bytes]], leave: frozenset[int]) -> list[bytes]:
        made = [self._connected() for _ in streams]
        for step in range(max(map(len, streams))):
            for number, ((connection, pipe), pieces) in enumerate(zip(made, streams, strict=True)):
                if step < len(pieces) and not pipe.closed:
                    connection.data_received(pieces[step])
                    if number in leave and step == len(pieces) - 1:
                        pipe.closed = True
                        connection.connection_lost(None)
            for _, pipe in made:
                await _quiet(pipe)
        for _, pipe in made:
            pipe.close()
            await _quiet(pipe)
        return [pipe.written for _, pipe in made]

    def _connected(self) -> tuple[Any, Pipe]:
        loop = asyncio.get_running_loop()
        connection = self._create(config=self._config, server_state=ServerState(), app_state={}, _loop=loop)
        pipe = Pipe(connection)
        connection.connection_made(pipe)
        return connection, pipe


async def _quiet(pipe: Pipe) -> None:
    """Returns once nothing is written any more; what is answered takes a few turns of the loop and no time."""
    seen = -1
    while seen != len(pipe.written):
        seen = len(pipe.written)
        for _ in range(TURNS):
            await asyncio.sleep(0)


def parsed(written: bytes) -> Iterator[Answer]:
    """Status and body of each answer in `written`, as h11 reads them, interim ones left out.

    The last may be an interim one alone: its request's body hasn't come.
    """
    while written and written != CONTINUE:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="POST", target="/", headers=[("host", "h"), ("content-length", "0")]))
        client.send(h11.EndOfMessage())
        client.receive_data(written)
        status, body = 0, b""
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            match event:
                case h11.InformationalResponse():
                    pass
                case h11.Response():
                    status = event.status_code
                case h11.Data():
                    body += bytes(event.data)
                case _:
                    raise ValueError(f"no whole answer: {written[:200]!r}")
        yield status, json.loads(body)
        written = client.trailing_data[0]


def believable(answers: Sequence[Answer], stream: bytes) -> bool:
    """Whether each good answer has a request in `stream` that h11 reads too: its head, for tensors also its body."""
    heads, bodies = _read(stream)
    good = [body for status, body in answers if status == 200]
    return len(good) <= heads and sum("outputs" in body for body in good) <= bodies


_GOES_ON = ("DONE", "MIGHT_SWITCH_PROTOCOL")
"""The latter after an offer to upgrade, which our server passes over."""


def _read(stream: bytes) -> tuple[int, int]:
    """How many heads, and how many whole bodies, h11 reads before it has had enough.

    RFC 9112 has a server skip empty lines in front of a request (2.2), and lets it take several spaces for one in the
    request line (3); h11 does neither, so both are done here.
    """
    heads = bodies = 0
    while stream:
        line, _, rest = stream.lstrip(b"\r\n").partition(b"\r\n")
        server = h11.Connection(h11.SERVER)
        server.receive_data(b"\r\n".join([b" ".join(line.split()), rest]))
        try:
            while not isinstance(event := server.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Request):
                    heads += 1
                elif not isinstance(event, h11.Data):
                    return heads, bodies
        except h11.ProtocolError:
            return heads, bodies
        bodies += 1
        stream = server.trailing_data[0] if str(server.their_state) in _GOES_ON else b""
    return heads, bodies
