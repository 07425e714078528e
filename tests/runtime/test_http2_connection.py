"""A connection on libnghttp2, against clients that grpcio can't be: odd framing, floods, tiny windows, and time."""

import asyncio
import gzip
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate_runtime.rpc.http2_connection import (
    FIRST_BYTES_SECONDS,
    IDLE_SECONDS,
    MAX_STREAMS,
    PING_AFTER_SECONDS,
    PONG_SECONDS,
    REQUEST_IDLE_SECONDS,
    STALL_SECONDS,
    STREAM_WINDOW,
)

from .http2_peer import MAX_MESSAGE, Http2Peer, head, message

ENHANCE_YOUR_CALM = 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def framed(kind: type[Frame], stream: int, data: bytes = b"", *flags: str, **members: Any) -> bytes:
    frame = kind(stream, **members)
    if data:
        frame.data = data  # type: ignore[attr-defined]
    for flag in flags:
        frame.flags.add(flag)
    return frame.serialize()


async def test_a_call_is_answered() -> None:
    peer = Http2Peer()
    stream = peer.call("a", x_own="me")
    await peer.settle()
    assert peer.heads[stream] == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity,deflate,gzip",
        "grpc-status": "0",
    }
    assert peer.answers(stream) == ["a|me"]


async def test_interleaved_calls_and_their_metadata_stay_apart() -> None:
    peers = [Http2Peer(), Http2Peer()]
    streams = [[peer.begin(x_own=f"{who}-{index}") for index in range(100)] for who, peer in enumerate(peers)]
    for position in range(0, len(message("000")), 3):
        for peer, own in zip(peers, streams, strict=True):
            for index, stream in enumerate(own):
                piece = message(f"{index:03}")[position : position + 3]
                peer.client.send_data(stream, piece, end_stream=position + 3 >= len(message("000")))
            peer.exchange()
    for who, (peer, own) in enumerate(zip(peers, streams, strict=True)):
        await peer.settle()
        assert [peer.answers(stream) for stream in own] == [[f"{i:03}|{who}-{i}"] for i in range(100)]


async def test_metadata_of_one_call_are_not_those_of_the_next() -> None:
    peer = Http2Peer()
    streams = [peer.call("a", x_own="secret"), peer.call("b"), peer.call("c", x_own="other"), peer.call("d")]
    await peer.settle()
    assert [peer.answers(stream) for stream in streams] == [["a|secret"], ["b|"], ["c|other"], ["d|"]]


def recorded() -> bytes:
    """What a client sends for two calls, a stream of three messages, and a call with a bad prefix."""
    peer = Http2Peer()
    peer.client.data_to_send()
    out = b""
    encoder = Encoder()
    for stream, body in ((1, message("one")), (3, message("x" * 3000)), (7, b"\5" + message("bad")[1:])):
        out += framed(HeadersFrame, stream, encoder.encode(head("/t/Echo", x_own=str(stream))), "END_HEADERS")
        out += framed(DataFrame, stream, body, "END_STREAM")
    out += framed(HeadersFrame, 9, encoder.encode(head("/t/Stream")), "END_HEADERS")
    out += framed(DataFrame, 9, message("p") + message("q")[:4]) + framed(DataFrame, 9, message("q")[4:])
    return out + framed(DataFrame, 9, message("") + message("r"), "END_STREAM")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 3400), max_size=30))
async def test_any_cutting_of_the_bytes_gives_the_same_answers(cuts: list[int]) -> None:
    peer = Http2Peer()
    data = recorded()
    # h2 has to know of streams that it didn't begin itself.
    for stream, path in ((1, "/t/Echo"), (3, "/t/Echo"), (7, "/t/Echo"), (9, "/t/Stream")):
        peer.client.send_headers(stream, head(path), end_stream=True)
    peer.client.data_to_send()
    edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    for start, end in itertools.pairwise(edges):
        peer.connection.data_received(data[start:end])
        await asyncio.sleep(0)
    await peer.settle()
    assert [peer.status(stream) for stream in (1, 3, 7, 9)] == ["0", "0", "3", "0"]
    assert peer.answers(1) == ["one|1"]
    assert peer.answers(3) == ["x" * 3000 + "|3"]
    assert peer.answers(9) == ["p", "q", "", "r"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3500), st.integers(0, 255)), min_size=1, max_size=8), st.integers(1, 4000))
async def test_spoilt_bytes_never_raise_and_leave_nothing_behind(spots: list[tuple[int, int]], cut: int) -> None:
    peer = Http2Peer()
    data = bytearray(recorded())
    for position, value in spots:
        data[position % len(data)] = value
    for piece in (data[:cut], data[cut:]):
        if not peer.wire.closed:
            peer.connection.data_received(bytes(piece))
        await asyncio.sleep(0)
    peer.connection.connection_lost(None)
    assert not peer.connection._calls
    assert not peer.shared.connections


@pytest.mark.parametrize(("window", "size"), [(1, 300), (1000, 400_000)])
async def test_an_answer_goes_through_a_tiny_window(window: int, size: int) -> None:
    peer = Http2Peer(INITIAL_WINDOW_SIZE=window)
    text = "".join(str(index) for index in range(80_000))[:size]
    stream = peer.begin()
    body = message(text)
    for start in range(0, len(body), 16384):
        peer.client.send_data(stream, body[start : start + 16384], end_stream=start + 16384 >= len(body))
        await peer.settle()
    await peer.settle()
    assert peer.answers(stream) == [text + "|"]
    assert peer.status(stream) == "0"


async def test_a_message_larger_than_the_window_arrives_and_one_over_the_bound_does_not() -> None:
    peer = Http2Peer()
    for size, status in ((MAX_MESSAGE - 10, "0"), (MAX_MESSAGE + 1, "8")):
        stream = peer.begin()
        body = message("x" * size)
        while body and peer.status(stream) is None:
            room = min(peer.client.local_flow_control_window(stream), 16384, len(body))
            assert room > 0
            peer.client.send_data(stream, body[:room], end_stream=room == len(body))
            body = body[room:]
            await peer.settle()
        assert peer.status(stream) in (status, "8")  # the answer is longer than the request
        assert bool(body) is (status == "8")


async def test_a_packed_message_is_read() -> None:
    peer = Http2Peer()
    packed = gzip.compress(message("z")[5:])
    stream = peer.begin(grpc_encoding="gzip")
    peer.client.send_data(stream, b"\1" + len(packed).to_bytes(4) + packed, end_stream=True)
    await peer.settle()
    assert peer.answers(stream) == ["z|"]


REFUSED: list[tuple[dict[str, str], bytes, str, str]] = [
    ({}, b"", "12", "has none"),
    ({}, message("a") + message("b"), "12", "has more"),
    ({}, message("abc")[:-1], "3", "ends within a message"),
    ({}, b"\1" + message("a")[1:], "13", "no grpc-encoding"),
    ({}, b"\7" + message("a")[1:], "3", "begins with 7"),
    ({"grpc_encoding": "gzip"}, b"\1" + message("a")[1:], "3", "is not gzip"),
    ({"grpc_encoding": "br"}, message("a"), "12", "identity,deflate,gzip"),
    ({"grpc_timeout": "1"}, message("a"), "3", "grpc-timeout"),
    ({"grpc_timeout": "123456789S"}, message("a"), "3", "grpc-timeout"),
    ({"grpc_timeout": "0n"}, message("a"), "4", "deadline"),
    ({":path": "/t/None"}, message("a"), "12", "no such method"),
    ({"x_own": "a" * 40_000}, message("a"), "8", "metadata over 32768 bytes"),
]


@pytest.mark.parametrize(("fields", "body", "status", "text"), REFUSED)
async def test_refused_is(fields: dict[str, str], body: bytes, status: str, text: str) -> None:
    peer = Http2Peer()
    stream = peer.begin(**fields)
    peer.client.send_data(stream, body, end_stream=True)
    await peer.settle()
    assert peer.status(stream) == status
    assert text in peer.heads[stream]["grpc-message"]
    again = peer.call("b")
    await peer.settle()
    assert peer.answers(again) == ["b|"]


async def test_what_is_no_call_is_told_in_http() -> None:
    peer = Http2Peer()
    streams = [peer.call("a", **{":method": "GET"}), peer.call("a", content_type="text/plain")]
    await peer.settle()
    assert [peer.heads[stream][":status"] for stream in streams] == ["405", "415"]
    assert b"gRPC" in peer.bodies[streams[1]]


async def test_messages_for_people_are_escaped() -> None:
    peer = Http2Peer()
    stream = peer.begin(grpc_encoding="100%\N{SNOWMAN}")
    await peer.settle()
    assert "100%25%C3%A2%C2%98%C2%83" in peer.heads[stream]["grpc-message"]


async def test_a_stream_s_window_opens_only_as_its_messages_are_read() -> None:
    peer = Http2Peer()
    peer.methods.may_read.clear()
    stream = peer.begin("/t/Stream")
    text = "x" * 10_000
    while peer.client.local_flow_control_window(stream) >= len(message(text)):
        peer.client.send_data(stream, message(text))
        await peer.settle()
    assert peer.client.local_flow_control_window(stream) < len(message(text))
    other = peer.call("other")
    await peer.settle()
    assert peer.answers(other) == ["other|"]
    peer.methods.may_read.set()
    await peer.settle()
    assert peer.client.local_flow_control_window(stream) > STREAM_WINDOW // 2
    peer.client.send_data(stream, b"", end_stream=True)
    await peer.settle()
    assert set(peer.answers(stream)) == {text}


async def test_a_stream_s_method_waits_for_a_client_that_does_not_read() -> None:
    peer = Http2Peer(INITIAL_WINDOW_SIZE=0)
    peer.read_windows = False
    stream = peer.begin("/t/Stream")
    for _ in range(20):
        peer.client.send_data(stream, message("x" * 10_000))
        await peer.settle()
    held = peer.connection._session.unsent
    assert 64 * 1024 < held < 100_000
    peer.client.increment_flow_control_window(1 << 20, stream)
    peer.client.increment_flow_control_window(1 << 20)
    peer.client.send_data(stream, b"", end_stream=True)
    await peer.settle()
    assert peer.answers(stream) == ["x" * 10_000] * 20


async def test_a_reset_cancels_the_call() -> None:
    peer = Http2Peer()
    peer.methods.held.clear()
    stream = peer.call("a")
    await peer.settle()
    peer.client.reset_stream(stream)
    await peer.settle()
    assert peer.methods.cancelled == 1
    assert not peer.connection._calls


async def test_a_deadline_cancels_the_call() -> None:
    peer = Http2Peer()
    peer.methods.held.clear()
    stream = peer.call("a", grpc_timeout="20m")
    await peer.settle()
    while peer.status(stream) is None:
        await asyncio.sleep(0.005)
        await peer.settle()
    assert (peer.status(stream), peer.methods.cancelled) == ("4", 1)


async def test_a_lost_connection_cancels_its_calls() -> None:
    peer = Http2Peer()
    peer.methods.held.clear()
    peer.call("a")
    await peer.settle()
    peer.connection.connection_lost(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert peer.methods.cancelled == 1
    assert not peer.shared.connections


async def test_calls_over_the_bound_are_refused_as_never_begun() -> None:
    peer = Http2Peer()
    peer.methods.held.clear()
    encoder = Encoder()
    for index in range(MAX_STREAMS + 1):
        block = encoder.encode(head("/t/Echo"))
        peer.connection.data_received(framed(HeadersFrame, 2 * index + 1, block, "END_HEADERS"))
    peer.read()
    assert peer.resets == {2 * MAX_STREAMS + 1: 7}


def pings(peer: Http2Peer) -> bytes:
    return framed(PingFrame, 0, opaque_data=b"01234567") * 2000


def empty_settings(peer: Http2Peer) -> bytes:
    return framed(SettingsFrame, 0) * 2000


def rapid_resets(peer: Http2Peer) -> bytes:
    encoder = Encoder()
    return b"".join(
        framed(HeadersFrame, stream, encoder.encode(head("/t/Echo")), "END_HEADERS")
        + framed(RstStreamFrame, stream, error_code=8)
        for stream in range(1, 6001, 2)
    )


def continuations(peer: Http2Peer) -> bytes:
    return framed(HeadersFrame, 1, b"\x82") + framed(ContinuationFrame, 1, b"\x84") * 100


def bad_window_updates(peer: Http2Peer) -> bytes:
    return framed(WindowUpdateFrame, 0, window_increment=2**31 - 1) * 2


@pytest.mark.parametrize("flood", [pings, empty_settings, rapid_resets, continuations, bad_window_updates])
async def test_a_flood_ends_the_connection(flood: Callable[[Http2Peer], bytes]) -> None:
    peer = Http2Peer()
    peer.connection.data_received(flood(peer))
    assert peer.wire.closed
    assert not peer.connection._calls


async def test_rapid_resets_are_told_to_calm_down() -> None:
    peer = Http2Peer()
    peer.connection.data_received(rapid_resets(peer))
    peer.read()
    assert peer.goaway == ENHANCE_YOUR_CALM


async def test_many_small_reads_of_pings_are_answered() -> None:
    peer = Http2Peer()
    for _ in range(3000):
        peer.send(framed(PingFrame, 0, opaque_data=b"01234567"))
    assert not peer.wire.closed


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 40, PREFACE[:-1] + b"x" + b"\0" * 20])
async def test_what_is_not_http_2_is_closed(data: bytes) -> None:
    fresh = Http2Peer()
    fresh.connection = type(fresh.connection)(fresh.shared)
    fresh.wire = type(fresh.wire)()
    fresh.connection.connection_made(fresh.wire)  # type: ignore[arg-type]
    fresh.connection.data_received(data)
    assert fresh.wire.closed


async def test_a_client_that_leaves_goes_in_peace() -> None:
    peer = Http2Peer()
    peer.methods.held.clear()
    stream = peer.call("a")
    await peer.settle()
    peer.connection.leave()
    await peer.settle()
    assert not peer.wire.closed
    peer.methods.held.set()
    await peer.settle()
    assert (peer.goaway, peer.status(stream), peer.wire.closed) == (0, "0", True)
    assert not peer.wire.aborted


def swept(peer: Http2Peer, seconds: float) -> None:
    """Time goes by, and the server looks as often as it does."""
    end = peer.clock.now + seconds
    while peer.clock.now < end:
        peer.clock.now += 5
        peer.connection.sweep(peer.clock.now)


async def test_a_client_that_says_nothing_at_first_is_cut_off() -> None:
    silent = Http2Peer()
    silent.connection._heard = False
    swept(silent, FIRST_BYTES_SECONDS + 5)
    assert silent.wire.aborted


async def test_a_client_that_is_silent_is_asked_whether_it_lives() -> None:
    living, dead = Http2Peer(), Http2Peer()
    for peer in (living, dead):
        peer.connection.sweep(peer.clock.now)
        swept(peer, PING_AFTER_SECONDS + 5)
        assert peer.wire.written
    await living.settle()
    for peer in (living, dead):
        swept(peer, PONG_SECONDS + 5)
    assert (living.wire.closed, dead.wire.aborted) == (False, True)


async def test_an_idle_connection_is_sent_away_and_one_with_a_call_is_not() -> None:
    idle, busy = Http2Peer(), Http2Peer()
    busy.begin("/t/Stream")
    for peer in (idle, busy):
        await peer.settle()
        for _ in range(int(IDLE_SECONDS // 30) + 1):
            swept(peer, 30)
            await peer.settle()
    assert (idle.goaway, idle.wire.closed) == (0, True)
    assert (busy.goaway, busy.wire.closed) == (None, False)


async def test_a_request_that_stops_coming_is_dropped() -> None:
    peer = Http2Peer()
    slow, patient = peer.begin(), peer.begin("/t/Stream")
    peer.client.send_data(slow, message("abc")[:6])
    await peer.settle()
    swept(peer, 2 * REQUEST_IDLE_SECONDS + 10)
    await peer.settle()
    assert (peer.status(slow), peer.status(patient)) == ("4", None)


@pytest.mark.parametrize("how", ["window", "socket"])
async def test_a_client_that_reads_no_answers_is_cut_off(how: str) -> None:
    peer = Http2Peer(INITIAL_WINDOW_SIZE=0)
    if how == "socket":
        peer.connection.pause_writing()
    peer.call("a")
    await peer.settle()
    swept(peer, STALL_SECONDS - 5)
    assert not peer.wire.closed
    swept(peer, 15)
    assert peer.wire.aborted
