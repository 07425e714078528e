"""Serialized messages of any type."""

from functools import cache
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from tidegate_runtime.errors import Malformed
from tidegate_runtime.rpc.field_bound import check_fields

M = TypeVar("M", bound=Message)


def parsed(kind: type[M], data: bytes) -> M:
    """The message in `data`. Raises `Malformed`."""
    check_fields(data, _messages_in(kind.DESCRIPTOR))
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Malformed(f"the message is not a {kind.DESCRIPTOR.full_name}") from None


@cache
def _messages_in(kind: Any) -> frozenset[int]:
    """The numbers of the fields that are messages."""
    return frozenset(field.number for field in kind.fields if field.message_type is not None)
