"""Serialized messages of any type."""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from tidegate_runtime.errors import Malformed

M = TypeVar("M", bound=Message)


def parsed(kind: type[M], data: bytes) -> M:
    """The message in `data`. Raises `Malformed`."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Malformed(f"the message is not a {kind.DESCRIPTOR.full_name}") from None
