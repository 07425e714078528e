"""Heads, trailers and messages of gRPC over HTTP/2, and the credit of large ones, without a connection."""

import itertools
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.errors import BodyTooLarge, InvalidRequest
from tidegate_runtime.rpc.http2_credit import Credit
from tidegate_runtime.rpc.http2_packed import STEP_BYTES, Packed
from tidegate_runtime.rpc.http2_wire import Messages, NotGrpc, block, read_head, seconds_of, trailers

CALL = {":method": "POST", ":scheme": "http", ":path": "/a/B", ":authority": "x", "content-type": "application/grpc"}


def fields(**more: str) -> bytes:
    return block([*(CALL | {name.replace("_", "-"): value for name, value in more.items()}).items()])


def test_a_head_is_its_path_and_metadata() -> None:
    head = read_head(fields(te="trailers", grpc_timeout="1S", grpc_encoding="gzip", user_agent="u", x_bin="AA=="))
    assert (head.path, head.encoding, head.timeout) == ("/a/B", "gzip", "1S")
    assert head.metadata == {"user-agent": "u"}


def test_of_metadata_that_come_twice_the_last_is_kept() -> None:
    assert read_head(fields(a="1") + b"a\x002\0").metadata == {"a": "2"}


@pytest.mark.parametrize("kind", ["application/grpc+proto", "application/grpc;x=y", "application/grpc"])
def test_a_call_has_one_of_grpc_s_types(kind: str) -> None:
    assert read_head(fields(content_type=kind)).path == "/a/B"


@pytest.mark.parametrize("more", [{":method": "GET"}, {"content-type": "application/grpcx"}, {"content-type": ""}])
def test_other_requests_are_no_calls(more: dict[str, str]) -> None:
    with pytest.raises(NotGrpc):
        read_head(block([*(CALL | more).items()]))


TIMEOUTS = [
    ("2H", 7200.0),
    ("3M", 180.0),
    ("4S", 4.0),
    ("5m", 0.005),
    ("6u", 6e-6),
    ("7n", 7e-9),
    ("99999999m", 99999.999),
]


@pytest.mark.parametrize(("text", "seconds"), TIMEOUTS)
def test_a_timeout_has_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "-1S", "1.5S", "123456789S", "\u0661S", "1 S", "1s"])
def test_anything_else_is_no_timeout(text: str) -> None:
    with pytest.raises(InvalidRequest):
        seconds_of(text)


def test_a_message_for_people_is_printable_ascii() -> None:
    assert trailers("INTERNAL", "100 % né\n", [("a", "b")]) == (
        b"grpc-status\x0013\0grpc-message\x00100 %25 n%C3%A9%0A\0a\0b\0"
    )
    assert trailers("OK", "", ()) == b"grpc-status\x000\0"


def prefixed(data: bytes) -> bytes:
    return b"\0" + len(data).to_bytes(4) + data


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_messages_are_the_same_however_they_are_cut(sent: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(prefixed, sent))
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    messages, got = Messages("identity", 40), []
    for start, end in itertools.pairwise(edges):
        if start < end:
            messages.add(data[start:end])
        while size := messages.complete():
            got.append((messages.most(size), messages.take(size), size))
    assert got == [(len(each), each, len(each) + 5) for each in sent]
    assert messages.held == 0


def test_a_message_that_will_be_too_large_is_refused_by_its_prefix() -> None:
    messages = Messages("identity", 10)
    messages.add(b"\0\0\0\0\x0b")
    with pytest.raises(BodyTooLarge, match="11 bytes; the limit is 10"):
        messages.complete()


def unpacked(taken: bytes | Packed, step: int = STEP_BYTES) -> bytes:
    while isinstance(taken, Packed):
        message = taken.step(step)
        taken = taken if message is None else message
    return taken


@pytest.mark.parametrize("size", [0, 1, 100, 10_000, 1 << 20])
def test_no_message_unpacks_to_more_than_there_was_room_made_for(size: int) -> None:
    packed = zlib.compress(bytes(size), 9)
    messages = Messages("deflate", 1 << 20)
    messages.add(b"\1" + len(packed).to_bytes(4) + packed)
    whole = messages.complete()
    assert whole == 5 + len(packed)
    most = messages.most(whole)
    assert size <= most <= min(1 << 20, 1032 * whole)
    assert unpacked(messages.take(whole)) == bytes(size)


def test_the_longest_borrower_gets_all_and_others_wait_for_it() -> None:
    grants: list[tuple[int, int]] = []
    credit = Credit(100, lambda stream, size: grants.append((stream, size)))
    credit.borrow(1, 80)
    credit.borrow(3, 50)
    credit.borrow(1, 500)
    credit.borrow(5, 10)
    assert grants == [(1, 80), (1, 500)]
    assert credit.give_back(1) == 580
    assert grants[2:] == [(3, 50), (5, 10)]


Step = tuple[int, int]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 60)), max_size=60))
def test_what_is_lent_is_bounded_and_somebody_always_goes_on(steps: list[Step]) -> None:
    granted: dict[int, int] = {}
    asked: dict[int, int] = {}

    def grant(stream: int, size: int) -> None:
        granted[stream] = granted.get(stream, 0) + size

    credit: Any = Credit(100, grant)
    for stream, size in steps:
        if size == 0:
            assert credit.give_back(stream) == granted.pop(stream, 0)
            asked.pop(stream, None)
        else:
            asked[stream] = asked.get(stream, 0) + size
            credit.borrow(stream, size)
        oldest = next(iter(granted), None)
        assert sum(size for each, size in granted.items() if each != oldest) <= 100
        assert not asked or any(asked[each] == granted.get(each) for each in asked)
