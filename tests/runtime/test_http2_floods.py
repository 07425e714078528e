"""What clients may not do to a connection on libnghttp2, and how it ends for them."""

from collections.abc import Callable

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tidegate_runtime.rpc.http2_bounds import MAX_STREAMS

from .http2_peer import Http2Peer, framed, head

FLOW_CONTROL_ERROR = 3
ENHANCE_YOUR_CALM = 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def test_calls_over_the_bound_are_refused_as_never_begun() -> None:
    peer = Http2Peer()
    peer.methods.held.clear()
    encoder = Encoder()
    for index in range(MAX_STREAMS + 1):
        block = encoder.encode(head("/t/Echo"))
        peer.connection.data_received(framed(HeadersFrame, 2 * index + 1, block, "END_HEADERS"))
    peer.read()
    assert peer.resets == {2 * MAX_STREAMS + 1: 7}


async def test_a_client_that_reads_nothing_is_refused_more_answers() -> None:
    peer = Http2Peer(INITIAL_WINDOW_SIZE=0)
    peer.shared.max_unsent_bytes = 1000
    first = [peer.call("x" * 400) for _ in range(3)]
    await peer.settle()
    refused = peer.call("y")
    await peer.settle()
    assert peer.status(refused) == "8"
    assert "read them" in peer.heads[refused]["grpc-message"]
    for stream in first:
        peer.client.increment_flow_control_window(1000, stream)
    await peer.settle()
    again = peer.call("z")
    peer.client.increment_flow_control_window(1000, again)
    await peer.settle()
    assert [peer.status(stream) for stream in (*first, again)] == ["0"] * 4


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


@pytest.mark.parametrize(
    ("flood", "code"),
    [
        (pings, ENHANCE_YOUR_CALM),
        (empty_settings, ENHANCE_YOUR_CALM),
        (rapid_resets, ENHANCE_YOUR_CALM),
        (continuations, ENHANCE_YOUR_CALM),
        (bad_window_updates, FLOW_CONTROL_ERROR),
    ],
)
async def test_row_24_a_flood_is_told_and_ends_the_connection(flood: Callable[[Http2Peer], bytes], code: int) -> None:
    peer = Http2Peer()
    peer.connection.data_received(flood(peer))
    peer.read()
    assert (peer.goaway, peer.wire.closed) == (code, True)
    assert not peer.connection._calls


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
