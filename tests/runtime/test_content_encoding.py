"""Compressed bodies in, bounded by what they unpack to, and compressed answers out."""

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.errors import BodyTooLarge, Malformed, UnsupportedMedia
from tidegate_runtime.protocol.compression import (
    STEP_BYTES,
    Encoding,
    Inflater,
    accepted_encoding,
    compress,
    content_encoding,
)


def unpack(packed: bytes, encoding: Encoding, limit: int = 1 << 24, piece: int = 1 << 16) -> bytes:
    inflater = Inflater(encoding, limit)
    for start in range(0, len(packed), piece):
        rest = packed[start : start + piece]
        while rest:
            before = len(inflater.body)
            rest = inflater.feed(rest)
            assert len(inflater.body) - before <= STEP_BYTES
    return bytes(inflater.end())


@given(st.lists(st.binary(max_size=300), max_size=5), st.sampled_from(Encoding), st.integers(1, 40))
def test_what_is_packed_unpacks_to_the_same(parts: list[bytes], encoding: Encoding, piece: int) -> None:
    assert unpack(b"".join(compress(parts, encoding)), encoding, piece=piece) == b"".join(parts)


@pytest.mark.parametrize("size", [STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 3 * STEP_BYTES])
def test_long_bodies_are_unpacked_step_by_step(size: int) -> None:
    assert unpack(gzip.compress(bytes(size)), Encoding.GZIP) == bytes(size)


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", gzip.compress(bytes(2**24))), ("deflate", zlib.compress(bytes(2**24)))]
)
def test_row_19_a_bomb_ends_at_the_limit(encoding: Encoding, packed: bytes) -> None:
    inflater = Inflater(Encoding(encoding), 10_000)
    with pytest.raises(BodyTooLarge, match="unpacked body is over the limit of 10000 bytes"):
        inflater.feed(packed)
    assert len(inflater.body) == 10_001


def test_a_body_of_just_the_limit_is_taken() -> None:
    assert unpack(gzip.compress(bytes(1000)), Encoding.GZIP, limit=1000) == bytes(1000)
    with pytest.raises(BodyTooLarge):
        unpack(gzip.compress(bytes(1001)), Encoding.GZIP, limit=1000)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        pytest.param(b"{}", "is not gzip", id="plain JSON"),
        pytest.param(zlib.compress(b"{}"), "is not gzip", id="the other encoding"),
        pytest.param(gzip.compress(b"{}")[:-4], "incomplete", id="a missing end"),
        pytest.param(b"", "incomplete", id="nothing"),
        pytest.param(gzip.compress(b"{}") + b"x", "bytes follow", id="garbage behind"),
        pytest.param(gzip.compress(b"{") + gzip.compress(b"}"), "send one stream", id="two streams"),
        pytest.param(gzip.compress(b"{}")[:-8] + bytes(8), "is not gzip", id="a wrong checksum"),
    ],
)
def test_refused_is(packed: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        unpack(packed, Encoding.GZIP)


@given(st.binary(max_size=60), st.sampled_from(Encoding))
def test_any_bytes_unpack_or_are_refused(packed: bytes, encoding: Encoding) -> None:
    with suppress(Malformed):
        unpack(packed, encoding)


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, None), ("identity", None), ("gzip", "gzip"), ("GZip", "gzip"), ("x-gzip", "gzip"), ("deflate", "deflate")],
)
def test_a_content_encoding_is(header: str | None, expected: str | None) -> None:
    assert content_encoding(header) == expected


@pytest.mark.parametrize("header", ["br", "gzip, deflate", "gzip;q=1", "zstd"])
def test_row_19_an_unknown_encoding_is_refused(header: str) -> None:
    with pytest.raises(UnsupportedMedia, match="send the body uncompressed, or as gzip or deflate"):
        content_encoding(header)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("deflate", "deflate"),
        ("deflate;q=0.9, gzip;q=0.5", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=0, deflate", "deflate"),
        ("*", "gzip"),
        ("*;q=0", None),
        ("gzip;q=0, *", "deflate"),
        ("br", None),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.2, gzip;q=0.5", "gzip"),
        ("gzip;q=high", None),
        ("gzip;q=nan", None),
        ("gzip;q=7", None),
        (" GZIP ; q=1.0 ", "gzip"),
        pytest.param(f"{'a,' * 31}gzip", "gzip", id="the 32nd"),
        pytest.param(f"{'a,' * 32}gzip", None, id="the 33rd, which is not looked at"),
    ],
)
def test_an_answer_is_encoded_as_the_client_prefers(header: str | None, expected: str | None) -> None:
    assert accepted_encoding(header) == expected
