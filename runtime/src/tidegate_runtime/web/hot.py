"""The hot way: infer requests of the common form, answered by the connection itself, below ASGI.

Which way a request goes is decided once, when its head is complete; in doubt it is the cold one, which serves
everything. Both use the same service, codecs, faults and counts; docs/runtime.md has the way of a request.
"""

import asyncio
import logging
import re
from math import inf
from typing import Any, Final, NamedTuple

import orjson

from tidegate_runtime.batching.tickets import Outputs, Ticket
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.protocol.compression import MIN_BYTES, Encoding, accepted_encoding, compress
from tidegate_runtime.protocol.v2_request import decode, parse_header_length
from tidegate_runtime.protocol.v2_response import Encoded, encode
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import InferRequest
from tidegate_runtime.web.body import JSON_LENGTH_HEADER, OFF_LOOP_BYTES
from tidegate_runtime.web.connection import MAX_HEAD_BYTES, MAX_HEADERS, BoundedHttpProtocol, Stage
from tidegate_runtime.web.faults import BUG, CLIENT_GONE, fault_headers
from tidegate_runtime.web.reply import Header, reply

logger = logging.getLogger(__name__)

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
_MEDIA: Final = frozenset({None, b"application/json", b"application/octet-stream"})
_JSON: Final = (b"content-type", b"application/json")
_BINARY: Final = (b"content-type", b"application/octet-stream")
_VARY: Final = (b"vary", b"Accept-Encoding")
_JSON_LENGTH: Final = JSON_LENGTH_HEADER.lower().encode()

MAX_PATTERN_BYTES: Final = 2048
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})\r\n", re.IGNORECASE)

JOINED_BYTES: Final = 16 * 1024
"""Bodies up to this are copied behind their head, which is cheaper than a second buffer to write."""


class _NoEvent:
    """Where uvicorn would wake the application that serves a request."""

    def set(self) -> None:
        """Wakes nobody."""


class Head(NamedTuple):
    """What a hot request's head says, but for the length of the body."""

    url: bytes
    model: ServedModel
    keep_alive: bool
    json_length: bytes | None
    accepted: bytes | None
    traceparent: bytes | None = None
    tracestate: bytes | None = None
    """Both are only read where requests are recorded."""


class Pattern(NamedTuple):
    """The bytes of a head before and behind the digits of `Content-Length`, and what the head says."""

    before: bytes
    behind: bytes
    head: Head


class HotCall:
    """A connection's hot request, one at a time; to uvicorn it looks like the cycle of a request."""

    __slots__ = (
        "body",
        "delivered",
        "disconnected",
        "head",
        "keep_alive",
        "parsed",
        "received",
        "request",
        "response_complete",
        "ticket",
    )

    response_started = False
    message_event = _NoEvent()

    def __init__(self) -> None:
        self.response_complete = True
        self.disconnected = False
        self.keep_alive = True
        self.head: Head
        self.body: bytes | bytearray = b""
        self.request: InferRequest | None = None
        self.received = 0.0
        self.parsed = 0.0
        self.delivered = 0.0
        self.ticket: Ticket | None = None


class HotConnection(BoundedHttpProtocol):
    """A connection that answers hot requests itself and hands the others to the ASGI application."""

    service: Service

    _hot: HotCall | None = None
    """The hot request whose body is being read."""
    _call: HotCall | None = None
    _arrived = b""
    """What came last, if it began with a request's first byte."""
    _default_headers: list[Header] | None = None
    _ok_head = b""

    _pattern: Pattern | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Takes the request of a client that left out of the queue."""
        call = self._call
        if call is not None and not call.response_complete:
            call.response_complete = True
            if call.ticket is not None:
                call.head.model.withdraw(call.ticket)
            elif self._hot is call:
                call.head.model.release()
            call.head.model.metrics.answered(CLIENT_GONE)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses, unless this is a whole request whose head repeats this connection's last but for the length.

        What a head means follows from its bytes alone, so it needn't be found out again. Nothing is kept that another
        connection could meet.
        """
        between = self._stage is Stage.IDLE
        pattern = self._pattern
        if between and pattern is not None and data.startswith(pattern.before):
            begin = len(pattern.before)
            stop = data.find(b"\r", begin, begin + 13)
            end = stop + len(pattern.behind)
            if data.startswith(pattern.behind, stop) and self._is_whole(data, begin, stop, end, pattern.head):
                call = self._begin(pattern.head)
                call.body = data[end:]
                self._take(call)
                return
        self._arrived = data if between else b""
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._hot = None
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stage = Stage.HEAD
        self._head_bytes = self._body_bytes = 0

    def on_headers_complete(self) -> None:
        """Decides the way."""
        head = self._hot_head()
        if head is None or not self._may_go_on(head):
            url, given, expected = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue = url, expected
            self.headers.extend(given)
            super().on_headers_complete()
            return
        self._stage = Stage.BODY
        self._hot = self._begin(head)
        # What is being read is promised to this model: it isn't closed before.
        head.model.hold()

    def on_body(self, body: bytes) -> None:
        """A piece of a body; the first is kept as it is, for it is the only one mostly."""
        call = self._hot
        if call is None:
            super().on_body(body)
        elif not call.body:
            call.body = body
        else:
            if type(call.body) is bytes:
                call.body = bytearray(call.body)
            call.body += body

    def on_message_complete(self) -> None:
        """The whole request is there."""
        call = self._hot
        if call is None:
            super().on_message_complete()
            return
        self._hot = None
        self._stage = Stage.IDLE
        self._remember(call)
        # What is submitted is answered by the model whatever becomes of it; nothing is awaited before that.
        call.head.model.release()
        self._take(call)

    def _begin(self, head: Head) -> HotCall:
        call = self._call
        if call is None:
            call = self._call = HotCall()
        call.response_complete = False
        call.keep_alive = head.keep_alive
        call.head = head
        call.body = b""
        self.cycle = call  # type: ignore[assignment]
        return call

    def _take(self, call: HotCall) -> None:
        """Has a whole request answered."""
        self._late_at = inf
        call.received = self.service.clock()
        model, body = call.head.model, call.body
        length = call.head.json_length
        try:
            plain = model.plain.decode(body) if model.plain is not None and length is None else None
            if plain is not None:
                call.ticket = ticket = model.submit_plain(*plain, call.received, self._deliver)
                call.parsed = ticket.arrived
                return
            json_length = None if length is None else parse_header_length(length.decode("latin-1"))
            call.request = request = decode(body, json_length, model.signature.inputs)
            call.ticket = ticket = model.submit(request, call.received, self._deliver)
            call.parsed = ticket.arrived
        except RuntimeFault as fault:
            self._refuse_call(call, fault)
        except Exception:
            self._fail_call(call)

    def _is_whole(self, data: bytes, begin: int, stop: int, end: int, head: Head) -> bool:
        """Whether the digits from `begin` to `stop` are the length of what follows `end`, and the call may be made."""
        digits = data[begin:stop]
        length = len(data) - end
        return digits.isdigit() and 0 < int(digits) == length <= head.model.max_body_bytes and self._may_go_on(head)

    def _remember(self, call: HotCall) -> None:
        """Notes the head of a request that came whole, in one piece.

        Where a parser sees a head's end follows from the head; that it sees it where we do is seen from the body.
        """
        end = len(self._arrived) - len(call.body)
        head = self._arrived[:end]
        if (
            0 < end <= MAX_PATTERN_BYTES
            and head.startswith(b"POST ")
            and head.find(b"\r\n\r\n") == end - 4
            and self._arrived.endswith(call.body)
        ):
            found = _LENGTH.findall(head)
            match = _LENGTH.search(head)
            if match is not None and len(found) == 1 and int(match[1]) == len(call.body):
                self._pattern = Pattern(head[: match.start(1)], head[match.end(1) :], call.head)

    def _may_go_on(self, head: Head) -> bool:
        """Whether the model is still served, and nothing else is under way on this connection."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and self.service.infer_paths.get(head.url) is head.model
            and not self.flow.write_paused
            and not self._deaf
            and not self.draining()
            and not self.transport.is_closing()
        )

    def _hot_head(self) -> Head | None:
        """What the head says if it is of the common form, for a model that is served."""
        model = self.service.infer_paths.get(self.url)
        if model is None or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        headers = dict(self.headers)
        length = headers.get(b"content-length")
        kind = headers.get(b"content-type")
        json_length = headers.get(_JSON_LENGTH)
        if (
            length is None
            or kind not in _MEDIA
            or b"host" not in headers
            or not _NEVER_HOT.isdisjoint(headers)
            or not len(headers) == len(self.headers) <= MAX_HEADERS
            or not 0 < int(length) <= model.max_body_bytes
            or _size(headers) > MAX_HEAD_BYTES
        ):
            return None
        keep_alive = self.parser.should_keep_alive()
        return Head(self.url, model, keep_alive, json_length, headers.get(b"accept-encoding"))

    def _deliver(self, outcome: Outputs | RuntimeFault) -> None:
        call = self._call
        assert call is not None
        request = call.request
        call.ticket = None
        call.delivered = self.service.clock()
        if isinstance(outcome, RuntimeFault):
            self._refuse_call(call, outcome)
            return
        model = call.head.model
        try:
            if request is not None:
                encoded = encode(model.answer(request, outcome), request)
            else:
                assert model.plain is not None
                encoded = Encoded([model.plain.encode(outcome)])
        except RuntimeFault as fault:
            self._refuse_call(call, fault)
            return
        except Exception:
            self._fail_call(call)
            return
        if call.head.accepted is not None and encoded.size >= MIN_BYTES:
            encoding = accepted_encoding(call.head.accepted.decode("latin-1"))
            if encoding is not None:
                self._pack(call, encoded, encoding)
                return
        self._write(call, encoded, None)

    def _pack(self, call: HotCall, encoded: Encoded, encoding: Encoding) -> None:
        """Writes the answer compressed; a long one is compressed in a thread, for other connections would wait."""
        if encoded.size < OFF_LOOP_BYTES:
            self._write(call, Encoded([*compress(encoded.parts, encoding)], encoded.json_length), encoding)
            return

        def packed(done: "asyncio.Future[list[bytes]]") -> None:
            if not self.transport.is_closing():
                self._write(call, Encoded([*done.result()], encoded.json_length), encoding)

        self.loop.run_in_executor(None, compress, encoded.parts, encoding).add_done_callback(packed)

    def _write(self, call: HotCall, encoded: Encoded, encoding: Encoding | None) -> None:
        call.head.model.metrics.served(call.received, call.parsed, call.delivered, self.service.clock())
        if self.server_state.default_headers is not self._default_headers:
            self._remember_head()
        if call.keep_alive and encoding is None and encoded.json_length is None:
            (body,) = encoded.parts
            head = b"%b%d\r\n\r\n" % (self._ok_head, len(body))
            pieces: list[bytes | memoryview] = [head, body]
        else:
            headers = [*self.server_state.default_headers, _VARY, _JSON if encoded.json_length is None else _BINARY]
            if encoded.json_length is not None:
                headers.append((_JSON_LENGTH, b"%d" % encoded.json_length))
            if encoding is not None:
                headers.append((b"content-encoding", encoding.value.encode()))
            pieces = reply(200, headers, encoded.parts, close=not call.keep_alive)
        if sum(map(len, pieces)) <= JOINED_BYTES:
            self.transport.write(b"".join(pieces))
        else:
            self.transport.writelines(pieces)
        self._finish(call, 200)

    def _refuse_call(self, call: HotCall, fault: RuntimeFault) -> None:
        headers = [(name.encode(), value.encode()) for name, value in fault_headers(fault).items()]
        self._answer_error(call, fault.http_status, str(fault), headers)

    def _fail_call(self, call: HotCall) -> None:
        logger.exception("a request failed")
        self._answer_error(call, 500, BUG, [])

    def _answer_error(self, call: HotCall, status: int, message: str, headers: list[Header]) -> None:
        body = orjson.dumps({"error": message})
        head = [*self.server_state.default_headers, _JSON, *headers]
        self.transport.write(b"".join(reply(status, head, [body], close=not call.keep_alive)))
        self._finish(call, status)

    def _finish(self, call: HotCall, status: int) -> None:
        failed_seconds = 0.0 if status == 200 else self.service.clock() - call.received
        call.head.model.metrics.answered(status, failed_seconds)
        call.response_complete = True
        # A connection may be idle for long: it doesn't hold a body of megabytes meanwhile.
        call.body, call.request = b"", None
        if not call.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _remember_head(self) -> None:
        """The head of every good answer up to its length; uvicorn renews the default headers, the date, each second."""
        self._default_headers = self.server_state.default_headers
        head = b"".join(reply(200, [*self._default_headers, _VARY, _JSON], [], close=False))
        self._ok_head = head.removesuffix(b"0\r\n\r\n")


def _size(headers: dict[bytes, bytes]) -> int:
    return sum(map(len, headers)) + sum(map(len, headers.values()))


def protocol_class(service: Service, base: type[HotConnection] = HotConnection) -> type[asyncio.Protocol]:
    """The class for uvicorn's `http=`, bound to the service."""
    state: dict[str, Any] = {"service": service, "draining": staticmethod(lambda: service.draining)}
    return type("Connection", (base,), state)
