"""What a hot request is answered, from its outcome to the bytes on its connection, and how that is counted."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import orjson
from uvicorn.server import ServerState

from tidegate_runtime.answer_room import plain_answers
from tidegate_runtime.batching.tickets import DeliverAll, Outputs, Ticket
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.handover.handing import Handing
from tidegate_runtime.protocol.compression import MIN_BYTES, Encoding, accepted_encoding
from tidegate_runtime.protocol.plain import Answers, Known, Layout, Plain
from tidegate_runtime.protocol.v2_response import Encoded, encode
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.tensors import InferRequest
from tidegate_runtime.web.faults import BUG, fault_headers
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

    def on_known(self, form: Plain, layout: Layout) -> None:
        """The request is of a layout that the codec knows."""

    def on_answered(self, late_at: float) -> None:
        """The same, where what comes next has time until then."""


class NoEvent:
    """Where uvicorn would wake the application that serves a request."""

    def set(self) -> None:
        """Wakes nobody."""


class HotAnswer:
    """The answering half of a connection's hot request; to uvicorn it looks like the cycle of a request."""

    __slots__ = (
        "_connection",
        "asking",
        "body",
        "client",
        "clock",
        "deliver_all",
        "delivered",
        "disconnected",
        "form",
        "handed",
        "head",
        "keep_alive",
        "known",
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
    message_event = NoEvent()

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
        self.known: Known | None = None
        """Its layout and numbers, once it is known to repeat an earlier one."""
        self.request: InferRequest | None = None
        self.received = 0.0
        self.parsed = 0.0
        self.delivered = 0.0
        self.ticket: Ticket | None = None
        self.handed: Handing | None = None
        """By what it was handed over; an answer from here is in another server's stead then."""
        self.asking: asyncio.Task[None] | None = None
        """Asks that server."""
        self._connection = connection

    @property
    def model(self) -> ServedModel:
        """The model that its head names."""
        return self.head.model

    @property
    def over(self) -> bool:
        """Whether it was answered, or its client has left."""
        return self.response_complete

    @property
    def telling(self) -> bool:
        """Whether its time may stand for that of its batch: it is any request's, and is spent here alone."""
        return not self.head.chosen and self.handed is None

    def deliver(self, outcome: Outputs | RuntimeFault) -> None:
        """Writes the answer."""
        ticket = self.ticket
        self.leads = ticket is not None and ticket.leads and self.telling
        self.ticket = None
        self.delivered = self.clock()
        if isinstance(outcome, RuntimeFault):
            self.refuse(outcome)
            return
        form, request = self.form, self.request
        try:
            if form is not None:
                self.deliver_one(plain_answers(form, outcome, 1), self.delivered)
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
        self.body, self.known = b"", None
        self._connection.on_answered(late_at)

    def _send(self, encoded: Encoded) -> None:
        head = self.head
        if head.accepted is not None and encoded.size >= MIN_BYTES:
            encoding = accepted_encoding(head.accepted.decode("latin-1"))
            if encoding is not None:
                pack(encoded, encoding, self._connection.loop, self._write_packed, self._fail_packed)
                return
        self._write(encoded, None)

    def finish(self, status: int) -> None:
        """Counts the answer, which is from here, and goes on to what comes next on the connection."""
        failed_seconds = 0.0 if status == 200 else self.clock() - self.received
        self.head.model.metrics.answered(status, failed_seconds)
        if self.handed is not None:
            self.handed.figures.fell_back(status)
            self.handed = None
        self.end(status)

    def end(self, status: int) -> None:
        """The answer is out: goes on to what comes next on the connection."""
        self.response_complete = True
        self.leads = False
        # A connection may be idle for long: it doesn't hold a body of megabytes meanwhile.
        self.body, self.known, self.request, self.ticket = b"", None, None, None
        if not self.keep_alive:
            self.transport.close()
        self._connection.on_response_complete()

    def _write_packed(self, encoded: Encoded, encoding: Encoding) -> None:
        if not self.transport.is_closing():
            self._write(encoded, encoding)

    def _fail_packed(self) -> None:
        if not self.transport.is_closing():
            self.fail()

    def _write(self, encoded: Encoded, encoding: Encoding | None) -> None:
        metrics, written = self.head.model.metrics, self.clock()
        metrics.served(self.received, self.parsed, self.delivered, written, leads=self.leads)
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
