"""The hot way: infer requests of the common form, answered by the connection itself, below ASGI.

Which way a request goes is decided once, when its head is complete; in doubt it is the cold one, which serves
everything. Both use the same service, codecs, faults and counts; docs/runtime.md has the way of a request.
"""

import asyncio
import logging
from typing import Any, Final

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

JOINED_BYTES: Final = 16 * 1024
"""Bodies up to this are copied behind their head, which is cheaper than a second buffer to write."""


class _NoEvent:
    """Where uvicorn would wake the application that serves a request."""

    def set(self) -> None:
        """Wakes nobody."""


class HotCall:
    """A connection's hot request, one at a time; to uvicorn it looks like the cycle of a request."""

    __slots__ = (
        "accepted",
        "body",
        "disconnected",
        "json_length",
        "keep_alive",
        "model",
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
        self.model: ServedModel
        self.body: bytes | bytearray = b""
        self.json_length: bytes | None = None
        self.accepted: bytes | None = None
        self.request: InferRequest | None = None
        self.received = 0.0
        self.ticket: Ticket | None = None


class HotConnection(BoundedHttpProtocol):
    """A connection that answers hot requests itself and hands the others to the ASGI application."""

    service: Service

    _hot: HotCall | None = None
    """The hot request whose body is being read."""
    _call: HotCall | None = None
    _arrived = 0
    _default_headers: list[Header] | None = None
    _ok_head = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Takes the request of a client that left out of the queue."""
        call = self._call
        if call is not None and not call.response_complete:
            call.response_complete = True
            if call.ticket is not None:
                call.model.withdraw(call.ticket)
            elif self._hot is call:
                call.model.release()
            call.model.metrics.answered(CLIENT_GONE)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses, knowing how much came at once."""
        self._arrived = len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._hot = None
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stage = Stage.HEAD
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Decides the way."""
        model = self.service.infer_paths.get(self.url)
        headers = dict(self.headers)
        if model is None or not self._fits(model, headers):
            url, given, expected = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue = url, expected
            self.headers.extend(given)
            super().on_headers_complete()
            return
        self._stage = Stage.BODY
        call = self._call
        if call is None:
            call = self._call = HotCall()
        call.response_complete = False
        call.keep_alive = self.parser.should_keep_alive()
        call.model = model
        model.hold()
        call.body = b""
        call.json_length = headers.get(_JSON_LENGTH)
        call.accepted = headers.get(b"accept-encoding")
        self.cycle = self._hot = call  # type: ignore[assignment]

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
        self._late_at = float("inf")
        call.received = self.service.clock()
        # What is submitted is answered by the model whatever becomes of it; nothing is awaited before that.
        call.model.release()
        try:
            length = call.json_length
            json_length = None if length is None else parse_header_length(length.decode("latin-1"))
            call.request = request = decode(call.body, json_length, call.model.signature.inputs)
            call.ticket = call.model.submit(request, call.received, self._deliver)
        except RuntimeFault as fault:
            self._refuse_call(call, fault)
        except Exception:
            self._fail_call(call)

    def _fits(self, model: ServedModel, headers: dict[bytes, bytes]) -> bool:
        """Whether the head is of the common form, and nothing else is under way on this connection."""
        length = headers.get(b"content-length")
        return (
            length is not None
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and b"host" in headers
            and headers.get(b"content-type") in _MEDIA
            and (_JSON_LENGTH in headers or headers.get(b"content-type") != b"application/octet-stream")
            and _NEVER_HOT.isdisjoint(headers)
            and len(headers) == len(self.headers) <= MAX_HEADERS
            and 0 < int(length) <= model.max_body_bytes
            and (self._arrived <= MAX_HEAD_BYTES or _size(headers) <= MAX_HEAD_BYTES)
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.draining()
        )

    def _deliver(self, outcome: Outputs | RuntimeFault) -> None:
        call = self._call
        assert call is not None
        request = call.request
        assert request is not None
        call.ticket = None
        if isinstance(outcome, RuntimeFault):
            self._refuse_call(call, outcome)
            return
        try:
            encoded = encode(call.model.answer(request, outcome), request)
        except RuntimeFault as fault:
            self._refuse_call(call, fault)
            return
        except Exception:
            self._fail_call(call)
            return
        if call.accepted is not None and encoded.size >= MIN_BYTES:
            encoding = accepted_encoding(call.accepted.decode("latin-1"))
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
        call.model.metrics.request_duration.observe(self.service.clock() - call.received)
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
        call.model.metrics.answered(status, 0.0 if status == 200 else self.service.clock() - call.received)
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


def protocol_class(service: Service) -> type[asyncio.Protocol]:
    """The class for uvicorn's `http=`, bound to the service."""
    state: dict[str, Any] = {"service": service, "draining": staticmethod(lambda: service.draining)}
    return type("Connection", (HotConnection,), state)
