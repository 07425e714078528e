"""How many fields a message may have: each becomes an object of a hundred bytes, and takes two on the wire. Pure.

https://protobuf.dev/programming-guides/encoding/. What isn't well formed is left to the parser to refuse.
"""

from typing import Final

from tidegate_runtime.errors import Malformed

LARGE: Final = 1 << 20
"""Bytes from which on a message is looked at: a smaller one can't hold what matters."""

MAX_FIELDS: Final = 65_536
"""Of the message itself and of the messages right in it; a request has some for each tensor."""


def check_fields(data: bytes, messages: frozenset[int]) -> None:
    """Raises `Malformed` for a large message of too many fields; `messages` are the numbers of those that hold some."""
    if len(data) < LARGE:
        return
    inner: list[tuple[int, int]] = []
    left = _counted(data, 0, len(data), MAX_FIELDS, messages, inner)
    for begin, end in inner:
        left = _counted(data, begin, end, left, frozenset(), [])


def _counted(data: bytes, at: int, end: int, left: int, messages: frozenset[int], inner: list[tuple[int, int]]) -> int:
    """How many fields are left of `left` behind those of a message; notes where the messages in it are."""
    while at < end:
        left -= 1
        if left < 0:
            raise Malformed(f"a message of more than {MAX_FIELDS} fields; send tensors as raw contents")
        tag, at = _varint(data, at, end)
        match tag & 7:  # The wire type.
            case 0:
                _, at = _varint(data, at, end)
            case 1:
                at += 8
            case 5:
                at += 4
            case 2:
                size, at = _varint(data, at, end)
                if tag >> 3 in messages:
                    inner.append((at, min(end, at + size)))
                at += size
            case _:
                break
    return left


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    return value, end
