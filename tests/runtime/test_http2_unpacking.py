"""Packed messages over HTTP/2: portion by portion, one at a time, bounded, and beside other calls."""

import asyncio
import itertools
import zlib
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.errors import BodyTooLarge, Malformed
from tidegate_runtime.rpc import http2_packed
from tidegate_runtime.rpc.administrator import Administrator
from tidegate_runtime.rpc.health import Health
from tidegate_runtime.rpc.http2_packed import FIRST_BYTES, STEP_BYTES, Packed
from tidegate_runtime.rpc.methods import SMALL_BYTES, methods
from tidegate_runtime.rpc.servicer import Servicer
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service

from .http2_peer import MAX_MESSAGE, Http2Peer, message, packed

WINDOW_BITS = {"gzip": 31, "deflate": 15}


def deflated(data: bytes, encoding: str, level: int = 6, flushes: int = 0) -> bytes:
    """The data as one stream, with so many empty blocks before its end."""
    stream = zlib.compressobj(level, zlib.DEFLATED, WINDOW_BITS[encoding])
    parts = [stream.compress(data), *(stream.flush(zlib.Z_FULL_FLUSH) for _ in range(flushes))]
    return b"".join((*parts, stream.flush()))


def steps(packed_message: Packed, size: int) -> tuple[bytes, int]:
    """The message, and in how many portions it came."""
    for count in itertools.count(1):
        whole = packed_message.step(size)
        if whole is not None:
            return whole, count
    raise AssertionError


@given(
    st.one_of(st.binary(max_size=3000), st.integers(0, 300_000).map(bytes)),
    st.sampled_from(sorted(WINDOW_BITS)),
    st.integers(0, 9),
    st.integers(0, 3),
    st.sampled_from([1000, 65_536, 1 << 20]),
)
def test_a_message_is_the_same_in_any_portions(data: bytes, encoding: str, level: int, flushes: int, step: int) -> None:
    body = deflated(data, encoding, level, flushes)
    whole, count = steps(Packed(body, encoding, len(data)), step)
    assert whole == data
    assert count <= 2 + len(data) // step + len(body) // 65_536


@pytest.mark.parametrize("encoding", WINDOW_BITS)
@pytest.mark.parametrize("size", [0, 10, 200_000])
def test_what_is_not_one_whole_stream_is_refused(encoding: str, size: int) -> None:
    body = deflated(bytes(size), encoding)
    for spoilt in (b"", body[:-1], body + b"x", body + body, b"x" + body):
        with pytest.raises(Malformed):
            steps(Packed(spoilt, encoding, size), 65_536)


def test_a_message_that_unpacks_to_too_much_ends_at_the_first_byte_beyond() -> None:
    body = deflated(bytes(64 << 20), "gzip")
    bomb = Packed(body, "gzip", 300_000)
    assert [bomb.step(100_000) for _ in range(3)] == [None] * 3
    with pytest.raises(BodyTooLarge, match="more than 300000 bytes"):
        bomb.step(100_000)


def test_what_cannot_be_packed_further_is_not_copied_over_and_over() -> None:
    data = b"".join(index.to_bytes(4) for index in range(500_000))
    whole, count = steps(Packed(deflated(data, "gzip", level=0), "gzip", len(data)), STEP_BYTES)
    assert whole == data
    assert count <= 2 + len(data) // 65_536


def test_a_request_without_tensors_is_whole_in_the_first_portion() -> None:
    assert FIRST_BYTES == SMALL_BYTES + 1
    for level in (0, 6):
        body = deflated(bytes(SMALL_BYTES - 1000), "gzip", level)
        assert Packed(body, "gzip", SMALL_BYTES).step(FIRST_BYTES) == bytes(SMALL_BYTES - 1000)


def test_only_requests_for_inference_may_be_large() -> None:
    service = Service(Limits(8, 0.0, 512, 65536, 30.0))
    table = methods(Servicer(service), Health(service), Administrator(None))
    large = {method.path.rpartition("/")[2] for method in table if method.max_bytes(1 << 30) > SMALL_BYTES}
    assert large == {"ModelInfer", "ModelStreamInfer"}
    assert {method.max_bytes(100) for method in table} == {100}


def send(peer: Http2Peer, body: bytes, path: str = "/t/Echo", **more: str) -> int:
    stream = peer.begin(path, **more)
    peer.client.send_data(stream, body, end_stream=True)
    return stream


async def answered(peer: Http2Peer, *streams: int) -> list[int]:
    """The streams, in the order in which they end."""
    order: list[int] = []
    async with asyncio.timeout(10):
        while len(order) < len(streams):
            await asyncio.sleep(0)
            peer.exchange()
            order += [stream for stream in streams if peer.status(stream) and stream not in order]
    return order


LARGE = "z" * (MAX_MESSAGE - 100)


async def test_a_large_packed_message_does_not_keep_other_calls_waiting() -> None:
    peer = Http2Peer()
    large = send(peer, packed(LARGE), grpc_encoding="gzip")
    small = [peer.call("a"), send(peer, packed("b"), grpc_encoding="gzip")]
    assert await answered(peer, large, *small) == [*small, large]
    assert peer.answers(large) == [LARGE + "|"]
    assert [peer.answers(stream) for stream in small] == [["a|"], ["b|"]]


async def test_large_packed_messages_are_unpacked_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    step = Packed.step

    def noted(self: Packed, size: int) -> bytes | None:
        if size != FIRST_BYTES:
            seen.append(id(self))
        return step(self, size)

    monkeypatch.setattr(http2_packed.Packed, "step", noted)
    peer = Http2Peer()
    streams = [send(peer, packed(LARGE), grpc_encoding="gzip") for _ in range(3)]
    streams.append(send(peer, packed(LARGE), "/t/Stream", grpc_encoding="gzip"))
    await answered(peer, *streams)
    assert len(seen) >= 4 * 4
    assert len(list(itertools.groupby(seen))) == 4
    assert [peer.status(stream) for stream in streams] == ["0"] * 4


async def test_a_flood_of_packed_messages_on_one_connection_does_not_keep_anothers_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpacked: list[bytes] = []
    step = Packed.step

    def noted(self: Packed, size: int) -> bytes | None:
        whole = step(self, size)
        if whole is not None:
            unpacked.append(whole[-1:])
        return whole

    monkeypatch.setattr(http2_packed.Packed, "step", noted)
    flooding, other = Http2Peer(), Http2Peer()
    other.connection.unpacking = flooding.connection.unpacking
    flooding.connection.peer, other.connection.peer = ("192.0.2.1", 50001), ("192.0.2.1", 50002)
    flood = [send(flooding, packed(LARGE), grpc_encoding="gzip") for _ in range(8)]
    flooding.exchange()
    one = send(other, packed(LARGE.replace("z", "y")), grpc_encoding="gzip")
    assert await answered(other, one) == [one]
    assert unpacked.index(b"y") <= 2
    await answered(flooding, *flood)
    assert [flooding.status(stream) for stream in flood] == ["0"] * 8


async def test_a_call_that_waits_to_be_unpacked_ends_with_its_deadline_or_its_client() -> None:
    peer = Http2Peer()
    await peer.shared.unpacking.enter("another")
    late = send(peer, packed(LARGE), grpc_encoding="gzip", grpc_timeout="20m")
    left = send(peer, packed(LARGE), grpc_encoding="gzip")
    while peer.status(late) is None:
        await asyncio.sleep(0.005)
        peer.exchange()
    assert peer.status(late) == "4"
    peer.client.reset_stream(left)
    await peer.settle()
    assert not peer.connection._calls
    peer.shared.unpacking.leave()
    again = send(peer, packed(LARGE), grpc_encoding="gzip")
    assert await answered(peer, again) == [again]
    assert not peer.shared.unpacking.taken


async def test_what_is_wrong_with_a_packed_message_is_told_wherever_it_shows() -> None:
    peer = Http2Peer()
    body = packed("z" * 300_000)
    streams = [
        send(peer, packed("z" * MAX_MESSAGE), grpc_encoding="gzip"),
        send(peer, b"\1" + (len(body) - 6).to_bytes(4) + body[5:-1], grpc_encoding="gzip"),
        send(peer, packed("z" * SMALL_BYTES), "/t/Small", grpc_encoding="gzip"),
        send(peer, packed("z" * MAX_MESSAGE), "/t/Stream", grpc_encoding="gzip"),
    ]
    await answered(peer, *streams)
    assert [peer.status(stream) for stream in streams] == ["8", "3", "8", "8"]
    assert str(SMALL_BYTES) in peer.heads[streams[2]]["grpc-message"]
    assert not peer.connection._calls
    assert not peer.shared.unpacking.taken


async def test_a_large_request_without_tensors_is_refused_by_its_prefix() -> None:
    peer = Http2Peer()
    stream = peer.begin("/t/Small")
    peer.client.send_data(stream, message("z" * SMALL_BYTES)[:5])
    await peer.settle()
    assert peer.status(stream) == "8"
    assert f"the limit is {SMALL_BYTES}" in peer.heads[stream]["grpc-message"]


async def test_what_was_lent_for_a_packed_message_is_given_back_once_it_is_unpacked() -> None:
    peer = Http2Peer()
    text = Random(1).randbytes(MAX_MESSAGE // 2 - 100).hex()
    stored = deflated(message(text)[5:], "gzip", level=1)
    body = b"\1" + len(stored).to_bytes(4) + stored
    assert len(body) > peer.connection.stream_window
    await peer.shared.unpacking.enter("another")
    stream = peer.begin(grpc_encoding="gzip")
    while body:
        room = min(peer.client.local_flow_control_window(stream), 16384, len(body))
        peer.client.send_data(stream, body[:room], end_stream=room == len(body))
        body = body[room:]
        await peer.settle()
    credit: Any = peer.connection.credit
    assert credit._lent[stream] > 0
    peer.shared.unpacking.leave()
    await answered(peer, stream)
    assert peer.answers(stream) == [text + "|"]
    assert not credit._lent
