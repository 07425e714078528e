"""Hot requests that one turn of the event loop reads: decoded, admitted and answered together, where they are alike.

Most of what a tiny request costs doesn't depend on it: reading the clock, asking the scheduler, finding the metrics.
So it is paid once for all that a turn has brought. What isn't like others goes the same way by itself.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, cast

import orjson

from tidegate_runtime.batching.tickets import OVER, Taker
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.protocol.compression import MIN_BYTES
from tidegate_runtime.protocol.plain import Answers, Layout, Numbers, Plain
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.tensors import Array, Feeds
from tidegate_runtime.web.answer_heads import AnswerHeads
from tidegate_runtime.web.connection import KEEP_ALIVE_SECONDS

if TYPE_CHECKING:
    from tidegate_runtime.web.hot_call import HotCall

logger = logging.getLogger(__name__)

JOINED_BYTES: Final = 16 * 1024
"""Bodies up to this are copied behind their head, which is cheaper than a second buffer to write."""


class Turn:
    """The hot requests of one event loop. All is called from it; `clock` runs with it, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._come: dict[ServedModel, list[HotCall]] = {}
        self.heads = AnswerHeads()

    def join(self, call: "HotCall") -> None:
        """Has the call, whose request is whole, taken with all others that this turn reads."""
        model = call.head.model
        calls = self._come.get(model)
        if calls is None:
            if not self._come:
                asyncio.get_running_loop().call_soon(self._take)
            calls = self._come[model] = []
            # It is promised that these are answered, whatever becomes of the model before the turn is over.
            model.hold()
        calls.append(call)

    def _take(self) -> None:
        come, self._come = self._come, {}
        for model, calls in come.items():
            try:
                if len(calls) > 1:
                    self._take_all(model, calls)
                    model.cut()
                elif not self._take_one(model, calls[0]):
                    model.cut()
            except Exception:
                logger.exception("a turn's requests could not be taken")
                # No deadline reminds of what isn't queued, so it is answered now.
                for call in calls:
                    if call.ticket is None and not call.response_complete:
                        call.fail()
            finally:
                model.release()

    def _take_one(self, model: ServedModel, call: "HotCall") -> bool:
        """Takes the only call of a turn; whether it ran at once, so that there is nothing to be cut."""
        if call.response_complete:
            return False  # Its client has left.
        head = call.head
        form = call.form = head.form
        known = form.find(call.body, head.json_size) if form is not None else None
        if known is None or form is None:
            call.take()
            return False
        layout, numbers = known
        feeds, unread = form.read(layout, (numbers,))
        if unread:
            call.take()
            return False
        asked = feeds[0], model.deadline(call.received, layout.timeout_seconds), call.deliver, call.client
        passed = model.pass_by(layout, asked)
        if passed is None:
            self._submit(model, layout, [call], feeds)
            return False
        ticket, outputs = passed
        call.parsed = ticket.arrived
        if outputs is not None:
            call.ticket = ticket
            self.deliver_all((call,), outputs)
        elif ticket.state != OVER:
            call.ticket, ticket.taker = ticket, call
        return True

    def _take_all(self, model: ServedModel, calls: "list[HotCall]") -> None:
        alike: dict[Layout, tuple[Plain, list[HotCall], list[Numbers]]] = {}
        for call in calls:
            if call.response_complete:
                continue  # Its client has left.
            head = call.head
            form = call.form = head.form
            known = form.find(call.body, head.json_size) if form is not None else None
            if known is None or form is None:
                call.take()
                continue
            layout, numbers = known
            group = alike.get(layout)
            if group is None:
                group = alike[layout] = (form, [], [])
            group[1].append(call)
            group[2].append(numbers)
        for layout, (codec, members, texts) in alike.items():
            feeds, unread = codec.read(layout, texts)
            if not unread:
                self._submit(model, layout, members, feeds)
                continue
            others = frozenset(unread)
            if feeds:
                self._submit(model, layout, [call for place, call in enumerate(members) if place not in others], feeds)
            for place in unread:
                members[place].take()  # It says for itself what is wrong.

    def _submit(self, model: ServedModel, layout: Layout, calls: "list[HotCall]", feeds: list[Feeds]) -> None:
        limit = model.limits.timeout_seconds
        if layout.timeout_seconds is not None and layout.timeout_seconds < limit:
            limit = layout.timeout_seconds
        asked = [
            (each, call.received + limit, call.deliver, call.client) for each, call in zip(feeds, calls, strict=True)
        ]
        try:
            tickets = model.submit_all(layout, asked)
        except RuntimeFault as fault:
            self._refuse_all(model, calls, fault)
            return
        if tickets is None:
            for each, call in zip(feeds, calls, strict=True):
                call.submit(each, layout)
            return
        for call, ticket in zip(calls, tickets, strict=True):
            call.ticket = ticket
            call.parsed = ticket.arrived
            ticket.taker = call

    def _refuse_all(self, model: ServedModel, calls: "list[HotCall]", fault: RuntimeFault) -> None:
        """Answers each of the calls with the fault."""
        body = orjson.dumps({"error": str(fault)})
        answer = b"%b%d\r\n\r\n%b" % (self.heads.bad(calls[0].server_state, fault), len(body), body)
        late_at = asyncio.get_running_loop().time() + KEEP_ALIVE_SECONDS
        received = []
        for call in calls:
            if call.keep_alive:
                call.transport.write(answer)
                received.append(call.received)
                call.written(late_at)
            else:
                call.refuse(fault)
        if received:
            count = len(received)
            model.metrics.answered(fault.http_status, count * self._clock() - sum(received), count)

    def deliver_all(self, takers: Sequence[Taker | None], outputs: Sequence[Array]) -> None:
        """Writes the answers of calls whose requests ran together."""
        calls = cast("Sequence[HotCall | None]", takers)
        delivered = self._clock()
        first = calls[0] or next((call for call in calls if call is not None), None)
        if first is None:
            return
        try:
            answers, ok_head = self._encoded(first, outputs, len(calls))
        except Exception:
            logger.exception("a batch's answers could not be written")
            for call in calls:
                if call is not None:
                    call.fail()
            return
        before, pieces, behind, json_length = answers
        around = len(before) + len(behind)
        late_at = asyncio.get_running_loop().time() + KEEP_ALIVE_SECONDS
        received, first.leads = first.received, first.leading()
        times = []
        for call, piece in zip(calls, pieces, strict=True):
            if call is None:
                continue
            size = around + len(piece)
            try:
                # What is compressed, is the connection's last or isn't copied goes its own way.
                special = size > JOINED_BYTES or not call.keep_alive
                if special or (size >= MIN_BYTES and call.head.accepted is not None):
                    call.deliver_one(Answers(before, [piece], behind, json_length), delivered)
                else:
                    call.transport.write(b"%b%d\r\n\r\n%b%b%b" % (ok_head, size, before, piece, behind))
                    times.append((call.received, call.parsed))
                    call.written(late_at)
            except Exception:
                # One request's answer that can't be written must not keep the others' from them.
                logger.exception("an answer could not be delivered")
        self._count(first, received, times, delivered)

    def _count(self, first: "HotCall", received: float, times: list[tuple[float, float]], delivered: float) -> None:
        metrics, written = first.head.model.metrics, self._clock()
        if times:
            metrics.served_all(times, delivered, written)
        if first.leads:  # Or it went its own way, and was counted there.
            first.leads = False
            metrics.witnessed(written - received)

    def _encoded(self, first: "HotCall", outputs: Sequence[Array], count: int) -> tuple[Answers, bytes]:
        """The answers to `count` requests of the first one's form, and the head of each up to its length."""
        assert first.form is not None
        answers = first.form.answers(outputs, count)
        if len(answers.pieces) != count:
            raise ValueError(f"{len(answers.pieces)} answers to {count} requests")
        return answers, self.heads.good(first.server_state, answers.json_length)
