"""Clients that dawdle or say nothing, on a real server of grpcio that is told to wait for less than it does."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from grpc import StatusCode
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived, TrailersReceived
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from tidegate_runtime.rpc import grpcio_patience, grpcio_server
from tidegate_runtime.rpc.grpcio_patience import idle_seconds, message_seconds

from .rpc_client import WAIT_SECONDS, Peer, firsts, peer, rows

pytestmark = pytest.mark.integration

MIB = 2**20
SOON = 0.5
LONG = 600.0
INFER = "/inference.GRPCInferenceService/ModelInfer"
WATCH = "/grpc.health.v1.Health/Watch"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


@pytest.fixture(autouse=True)
def times(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Everything takes long, unless a test says otherwise."""
    monkeypatch.setattr(Peer, "transport", "grpcio")
    for name in ("FIRST_BYTES_SECONDS", "PING_AFTER_SECONDS", "PONG_SECONDS"):
        monkeypatch.setattr(grpcio_server, name, LONG)
    for name in ("REQUEST_IDLE_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(grpcio_patience, name, LONG)
    return monkeypatch


class Client:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.http2 = H2Connection(H2Configuration(client_side=True))
        self.status: str | None = None
        self.sent_away = False

    def begin(self, path: str) -> int:
        stream = self.http2.get_next_available_stream_id()
        head = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "h"}
        self.http2.send_headers(stream, [*head.items(), ("content-type", "application/grpc"), ("te", "trailers")])
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self.http2.send_data(stream, data, end_stream=end)
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.http2.data_to_send())

    async def read(self) -> bool:
        """Reads what has come; false once the connection is closed."""
        try:
            data = await asyncio.wait_for(self.reader.read(65536), WAIT_SECONDS)
        except ConnectionError:
            data = b""
        if not data:
            return False
        try:
            events = self.http2.receive_data(data)
        except ProtocolError:  # To h2 a connection is over that is sent away.
            self.sent_away = True
            return True
        for event in events:
            self.sent_away = self.sent_away or isinstance(event, ConnectionTerminated)
            if isinstance(event, ResponseReceived | TrailersReceived):
                fields = {bytes(name): bytes(value) for name, value in event.headers or ()}
                self.status = fields.get(b"grpc-status", b"").decode() or self.status
        self.flush()
        return True

    async def ended(self) -> str:
        """The status of the one call that there is."""
        while self.status is None:
            assert await self.read()
        return self.status


@asynccontextmanager
async def client(made: Peer, **settings: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
    opened = Client(reader, writer)
    opened.http2.initiate_connection()
    opened.http2.update_settings({SettingCodes[name]: value for name, value in settings.items()})
    opened.flush()
    try:
        yield opened
    finally:
        writer.transport.abort()


def framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


@pytest.mark.parametrize("path", [INFER, WATCH])
@pytest.mark.parametrize("drips", [False, True], ids=["nothing comes", "a byte comes now and then"])
async def test_a_call_whose_message_is_not_whole_in_time_is_ended(
    path: str, drips: bool, times: pytest.MonkeyPatch
) -> None:
    times.setattr(grpcio_patience, "REQUEST_IDLE_SECONDS", SOON)
    async with peer() as made, client(made) as slow:
        stream = slow.begin(path)
        if drips:
            slow.send(stream, framed(b"a" * 1000)[:6])
        ended = asyncio.create_task(slow.ended())
        while not ended.done():
            if drips:
                slow.send(stream, b"a")
            await asyncio.wait((ended,), timeout=0.05)
            assert firsts(await made.infer(rows(1.0))) == [2.0]
        assert await ended == str(StatusCode.DEADLINE_EXCEEDED.value[0])
    # Nothing is left of it, nor is anything reported when the loop ends.
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_message_that_comes_slowly_but_in_time_is_answered() -> None:
    async with peer() as made, client(made) as slow:
        stream = slow.begin(INFER)
        whole = framed(rows(1.0).SerializeToString())
        for place, byte in enumerate(whole, 1):
            slow.send(stream, bytes([byte]), end=place == len(whole))
            await slow.writer.drain()
        assert await slow.ended() == "0"


async def test_a_stream_may_be_silent_for_longer(times: pytest.MonkeyPatch) -> None:
    times.setattr(grpcio_patience, "REQUEST_IDLE_SECONDS", SOON)
    async with peer() as made, client(made) as late, client(made) as patient:
        stream = patient.begin(STREAM)
        await patient.writer.drain()
        late.begin(INFER)
        assert await late.ended() == "4"  # So the time is over for the stream, too, which began before.
        patient.send(stream, framed(rows(1.0).SerializeToString()), end=True)
        assert await patient.ended() == "0"


async def test_a_client_that_leaves_before_its_message_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    async with peer() as made:
        async with client(made) as gone:
            gone.begin(INFER)
            await gone.writer.drain()
        assert firsts(await made.infer(rows(1.0))) == [2.0]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("first", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=["nothing", "half a greeting"])
async def test_a_client_that_says_nothing_at_first_is_cut_off(first: bytes, times: pytest.MonkeyPatch) -> None:
    times.setattr(grpcio_server, "FIRST_BYTES_SECONDS", SOON)
    async with peer() as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(first)
        await asyncio.wait_for(reader.read(), WAIT_SECONDS)
        writer.close()


async def test_a_connection_without_a_call_is_sent_away_and_one_with_a_call_is_not(times: pytest.MonkeyPatch) -> None:
    times.setattr(grpcio_patience, "IDLE_SECONDS", SOON)
    times.setattr(grpcio_patience, "REQUEST_IDLE_SECONDS", SOON)
    async with peer() as made, client(made) as busy, client(made) as idle:
        stream = busy.begin(STREAM)
        while await idle.read():
            pass
        assert idle.sent_away
        busy.send(stream, framed(rows(1.0).SerializeToString()), end=True)
        assert await busy.ended() == "0"


async def test_a_client_that_does_not_read_its_answer_is_cut_off(times: pytest.MonkeyPatch) -> None:
    times.setattr(grpcio_patience, "IDLE_SECONDS", SOON)
    times.setattr(grpcio_patience, "REQUEST_IDLE_SECONDS", SOON)
    async with peer() as made, client(made, INITIAL_WINDOW_SIZE=0) as deaf:
        deaf.send(deaf.begin(INFER), framed(rows(1.0).SerializeToString()), end=True)
        while await deaf.read():
            pass


async def test_a_client_that_answers_no_ping_is_cut_off(times: pytest.MonkeyPatch) -> None:
    times.setattr(grpcio_server, "PING_AFTER_SECONDS", SOON)
    times.setattr(grpcio_server, "PONG_SECONDS", SOON)
    async with peer() as made, client(made) as mute:
        mute.begin(STREAM)
        await asyncio.wait_for(mute.reader.read(), WAIT_SECONDS)


def test_the_longest_message_has_the_time_that_it_takes_at_a_mebibyte_a_second(times: pytest.MonkeyPatch) -> None:
    times.undo()
    assert message_seconds(64 * MIB) == 30 + 64
    assert (idle_seconds(64 * MIB), idle_seconds(1024 * MIB)) == (300, 30 + 1024)
