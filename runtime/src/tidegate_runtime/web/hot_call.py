"""A hot request from its last byte to its answer's: decoded, submitted, delivered, encoded and written."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import orjson
from uvicorn.server import ServerState

from tidegate_runtime.batching.tickets import DeliverAll, Outputs, Ticket
from tidegate_runtime.errors import DeadlineExceeded, Overloaded, RuntimeFault
from tidegate_runtime.protocol.compression import MIN_BYTES, Encoding, accepted_encoding
from tidegate_runtime.protocol.plain import Answers, Known, Layout, Plain
from tidegate_runtime.protocol.v2_request import decode, parse_header_length
from tidegate_runtime.protocol.v2_response import Encoded, encode
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.tensors import Feeds, InferRequest
from tidegate_runtime.web.faults import BUG, CLIENT_GONE, fault_headers
from tidegate_runtime.web.head import Head
from tidegate_runtime.web.packing import pack
from tidegate_runtime.web.reply import BINARY, JSON, JSON_LENGTH, VARY, Header, reply
from tidegate_runtime.web.turn import JOINED_BYTES, HttpTurn

logger = logging.getLogger(__name__)


class Connection(Protocol):
    """What a call needs of its connection."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    server_state: ServerState
    client: tuple[str, int] | None

    def on_response_complete(self) -> None:
        """Goes on to what comes next on the connection."""

    def on_answered(self, late_at: float) -> None:
        """The same, where what comes next has time until then."""


class _NoEvent:
    """Where uvicorn would wake the application that serves a request."""

    def set(self) -> None:
        """Wakes nobody."""


class HotCall:
    """A connection's hot request, one at a time; to uvicorn it looks like the cycle of a request."""

    __slots__ = (
        "_connection",
        "body",
        "client",
        "clock",
        "deliver_all",
        "delivered",
        "disconnected",
        "form",
        "head",
        "keep_alive",
        "leads",
        "parsed",
        "received",
        "request",
        "response_complete",
        "server_state",
        "ticket",
        "transport",
        "turn",
    )

    seconds_left = None
    response_started = False
    message_event = _NoEvent()

    def __init__(self, connection: Connection, clock: Callable[[], float], turn: HttpTurn) -> None:
        self.transport = connection.transport
        self.server_state = connection.server_state
        self.turn = turn
        self.deliver_all: DeliverAll = turn.deliver_all
        self.form: Plain | None = None
        """The codec of this request, if it is one that repeats, and of its answer."""
        self.client = connection.client
        self.clock = clock
        self.response_complete = True
        self.disconnected = False
        self.keep_alive = True
        self.leads = False
        """Whether the time of the answer that is being written stands for that of its batch."""
        self.head: Head
        self.body: bytes | bytearray = b""
        self.request: InferRequest | None = None
        self.received = 0.0
        self.parsed = 0.0
        self.delivered = 0.0
        self.ticket: Ticket | None = None
        self._connection = connection

    @property
    def model(self) -> ServedModel:
        """The model that its head names."""
        return self.head.model

    @property
    def over(self) -> bool:
        """Whether it was answered, or its client has left."""
        return self.response_complete

    def begin(self, head: Head) -> None:
        """A request with this head is what the call is about from here on; its body follows."""
        self.response_complete = False
        self.keep_alive = head.keep_alive
        self.head = head
        self.body = b""

    def arrive(self) -> None:
        """Has the request, whose body is whole, answered, with others that the loop reads in the same turn."""
        self.received = self.clock()
        self.turn.join(self)

    def find(self) -> Known | None:
        """Its layout and numbers, if it repeats an earlier one but for these."""
        form = self.form = self.head.form
        return form.find(self.body, self.head.json_size) if form is not None else None

    def take(self) -> None:
        """Has the request, whose body is whole and came at `received`, answered."""
        head, body = self.head, self.body
        model, size = head.model, head.json_size
        try:
            form = self.form = head.form
            if form is not None:
                known = form.find(body, size)
                feeds = form.read(known[0], [known[1]]).feeds if known is not None else None
                if known is not None and feeds:
                    self.submit(feeds[0], known[0])
                    return
                plain = form.decode(body, size)
                if plain is not None:
                    self._taken(model.submit_plain(*plain, self.received, self.deliver, self.client))
                    return
            self.form = None
            length = head.json_length
            json_length = None if length is None else parse_header_length(length.decode("latin-1"))
            self.request = request = decode(body, json_length, model.signature.inputs)
            try:
                self._taken(model.submit(request, self.received, self.deliver, self.client))
            except (Overloaded, DeadlineExceeded):
                # It fits the model; under load it is the refusals that have to be cheap.
                if form is not None:
                    form.learn(body, size, request)
                raise
            if form is not None:
                form.learn(body, size, request)
        except RuntimeFault as fault:
            self.refuse(fault)
        except Exception:
            self.fail()

    def submit(self, feeds: Feeds, layout: Layout) -> None:
        """Has the request, which was read by its layout, answered."""
        model = self.head.model
        try:
            ticket = model.submit_plain(
                feeds, layout.rows, self.received, self.deliver, self.client, layout.priority, layout.timeout_seconds
            )
        except RuntimeFault as fault:
            self.refuse(fault)
        except Exception:
            self.fail()
        else:
            self._taken(ticket)

    def _taken(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.parsed = ticket.arrived
        if self.form is not None:
            ticket.taker = self
        elif self.head.hop:
            ticket.hop = True

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

    def leading(self) -> bool:
        """Whether it does by its ticket, before that is given up."""
        ticket = self.ticket
        return ticket is not None and ticket.leads and not self.head.chosen

    def deliver(self, outcome: Outputs | RuntimeFault) -> None:
        """Writes the answer."""
        self.leads = self.leading()
        self.ticket = None
        self.delivered = self.clock()
        if isinstance(outcome, RuntimeFault):
            self.refuse(outcome)
            return
        form, request = self.form, self.request
        try:
            if form is not None:
                self.deliver_one(form.answers(outcome, 1), self.delivered)
                return
            assert request is not None
            encoded = encode(self.head.model.answer(request, outcome), request)
        except RuntimeFault as fault:
            self.refuse(fault)
        except Exception:
            self.fail()
        else:
            self._send(encoded)

    def deliver_one(self, answers: Answers, delivered: float) -> None:
        """Writes the one answer that there is; its outputs came at `delivered`."""
        self.ticket = None
        self.delivered = delivered
        self._send(Encoded([answers.before, answers.pieces[0], answers.behind], answers.json_length))

    def written(self, late_at: float) -> None:
        """The answer is out, and counted elsewhere; what comes next has time until `late_at`."""
        self.ticket = None
        self.response_complete = True
        self.body = b""
        self._connection.on_answered(late_at)

    def _send(self, encoded: Encoded) -> None:
        head = self.head
        if head.accepted is not None and encoded.size >= MIN_BYTES:
            encoding = accepted_encoding(head.accepted.decode("latin-1"))
            if encoding is not None:
                pack(encoded, encoding, self._connection.loop, self._write_packed)
                return
        self._write(encoded, None)

    def finish(self, status: int) -> None:
        """Counts the answer, and goes on to what comes next on the connection."""
        failed_seconds = 0.0 if status == 200 else self.clock() - self.received
        self.head.model.metrics.answered(status, failed_seconds)
        self.response_complete = True
        self.leads = False
        # A connection may be idle for long: it doesn't hold a body of megabytes meanwhile.
        self.body, self.request, self.ticket = b"", None, None
        if not self.keep_alive:
            self.transport.close()
        self._connection.on_response_complete()

    def _write_packed(self, encoded: Encoded, encoding: Encoding) -> None:
        if not self.transport.is_closing():
            self._write(encoded, encoding)

    def _write(self, encoded: Encoded, encoding: Encoding | None) -> None:
        metrics, written = self.head.model.metrics, self.clock()
        metrics.served(self.received, self.parsed, self.delivered, written)
        if self.leads:
            metrics.witnessed(written - self.received)
        binary = encoded.json_length is not None
        headers = [*self.server_state.default_headers, VARY, BINARY if binary else JSON]
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

    def refuse(self, fault: RuntimeFault) -> None:
        """Answers with the fault."""
        if self.keep_alive:
            head = self.turn.heads.bad(self.server_state, fault)
            body = orjson.dumps({"error": str(fault)})
            self.transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
            self.finish(fault.http_status)
            return
        headers = [(name.encode(), value.encode()) for name, value in fault_headers(fault).items()]
        self._answer_error(fault.http_status, str(fault), headers)

    def fail(self) -> None:
        """Answers that the server has a fault."""
        if self.ticket is not None:  # Or it would be answered twice.
            self.head.model.withdraw(self.ticket)
        logger.exception("a request failed")
        self._answer_error(500, BUG, [])

    def _answer_error(self, status: int, message: str, headers: list[Header]) -> None:
        body = orjson.dumps({"error": message})
        head = [*self.server_state.default_headers, JSON, *headers]
        self.transport.write(b"".join(reply(status, head, [body], close=not self.keep_alive)))
        self.finish(status)
