"""A connection's bounds in time and in pipelining, on virtual time, with a transport that remembers."""

import asyncio
import json
import re
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from tidegate_runtime.access.guard import Guard
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Datatype, Feeds, TensorSpec
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.hot import protocol_class

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"
LONG_HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n"
GET = b"GET /v2 HTTP/1.1\r\nHost: h\r\n\r\n"


class RecordingTransport(asyncio.Transport):
    """A socket's place: keeps what is written, and tells the protocol when it is closed."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self._protocol = protocol
        self.written = b""
        self.unread = 0
        self.aborted = False
        self.closed_at: float | None = None

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed_at is not None

    def close(self) -> None:
        if self.closed_at is None:
            loop = asyncio.get_running_loop()
            self.closed_at = loop.time()
            if not self.unread:
                loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.unread = 0
        self.close()

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, then answers 200 with none."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Doubling:
    """An engine of one input and one output."""

    seconds = 0.5

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise NotImplementedError

    async def run(self, feeds: Feeds) -> Ran:
        await asyncio.sleep(self.seconds)
        return [feeds["x"] * 2], 0.0

    def interrupt(self) -> None: ...


class Connected:
    """One connection, opened now."""

    def __init__(self, draining: bool = False, served: bool = False, guard: Guard | None = None) -> None:
        service = Service(Limits(8, 0.005, 8, 65536, 30.0))
        service.guard = guard
        self.metrics = service.expect("m", "1", "cpu")
        if draining:
            service.begin_drain()
        self.service = service
        if served:
            specs = [TensorSpec(name, Datatype.FP32, ("N", 1)) for name in "xy"]
            signature = Signature((specs[0],), (specs[1],))
            self.engine = Doubling()
            service.open("m", "1", Loaded(signature, Verdict(True, "declared"), self.engine))
        config = uvicorn.Config(
            create_app(service) if served else answer, log_config=None, access_log=False, timeout_keep_alive=75
        )
        config.load()
        create: Any = protocol_class(service)
        loop = asyncio.get_running_loop()
        self.opened = loop.time()
        self.protocol = create(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        self.transport = RecordingTransport(self.protocol)
        self.protocol.connection_made(self.transport)

    def receive(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def answers(self) -> list[tuple[int, bytes]]:
        """Status and body of each answer, in order of writing."""
        found, rest = [], self.transport.written
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            length = int(re.findall(rb"content-length: (\d+)", head)[0])
            found.append((int(head.split()[1]), rest[:length]))
            rest = rest[length:]
        return found

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


async def test_row_23_half_a_body_is_answered_408_after_30_seconds_however_slowly_it_comes() -> None:
    connection = Connected()
    connection.receive(HEAD + b"1")
    for byte in b"2345678":
        await after(4.9)
        if connection.open_for is None:
            connection.receive(bytes([byte]))
    await after(100)
    assert connection.open_for == pytest.approx(30, abs=0.2)
    assert connection.status == 408


async def test_row_23_a_body_that_stops_is_answered_408_30_seconds_after_its_last_byte() -> None:
    connection = Connected()
    connection.receive(LONG_HEAD + bytes(60_000))
    await after(20)
    connection.receive(b"678")
    await after(100)
    assert connection.open_for == pytest.approx(50)
    assert connection.status == 408


async def test_a_long_body_has_the_time_it_takes_at_a_kilobyte_a_second() -> None:
    connection = Connected()
    connection.receive(LONG_HEAD)
    for _ in range(64):
        await after(1)
        connection.receive(bytes(1024))
    await after(0.1)
    assert connection.status == 200


async def test_each_body_of_a_connection_has_a_time_of_its_own() -> None:
    connection = Connected()
    for _ in range(3):
        connection.receive(HEAD + b"12345")
        await after(25)
        connection.receive(b"67890")
        await after(0.1)
    assert connection.open_for is None
    assert connection.transport.written.count(b"200 OK") == 3


class Unread:
    """A connection whose answer lies in the transport's buffer, as far as its client hasn't read."""

    def __init__(self, served: bool = True) -> None:
        self.connection = Connected(served=served)
        self.connection.receive(infer(1))

    async def answered(self, unread: int) -> None:
        await after(1)
        self.connection.transport.unread = unread
        self.connection.protocol.pause_writing()

    @property
    def aborted(self) -> bool:
        return self.connection.transport.aborted


async def test_a_client_that_reads_none_of_its_answer_is_cut_off_after_30_seconds() -> None:
    unread = Unread()
    await unread.answered(100_000)
    await after(29)
    assert not unread.aborted
    await after(2)
    assert unread.aborted


async def test_a_client_that_reads_a_byte_every_second_is_cut_off() -> None:
    unread = Unread()
    await unread.answered(100_000)
    for _ in range(60):
        await after(1)
        unread.connection.transport.unread -= 1
    assert unread.aborted


async def test_a_client_that_reads_two_kilobytes_a_second_is_not() -> None:
    unread = Unread()
    await unread.answered(1_000_000)
    for _ in range(400):
        await after(1)
        unread.connection.transport.unread -= 2048
    assert not unread.aborted


async def test_a_client_that_was_slow_for_a_while_is_not_cut_off() -> None:
    unread = Unread()
    await unread.answered(100_000)
    unread.connection.protocol.resume_writing()
    await after(60)
    assert not unread.aborted


async def test_what_an_idle_client_leaves_unread_does_not_keep_its_connection() -> None:
    unread = Unread()
    await after(1)
    unread.connection.transport.unread = 1000
    await after(74.5)
    assert unread.connection.open_for is not None
    assert not unread.aborted
    await after(31)
    assert unread.aborted


@pytest.mark.parametrize("close", [b"", b"TE: trailers"], ids=["hot", "cold"])
async def test_a_last_answer_that_is_not_read_is_given_up(close: bytes) -> None:
    connection = Connected(served=True)
    connection.receive(infer(1, b"Connection: close", *([close] if close else [])))
    connection.transport.unread = 1000
    await after(1)
    assert connection.open_for is not None
    await after(31)
    assert connection.transport.aborted


OFFER = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")


async def test_row_42_an_offer_to_upgrade_is_passed_over_and_the_body_is_not_lost() -> None:
    connection = Connected(served=True)
    connection.receive(infer(1, *OFFER))
    await after(1)
    connection.receive(infer(2, *OFFER)[:-10])
    await after(1)
    connection.receive(infer(2, *OFFER)[-10:] + infer(3))
    await after(2)
    assert [(status, data_of(body)) for status, body in connection.answers()] == [(200, 2), (200, 4), (200, 6)]


async def test_row_42_an_offer_whose_head_comes_in_pieces_is_refused_if_there_is_a_body() -> None:
    connection = Connected(served=True)
    connection.receive(infer(1, *OFFER)[:40])
    connection.receive(infer(1, *OFFER)[40:])
    await after(1)
    assert [status for status, _ in connection.answers()] == [400]
    assert connection.open_for is not None


async def test_row_42_a_request_before_an_offer_is_answered_once() -> None:
    connection = Connected(served=True)
    connection.receive(infer(1) + infer(2, *OFFER))
    await after(2)
    assert [(status, data_of(body)) for status, body in connection.answers()] == [(200, 2)]
    assert connection.open_for is not None


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


def infer(value: float, *headers: bytes) -> bytes:
    """A request for the double of `value`; further header lines send it the cold way."""
    body = b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[%g]}]}' % value
    lines = [b"POST /v2/models/m/infer HTTP/1.1", b"Host: h", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


COLD = b"TE: trailers"


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param([(), (), ()], id="hot"),
        pytest.param([(COLD,), (COLD,), (COLD,)], id="cold"),
        pytest.param([(), (COLD,), ()], id="hot, cold, hot"),
        pytest.param([(COLD,), (), (COLD,)], id="cold, hot, cold"),
    ],
)
async def test_pipelined_requests_are_answered_in_their_order(ways: list[tuple[bytes, ...]]) -> None:
    connection = Connected(served=True)
    connection.receive(b"".join(infer(index, *way) for index, way in enumerate(ways)))
    await after(10)
    assert [(status, data_of(body)) for status, body in connection.answers()] == [(200, 0), (200, 2), (200, 4)]
    assert connection.open_for is None


@pytest.mark.parametrize("way", [pytest.param((), id="hot"), pytest.param((COLD,), id="cold")])
@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(b"junk\r\n\r\n", id="no request"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(b"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", id="a URL without a path"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", id="a URL that is not ASCII"),
    ],
)
async def test_a_refused_request_is_not_answered_before_the_one_in_front_of_it(
    way: tuple[bytes, ...], junk: bytes
) -> None:
    connection = Connected(served=True)
    connection.receive(infer(1, *way) + junk)
    await after(100)
    assert [(status, data_of(body)) for status, body in connection.answers()] == [(200, 2)]
    assert connection.open_for == pytest.approx(0.5, abs=0.1)


async def test_a_connection_on_which_more_than_16_requests_wait_ends_after_those() -> None:
    connection = Connected(served=True)
    connection.receive(b"".join(infer(index) for index in range(40)))
    await after(100)
    assert [data_of(body) for _, body in connection.answers()] == [2 * index for index in range(17)]
    assert connection.open_for == pytest.approx(17 * 0.5, abs=0.1)


async def test_the_request_of_a_client_that_left_is_dropped_and_counted_as_499() -> None:
    connection = Connected(served=True)
    connection.receive(infer(1))
    await after(0.1)
    connection.transport.close()
    await after(1)
    assert connection.transport.written == b""
    assert connection.metrics.codes == {499: 1}
    assert {code: sum(one.counts) for code, one in connection.metrics.failed_duration.items()} == {499: 1}
    assert connection.metrics.inflight == 0


LONG = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n" + 40000 * b"x"


async def test_a_head_that_begins_behind_a_long_request_in_one_read_is_not_too_large() -> None:
    connection = Connected()
    connection.receive(LONG + GET[:10])
    await after(0.1)
    connection.receive(GET[10:])
    await after(0.1)
    assert [status for status, _ in connection.answers()] == [200, 200]


@pytest.mark.parametrize("headers", [(), (b"TE: trailers",)], ids=["hot", "cold"])
async def test_a_whole_head_that_comes_behind_many_requests_in_one_read_may_wait_for_its_body(
    headers: tuple[bytes, ...],
) -> None:
    connection = Connected(served=True)
    wide = GET[:-2] + b"a: " + 3000 * b"b" + b"\r\n\r\n"
    request = infer(1.0, *headers)
    body = request.index(b"\r\n\r\n") + 4
    connection.receive(12 * wide + request[:body])
    await after(1)
    connection.receive(request[body:])
    await after(10)
    assert [status for status, _ in connection.answers()] == [200] * 13


async def test_row_21_a_head_that_goes_on_behind_a_long_request_is_too_large() -> None:
    connection = Connected()
    connection.receive(LONG + GET[:-2] + b"a: ")
    for _ in range(5):
        connection.receive(8192 * b"b")
    await after(0.1)
    assert connection.open_for is not None


TRAILED = b"POST /v2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"


@pytest.mark.parametrize(
    ("trailers", "piece"),
    [
        pytest.param(10_000 * b"a:b\r\n", 1000, id="many short ones"),
        pytest.param(b"a: " + 60_000 * b"b", 1000, id="a long one"),
        pytest.param(10_000 * b"a:b\r\n", 50_000, id="many short ones in one read"),
    ],
)
async def test_row_21_trailers_are_bounded_as_heads_are(trailers: bytes, piece: int) -> None:
    connection = Connected()
    connection.receive(TRAILED)
    for start in range(0, len(trailers), piece):
        connection.receive(trailers[start : start + piece])
    await after(0.1)
    assert (connection.status, connection.open_for) == (431, 0.0)
    assert len(connection.protocol.headers) == 2


async def test_row_21_a_chunk_extension_is_bounded_as_heads_are() -> None:
    connection = Connected()
    connection.receive(TRAILED[: TRAILED.index(b"3\r\n")] + b"3;a=")
    for _ in range(40):
        connection.receive(1000 * b"b")
    assert connection.status == 431


async def test_trailers_of_an_answered_request_end_its_connection() -> None:
    async def at_once(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    connection = Connected()
    connection.protocol.app = at_once
    connection.receive(TRAILED)
    await after(0.1)
    for _ in range(40):
        connection.receive(200 * b"a:b\r\n")
    assert [status for status, _ in connection.answers()] == [200]
    assert connection.open_for == 0.1


async def test_short_trailers_are_read_and_dropped() -> None:
    connection = Connected()
    connection.receive(TRAILED + b"content-type: evil\r\n\r\n")
    await after(0.1)
    assert [status for status, _ in connection.answers()] == [200]
    assert [name for name, _ in connection.protocol.scope["headers"]] == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize("way", [pytest.param((), id="hot"), pytest.param((COLD,), id="cold")])
async def test_a_late_head_does_not_cost_the_answer_before_it(way: tuple[bytes, ...]) -> None:
    connection = Connected(served=True)
    connection.engine.seconds = 12.0
    connection.receive(infer(1.0, *way) + GET[:10])
    await after(20)
    assert [status for status, _ in connection.answers()] == [200]
    assert connection.open_for == pytest.approx(12.0, abs=0.1)


async def test_a_client_that_leaves_before_its_request_is_whole_is_counted_without_a_time() -> None:
    connection = Connected(served=True)
    connection.receive(infer(1))
    await after(10)
    connection.receive(infer(1)[:-1])
    await after(0.1)
    connection.transport.close()
    await after(1)
    assert connection.metrics.codes == {200: 1, 499: 1}
    assert connection.metrics.failed_duration == {}


@pytest.mark.parametrize("cut", [1, 20, 60, 75, 100, 140])
@pytest.mark.parametrize("way", [pytest.param((), id="hot"), pytest.param((COLD,), id="cold")])
async def test_a_request_may_come_in_pieces(way: tuple[bytes, ...], cut: int) -> None:
    connection = Connected(served=True)
    for piece in (infer(1, *way)[:cut], infer(1, *way)[cut:]):
        connection.receive(piece)
        await after(1)
    assert [(status, data_of(body)) for status, body in connection.answers()] == [(200, 2)]


async def test_an_answer_in_progress_at_shutdown_is_the_last() -> None:
    connection = Connected(served=True)
    connection.receive(infer(1))
    connection.protocol.shutdown()
    await after(1)
    assert b"connection: close" in connection.transport.written
    assert connection.answers()[0][0] == 200
    assert connection.open_for is not None


async def test_an_idle_connection_is_closed_at_shutdown() -> None:
    connection = Connected(served=True)
    connection.receive(infer(1))
    await after(1)
    connection.protocol.shutdown()
    assert connection.open_for == pytest.approx(1)


def data_of(body: bytes) -> float:
    value: float = json.loads(body)["outputs"][0]["data"][0]
    return value
