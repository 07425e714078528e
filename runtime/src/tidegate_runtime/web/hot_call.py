"""A hot request from its last byte to its answer's: decoded, submitted, delivered, encoded and written."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

import orjson
from uvicorn.server import ServerState

from tidegate_runtime.batching.tickets import Outputs, Ticket
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.protocol.compression import MIN_BYTES, Encoding, accepted_encoding, compress
from tidegate_runtime.protocol.v2_request import decode, parse_header_length
from tidegate_runtime.protocol.v2_response import Encoded, encode
from tidegate_runtime.tensors import InferRequest
from tidegate_runtime.web.body import OFF_LOOP_BYTES
from tidegate_runtime.web.faults import BUG, CLIENT_GONE, fault_headers
from tidegate_runtime.web.head import JSON_LENGTH, Head
from tidegate_runtime.web.reply import Header, reply

logger = logging.getLogger(__name__)

_JSON: Final = (b"content-type", b"application/json")
_BINARY: Final = (b"content-type", b"application/octet-stream")
_VARY: Final = (b"vary", b"Accept-Encoding")

JOINED_BYTES: Final = 16 * 1024
"""Bodies up to this are copied behind their head, which is cheaper than a second buffer to write."""


class Connection(Protocol):
    """What a call needs of its connection."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    server_state: ServerState
    client: tuple[str, int] | None

    def on_response_complete(self) -> None:
        """Goes on to what comes next on the connection."""


class _NoEvent:
    """Where uvicorn would wake the application that serves a request."""

    def set(self) -> None:
        """Wakes nobody."""


class HotCall:
    """A connection's hot request, one at a time; to uvicorn it looks like the cycle of a request."""

    __slots__ = (
        "_connection",
        "_default_headers",
        "_ok_head",
        "body",
        "client",
        "clock",
        "delivered",
        "disconnected",
        "head",
        "keep_alive",
        "parsed",
        "received",
        "request",
        "response_complete",
        "ticket",
        "transport",
    )

    response_started = False
    message_event = _NoEvent()

    def __init__(self, connection: Connection, clock: Callable[[], float]) -> None:
        self.transport = connection.transport
        self.client = connection.client
        self.clock = clock
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
        self._connection = connection
        self._default_headers: list[Header] | None = None
        self._ok_head = b""

    def begin(self, head: Head) -> None:
        """A request with this head is what the call is about from here on; its body follows."""
        self.response_complete = False
        self.keep_alive = head.keep_alive
        self.head = head
        self.body = b""

    def take(self) -> None:
        """Has the request, whose body is whole, answered."""
        self.received = received = self.clock()
        head, body = self.head, self.body
        model, length = head.model, head.json_length
        try:
            plain = model.plain.decode(body) if model.plain is not None and length is None else None
            if plain is not None:
                self.ticket = ticket = model.submit_plain(*plain, received, self.deliver, self.client)
            else:
                json_length = None if length is None else parse_header_length(length.decode("latin-1"))
                self.request = request = decode(body, json_length, model.signature.inputs)
                self.ticket = ticket = model.submit(request, received, self.deliver, self.client)
            self.parsed = ticket.arrived
        except RuntimeFault as fault:
            self._refuse(fault)
        except Exception:
            self._fail()

    def lost(self, *, reading: bool) -> None:
        """The client left: its request leaves the queue. `reading` says that its body wasn't whole."""
        if self.response_complete:
            return
        self.response_complete = True
        if self.ticket is not None:
            self.head.model.withdraw(self.ticket)
        elif reading:
            self.head.model.release()
        self.head.model.metrics.answered(CLIENT_GONE)

    def deliver(self, outcome: Outputs | RuntimeFault) -> None:
        """Writes the answer."""
        self.ticket = None
        self.delivered = self.clock()
        if isinstance(outcome, RuntimeFault):
            self._refuse(outcome)
            return
        head, request = self.head, self.request
        model = head.model
        try:
            if request is None:
                assert model.plain is not None
                body = model.plain.encode(outcome)
                if self.keep_alive and (head.accepted is None or len(body) < MIN_BYTES):
                    self._write_plain(body)
                    return
                encoded = Encoded([body])
            else:
                encoded = encode(model.answer(request, outcome), request)
        except RuntimeFault as fault:
            self._refuse(fault)
            return
        except Exception:
            self._fail()
            return
        if head.accepted is not None and encoded.size >= MIN_BYTES:
            encoding = accepted_encoding(head.accepted.decode("latin-1"))
            if encoding is not None:
                self._pack(encoded, encoding)
                return
        self._write(encoded, None)

    def finish(self, status: int) -> None:
        """Counts the answer, and goes on to what comes next on the connection."""
        failed_seconds = 0.0 if status == 200 else self.clock() - self.received
        self.head.model.metrics.answered(status, failed_seconds)
        self.response_complete = True
        # A connection may be idle for long: it doesn't hold a body of megabytes meanwhile.
        self.body, self.request = b"", None
        if not self.keep_alive:
            self.transport.close()
        self._connection.on_response_complete()

    def _pack(self, encoded: Encoded, encoding: Encoding) -> None:
        """Writes the answer compressed; a long one is compressed in a thread, for other connections would wait."""
        if encoded.size < OFF_LOOP_BYTES:
            self._write(Encoded([*compress(encoded.parts, encoding)], encoded.json_length), encoding)
            return

        def packed(done: "asyncio.Future[list[bytes]]") -> None:
            if not self.transport.is_closing():
                self._write(Encoded([*done.result()], encoded.json_length), encoding)

        loop = self._connection.loop
        loop.run_in_executor(None, compress, encoded.parts, encoding).add_done_callback(packed)

    def _write_plain(self, body: bytes) -> None:
        """Writes an answer in JSON, of the commonest form."""
        self.head.model.metrics.served(self.received, self.parsed, self.delivered, self.clock())
        headers = self._connection.server_state.default_headers
        if headers is not self._default_headers:
            self._remember_head(headers)
        self.transport.write(b"%b%d\r\n\r\n%b" % (self._ok_head, len(body), body))
        self.finish(200)

    def _write(self, encoded: Encoded, encoding: Encoding | None) -> None:
        self.head.model.metrics.served(self.received, self.parsed, self.delivered, self.clock())
        binary = encoded.json_length is not None
        headers = [*self._connection.server_state.default_headers, _VARY, _BINARY if binary else _JSON]
        if encoded.json_length is not None:
            headers.append((JSON_LENGTH, b"%d" % encoded.json_length))
        if encoding is not None:
            headers.append((b"content-encoding", encoding.value.encode()))
        pieces = reply(200, headers, encoded.parts, close=not self.keep_alive)
        if encoded.size <= JOINED_BYTES:
            self.transport.write(b"".join(pieces))
        else:
            self.transport.writelines(pieces)
        self.finish(200)

    def _refuse(self, fault: RuntimeFault) -> None:
        headers = [(name.encode(), value.encode()) for name, value in fault_headers(fault).items()]
        self._answer_error(fault.http_status, str(fault), headers)

    def _fail(self) -> None:
        logger.exception("a request failed")
        self._answer_error(500, BUG, [])

    def _answer_error(self, status: int, message: str, headers: list[Header]) -> None:
        body = orjson.dumps({"error": message})
        head = [*self._connection.server_state.default_headers, _JSON, *headers]
        self.transport.write(b"".join(reply(status, head, [body], close=not self.keep_alive)))
        self.finish(status)

    def _remember_head(self, headers: list[Header]) -> None:
        """The head of every good answer up to its length; uvicorn renews the default headers, the date, each second."""
        self._default_headers = headers
        head = b"".join(reply(200, [*headers, _VARY, _JSON], [], close=False))
        self._ok_head = head.removesuffix(b"0\r\n\r\n")
