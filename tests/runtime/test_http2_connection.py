"""A connection on libnghttp2, against clients that grpcio can't be: odd framing, tiny windows, slow readers."""

import asyncio
import gc
import itertools
import tracemalloc
from typing import Any

import pytest
from hpack import Encoder
from hyperframe.frame import (
    DataFrame,
    HeadersFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate_runtime.rpc.http2_bounds import STREAM_WINDOW

from .http2_peer import MAX_MESSAGE, Http2Peer, framed, head, message, packed

ENHANCE_YOUR_CALM = 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


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


def held(peer: Http2Peer) -> int:
    """Bytes of requests that no method has yet."""
    calls: list[Any] = list(peer.connection._calls.values())
    return sum(call._messages.held + len(call._message or b"") for call in calls)


async def test_a_packed_message_is_read() -> None:
    peer = Http2Peer()
    stream = peer.begin(grpc_encoding="gzip")
    peer.client.send_data(stream, packed("z"), end_stream=True)
    await peer.settle()
    assert peer.answers(stream) == ["z|"]


async def test_a_packed_message_is_held_as_it_came_until_its_request_has_ended() -> None:
    peer = Http2Peer()
    body = packed("z" * 500_000)
    stream = peer.begin(grpc_encoding="gzip")
    peer.client.send_data(stream, body)
    await peer.settle()
    assert held(peer) == len(body)
    peer.client.send_data(stream, b"", end_stream=True)
    await peer.settle()
    assert peer.answers(stream) == ["z" * 500_000 + "|"]


async def test_messages_whose_requests_do_not_end_are_within_what_the_connection_may_hold() -> None:
    peer = Http2Peer()
    size = MAX_MESSAGE - 100_000
    left = {peer.begin(): message("x" * size) for _ in range(10)}
    most = 0

    async def send(*, ending: bool) -> bool:
        """Sends of each what may be sent; whether it was anything."""
        sent = False
        for stream, body in list(left.items()):
            room = min(peer.client.local_flow_control_window(stream), 16384, len(body))
            if room or (ending and not body):
                last = ending and room == len(body)
                peer.client.send_data(stream, body[:room], end_stream=last)
                left[stream], sent = body[room:], True
                if last:
                    del left[stream]
        await peer.settle()
        return sent

    while await send(ending=False):
        most = max(most, held(peer))
    assert any(not body for body in left.values())
    assert most <= 2 * MAX_MESSAGE + 10 * STREAM_WINDOW
    streams = list(left)
    while left:
        assert await send(ending=True)
    assert [peer.answers(stream) for stream in streams] == [["x" * size + "|"]] * 10


async def test_more_than_the_one_message_is_refused_before_the_request_ends() -> None:
    peer = Http2Peer()
    streams = [peer.begin(), peer.begin(), peer.begin()]
    for stream, pieces in zip(streams, [(b"ab",), (b"a", b"b"), (b"a", b"", b"b")], strict=True):
        for piece in pieces:
            peer.client.send_data(stream, b"".join(message(chr(each)) for each in piece))
            peer.exchange()
    await peer.settle()
    assert [peer.status(stream) for stream in streams] == ["12"] * 3


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


async def test_a_stream_that_rests_does_not_hold_its_last_message() -> None:
    peer = Http2Peer()
    body = packed("z" * (MAX_MESSAGE - 100))
    streams = [peer.begin("/t/Stream", grpc_encoding="gzip") for _ in range(8)]
    await peer.settle()
    tracemalloc.start()
    for stream in streams:
        peer.client.send_data(stream, body)
        async with asyncio.timeout(10):
            while len(peer.bodies.get(stream, b"")) < MAX_MESSAGE - 100:
                await asyncio.sleep(0)
                peer.exchange()
        del peer.bodies[stream]
    await peer.settle()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2 * MAX_MESSAGE


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
