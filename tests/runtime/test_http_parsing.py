"""Requests torn and mangled: both ways agree with each other, with themselves however the bytes come, and with h11."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import h11
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.service import Limits, Service
from tidegate_runtime.tensors import Array, Datatype, Feeds, TensorSpec
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.hot import protocol_class


class Doubling:
    """An engine of one input and one output."""

    async def run(self, feeds: Feeds) -> list[Array]:
        return [feeds["x"] * 2]

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

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


async def _answers(pieces: Sequence[bytes]) -> tuple[list[tuple[int, Any]], bool]:
    service = Service(ModelMetrics("m", "1", "cpu"), Limits(4, 0.005, 64, 4096, 30.0))
    x, y = (TensorSpec(name, Datatype.FP32, ("N", 1)) for name in "xy")
    service.open(Signature((x,), (y,)), Verdict(True, "declared"), Doubling())
    config = uvicorn.Config(create_app(service), log_config=None, access_log=False)
    config.load()
    create: Any = protocol_class(service)
    connection = create(config=config, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop())
    pipe = Pipe(connection)
    connection.connection_made(pipe)
    for piece in pieces:
        if pipe.closed:
            break
        connection.data_received(piece)
        await _quiet()
    await _quiet()
    written, closed = pipe.written, pipe.closed
    pipe.close()
    await _quiet()
    await service.close()
    return _parsed(written), closed


async def _quiet() -> None:
    """Returns once everything that is due has run; what is answered takes a few turns of the loop and no time."""
    for _ in range(40):
        await asyncio.sleep(0)


def _parsed(written: bytes) -> list[tuple[int, Any]]:
    """Status and body of each answer, read by another implementation of HTTP than the one that wrote them."""
    client = h11.Connection(h11.CLIENT)
    found: list[tuple[int, Any]] = []
    while written:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="POST", target="/", headers=[("host", "h"), ("content-length", "0")]))
        client.send(h11.EndOfMessage())
        client.receive_data(written)
        status, body = 0, b""
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                assert isinstance(event, h11.InformationalResponse), event
        found.append((status, json.loads(body)))
        written = client.trailing_data[0]
    return found


def answers(*pieces: bytes) -> tuple[list[tuple[int, Any]], bool]:
    return asyncio.run(_answers(pieces))


def body_of(values: Sequence[float]) -> bytes:
    tensor = {"name": "x", "shape": [len(values), 1], "datatype": "FP32", "data": list(values)}
    return json.dumps({"inputs": [tensor]}).encode()


HEADERS = st.sampled_from(
    [
        b"Content-Type: application/json",
        b"content-type: application/json; charset=utf-8",
        b"Content-Type: text/plain",
        b"Accept: */*",
        b"Accept-Encoding: identity",
        b"Connection: keep-alive",
        b"X-Long: " + b"x" * 500,
    ]
)


@st.composite
def requests(draw: st.DrawFn, *, extra: Sequence[bytes] = ()) -> bytes:
    """A request that is well-formed HTTP, mostly for the model, its body good or not."""
    values = draw(st.lists(st.integers(-9, 9), min_size=1, max_size=5))
    body = draw(st.sampled_from([body_of(values), body_of(values)[:-3], b"{}", b"[" * 70, b"x"]))
    paths = [
        b"/v2/models/m/infer",
        b"/v2/models/m/versions/1/infer",
        b"/v2/models/m/versions/2/infer",
        b"/v2/models/n/infer",
    ]
    lines = [b"POST %b HTTP/1.1" % draw(st.sampled_from(paths)), b"Host: h", b"Content-Length: %d" % len(body)]
    lines += [*draw(st.lists(HEADERS, max_size=3)), *extra]
    return b"\r\n".join([*lines, b"", body])


@settings(deadline=None, max_examples=40)
@given(st.lists(requests(), min_size=1, max_size=4), st.data())
def test_answers_do_not_depend_on_how_the_bytes_come(wanted: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(wanted)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert answers(*pieces) == answers(stream)


@settings(deadline=None, max_examples=40)
@given(st.lists(requests(), min_size=1, max_size=4))
def test_the_hot_way_answers_as_the_cold_way_does(wanted: list[bytes]) -> None:
    cold = [request.replace(b"Host: h", b"Host: h\r\nTE: trailers", 1) for request in wanted]
    assert answers(*wanted) == answers(*cold)
    assert len(answers(*wanted)[0]) == len(wanted)


@settings(deadline=None, max_examples=150)
@given(requests(), st.data())
def test_what_h11_refuses_is_never_answered_as_if_it_were_good(request: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(request) - 1))
    mangled = bytearray(request)
    for _ in range(data.draw(st.integers(1, 3))):
        match data.draw(st.sampled_from(["replace", "insert", "delete"])):
            case "replace":
                mangled[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case "insert":
                mangled[place:place] = data.draw(
                    st.sampled_from([b"\r\n", b" ", b"\0", b":", b"Content-Length: 5\r\n"])
                )
            case "delete":
                del mangled[place : place + data.draw(st.integers(1, 8))]
        place = min(place, len(mangled) - 1)
    got, _ = answers(bytes(mangled))
    good = [status for status, _ in got if status == 200]
    if good:
        # RFC 9112 has a server skip empty lines in front of a request (2.2) and lets it take several spaces for one in
        # the request line (3); h11 does neither.
        line, _, rest = bytes(mangled).lstrip(b"\r\n").partition(b"\r\n")
        assert len(_by_h11(b"\r\n".join([b" ".join(line.split()), rest]))) >= len(good)


def _by_h11(stream: bytes) -> list[bytes]:
    """The bodies of the whole requests that h11 reads at the beginning of `stream`."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(stream)
    bodies: list[bytes] = []
    body = b""
    try:
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                body = b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                bodies.append(body)
                server.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                server.send(h11.EndOfMessage())
                server.start_next_cycle()
            else:
                return bodies
    except h11.ProtocolError:
        return bodies
