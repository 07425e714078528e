"""A call whose message repeats an earlier one: read, answered and counted with others, or by itself."""

import logging
import sys
from collections.abc import Hashable, Sequence
from typing import cast

from tidegate_runtime.batching.tickets import DeliverAll, Outputs, Ticket
from tidegate_runtime.errors import BodyTooLarge, RuntimeFault
from tidegate_runtime.members import sooner
from tidegate_runtime.protocol.plain import Known, Layout, Plain
from tidegate_runtime.rpc.call import Call, check_answer
from tidegate_runtime.rpc.repeats import Repeat
from tidegate_runtime.rpc.submission import Deliver, code_of_gone
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Array, Feeds
from tidegate_runtime.turn import Turn

logger = logging.getLogger(__name__)


class RepeatedCall:
    """Delivers the serialized answer or any exception, once, and counts the request."""

    __slots__ = (
        "_answer",
        "_call",
        "_clock",
        "_layout",
        "_numbers",
        "deliver_all",
        "form",
        "model",
        "over",
        "parsed",
        "received",
        "ticket",
    )

    def __init__(self, service: Service, repeat: Repeat, call: Call, answer: Deliver, turn: "CallTurn") -> None:
        self.model, form, self._layout, self._numbers = repeat
        self.form: Plain | None = form
        self.deliver_all: DeliverAll = turn.deliver_all
        self.received = call.received
        self.parsed = call.received
        self.ticket: Ticket | None = None
        self.over = False
        self._call = call
        self._answer = answer
        self._clock = service.clock

    @property
    def client(self) -> Hashable:
        """The connection's other end."""
        return self._call.peer

    @property
    def seconds_left(self) -> float | None:
        """What the call's own deadline left when its message had come."""
        return self._call.seconds_left

    def find(self) -> Known | None:
        """What was found when it came."""
        return self._layout, self._numbers

    def take(self) -> None:
        """Has it answered by itself."""
        assert self.form is not None
        self.submit(self.form.read(self._layout, [self._numbers]).feeds[0], self._layout)

    def submit(self, feeds: Feeds, layout: Layout) -> None:
        """Has it answered by itself."""
        limit = sooner(layout.timeout_seconds, self.seconds_left)
        try:
            self.ticket = ticket = self.model.submit_plain(
                feeds, layout.rows, self.received, self.deliver, self.client, layout.priority, limit
            )
        except RuntimeFault as fault:
            self.refuse(fault)
        except Exception:
            self.fail()
        else:
            self.parsed = ticket.arrived
            ticket.taker = self

    def withdraw(self) -> None:
        """Forgets the request, its client being gone; without effect once it is answered."""
        if self.over:
            return
        self.over = True
        if self.ticket is not None:
            self.model.withdraw(self.ticket)
            self.ticket = None
        self.model.metrics.answered(code_of_gone(self._call, self._clock()), self._clock() - self.received)

    @property
    def telling(self) -> bool:
        """Whether its time may stand for that of its batch."""
        return not self._call.chosen

    def deliver(self, outcome: Outputs | RuntimeFault) -> None:
        """Answers it by itself."""
        delivered, ticket = self._clock(), self.ticket
        leads = ticket is not None and ticket.leads and self.telling
        self.ticket = None
        if isinstance(outcome, RuntimeFault):
            self.refuse(outcome)
            return
        assert self.form is not None
        try:
            before, (piece,), behind, _ = self.form.answers(outcome, 1)
            message = before + piece + behind
            check_answer(len(message), self.model.max_body_bytes)
        except RuntimeFault as fault:
            self.refuse(fault)
            return
        except Exception:
            self.fail()
            return
        metrics, written = self.model.metrics, self._clock()
        metrics.served(self.received, self.parsed, delivered, written, leads=leads)
        metrics.answered(200)
        self.reply(message)

    def reply(self, message: bytes) -> None:
        """Answers with the message, which is counted elsewhere."""
        self.over, self.ticket = True, None
        self._answer(message)

    def refuse(self, fault: RuntimeFault) -> None:
        """Answers with the fault."""
        self._end(fault, fault.http_status)

    def fail(self) -> None:
        """Answers that the server has a fault."""
        if self.ticket is not None:  # Or it would be answered twice.
            self.model.withdraw(self.ticket)
        self._end(sys.exception() or RuntimeError("its turn failed"), 500)

    def _end(self, error: BaseException, code: int) -> None:
        self.over, self.ticket = True, None
        self.model.metrics.answered(code, self._clock() - self.received)
        self._answer(cast("Exception", error))


class CallTurn(Turn[RepeatedCall]):
    """The repeated calls of one event loop."""

    def _write_all(
        self, first: RepeatedCall, calls: Sequence[RepeatedCall | None], outputs: Sequence[Array], *, leads: bool
    ) -> None:
        """Writes the answers of calls whose requests ran together."""
        delivered = self._clock()
        try:
            before, pieces, behind, _ = self._answers(first, outputs, len(calls))
        except Exception:
            logger.exception("a batch's answers could not be written")
            for call in calls:
                if call is not None:
                    call.fail()
            return
        limit = first.model.max_body_bytes
        times = []
        for call, piece in zip(calls, pieces, strict=True):
            if call is None:
                continue
            message = before + piece + behind
            try:
                check_answer(len(message), limit)
                times.append((call.received, call.parsed))
                call.reply(message)
            except BodyTooLarge as fault:
                leads = leads and call is not first
                call.refuse(fault)
            except Exception:
                # One request's answer that can't be written must not keep the others' from them.
                logger.exception("an answer could not be delivered")
        first.model.metrics.served_all(times, delivered, self._clock(), leads=leads)

    def _refuse_all(self, model: ServedModel, calls: list[RepeatedCall], fault: RuntimeFault) -> None:
        for call in calls:
            call.refuse(fault)
