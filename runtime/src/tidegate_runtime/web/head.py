"""The heads of hot requests: which are of the common form, and how one that repeats another is recognised. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from tidegate_runtime.naming import HOP_HEADER, ROUTE_HEADER, ROUTED_BY_MATCH
from tidegate_runtime.protocol.plain import Plain
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.web.head_bounds import MAX_HEAD_BYTES, MAX_HEADERS
from tidegate_runtime.web.reply import JSON_LENGTH, Header

MAX_PATTERN_BYTES: Final = 2048
HOP: Final = HOP_HEADER.encode()

_NEVER_HOT: Final = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_ROUTE: Final = ROUTE_HEADER.encode()
_BY_MATCH: Final = ROUTED_BY_MATCH.encode()
_MEDIA: Final = frozenset({None, b"application/json", b"application/octet-stream"})
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})\r\n", re.IGNORECASE)


class Head(NamedTuple):
    """What a hot request's head says, but for the length of the body."""

    url: bytes
    model: ServedModel
    keep_alive: bool
    json_length: bytes | None
    """As it was sent."""
    json_size: int | None
    """As a number; 0 if it isn't one, or too large to be right."""
    accepted: bytes | None
    form: Plain | None
    """The codec of requests of this form that repeat; None if the model has none."""
    chosen: bool = False
    """Whether the router sent it here for what it is, so that its time is no evidence."""
    traceparent: bytes | None = None
    tracestate: bytes | None = None
    """Both are only read where requests are recorded."""
    hop: bool = False
    """Whether another server has sent the request on."""
    given: Sequence[Header] = ()
    """The headers as they came."""
    admit: Callable[[], None] | None = None
    """Lets each request with this head in, or raises any `RuntimeFault`; None: whoever sends it."""
    authorization: str | None = None
    """What it shows for that."""


class _Bounded(Protocol):
    @property
    def max_body_bytes(self) -> int: ...


class _AnyHead(Protocol):
    @property
    def model(self) -> _Bounded: ...


H = TypeVar("H", bound=_AnyHead)


class Pattern(NamedTuple, Generic[H]):
    """The bytes of a head before and behind the digits of `Content-Length`, and what the head says.

    What a head means follows from its bytes alone, so it needn't be found out again.
    """

    before: bytes
    behind: bytes
    head: H

    def body_at(self, data: bytes) -> int:
        """Where the body begins if `data` is one whole request whose head repeats this one but for the length; else 0.

        The body is no longer than the model takes.
        """
        before, behind, head = self
        if not data.startswith(before):
            return 0
        begin = len(before)
        stop = data.find(b"\r", begin, begin + 13)
        if not data.startswith(behind, stop):
            return 0
        digits = data[begin:stop]
        body = stop + len(behind)
        whole = digits.isdigit() and 0 < int(digits) == len(data) - body <= head.model.max_body_bytes
        return body if whole else 0


def common_head(url: bytes, given: list[Header], model: ServedModel, keep_alive: bool) -> Head | None:
    """What the head of an HTTP/1.1 POST says if it is of the common form: a body of known length, as it is."""
    headers = dict(given)
    if headers.get(b"content-type") not in _MEDIA or not has_plain_body(headers, given, model.max_body_bytes):
        return None
    json_length = headers.get(JSON_LENGTH)
    hop = HOP in headers
    form = model.plain if json_length is None else model.plain_binary
    accepted, chosen = headers.get(b"accept-encoding"), headers.get(_ROUTE) == _BY_MATCH
    return Head(url, model, keep_alive, json_length, _number(json_length), accepted, form, chosen, hop=hop, given=given)


def has_plain_body(headers: Mapping[bytes, bytes], given: Sequence[Header], most: int) -> bool:
    """Whether a body of known length, of at most `most` bytes, follows these headers, as it is.

    `headers` are those that are `given`, none of which may come twice.
    """
    length = headers.get(b"content-length")
    return (
        length is not None
        and b"host" in headers
        and _NEVER_HOT.isdisjoint(headers)
        and len(headers) == len(given) <= MAX_HEADERS
        and 0 < int(length) <= most
        and sum(map(len, headers)) + sum(map(len, headers.values())) <= MAX_HEAD_BYTES
    )


def _number(digits: bytes | None) -> int | None:
    if digits is None:
        return None
    return int(digits) if digits.isdigit() and len(digits) <= 12 else 0


def pattern_of(arrived: bytes, body: bytes | bytearray, head: H) -> Pattern[H] | None:
    """The pattern of a request that came whole, in one piece; None if its head can't be told from `arrived` surely.

    Where a parser sees a head's end follows from the head; that it sees it where we do is seen from the body.
    """
    end = len(arrived) - len(body)
    text = arrived[:end]
    if (
        not 0 < end <= MAX_PATTERN_BYTES
        or not text.startswith(b"POST ")
        or text.find(b"\r\n\r\n") != end - 4
        or not arrived.endswith(body)
    ):
        return None
    lengths = list(_LENGTH.finditer(text))
    if len(lengths) != 1 or int(lengths[0][1]) != len(body):
        return None
    return Pattern(text[: lengths[0].start(1)], text[lengths[0].end(1) :], head)
