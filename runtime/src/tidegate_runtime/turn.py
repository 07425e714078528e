"""Requests that one turn of the event loop reads: decoded, admitted and answered together, where they are alike.

Most of what a tiny request costs doesn't depend on it: reading the clock, asking the scheduler, finding the metrics.
So it is paid once for all that a turn has brought. What isn't like others goes the same way by itself.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, cast

from tidegate_runtime.answer_room import plain_answers
from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.place import AT_ONCE_SECONDS
from tidegate_runtime.batching.tickets import OVER, Taker
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.members import M, alone, together
from tidegate_runtime.protocol.plain import TOGETHER_BYTES, Answers, Layout, Numbers, Plain, Read
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.tensors import Array

logger = logging.getLogger(__name__)


class Turn(ABC, Generic[M]):
    """The requests of one event loop that come by one protocol. `clock` runs with the loop, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._come: dict[ServedModel, list[M]] = {}
        self._several = False
        """Whether what is taken is for more than one model."""
        self._told: list[M] = []
        """What of it has passed: each is answered, or has a ticket, or its answer is being written."""

    @abstractmethod
    def _write_all(self, first: M, calls: Sequence[M | None], outputs: Sequence[Array], *, leads: bool) -> None:
        """Writes the answers of calls whose requests ran together. It raises nothing.

        `first` is the first who is still there; `leads` says whether its time stands for that of the batch.
        """

    @abstractmethod
    def _refuse_all(self, model: ServedModel, calls: list[M], fault: RuntimeFault) -> None:
        """Answers each of the calls with the fault."""

    def deliver_all(self, takers: Sequence[Taker | None], outputs: Sequence[Array]) -> None:
        """Writes the answers of requests that ran together. It raises nothing."""
        calls = cast("Sequence[M | None]", takers)
        first = next((call for call in calls if call is not None), None)
        if first is not None:
            ticket = first.ticket
            self._write_all(first, calls, outputs, leads=ticket is not None and ticket.leads and first.telling)

    def join(self, call: M) -> None:
        """Has the call, whose request is whole, taken with all others that this turn reads."""
        model = call.model
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
        self._several = len(come) > 1
        for model, calls in come.items():
            self._told.clear()
            try:
                if not self._take_all(model, calls):
                    model.cut()
            except Exception:
                logger.exception("a turn's requests could not be taken")
                # No deadline reminds of what isn't queued, so it is answered now.
                told = set(map(id, self._told))
                for call in calls:
                    if call.ticket is None and not call.over and id(call) not in told:
                        call.fail()
            finally:
                model.release()
        self._told.clear()

    def _take_all(self, model: ServedModel, calls: list[M]) -> bool:
        """Takes the calls of a turn; whether they ran at once, so that there is nothing to be cut."""
        if len(calls) == 1:
            return self._take_one(model, calls)
        groups: dict[Layout, tuple[Plain, list[M], list[Numbers]]] = {}
        for call in calls:
            if call.over:
                continue  # Its client has left.
            known, form = call.find(), call.form
            if known is None or form is None or known[0].size > TOGETHER_BYTES:
                call.take()
                continue
            layout, numbers = known
            group = groups.get(layout)
            if group is None:
                group = groups[layout] = (form, [], [])
            group[1].append(call)
            group[2].append(numbers)
        only, passed = len(groups) == 1, False
        for layout, group in groups.items():
            passed = self._take_group(model, layout, *group, only=only)
        return passed

    def _take_one(self, model: ServedModel, calls: list[M]) -> bool:
        """`_take_all` for a turn's only call, in whose cost each step counts."""
        (call,) = calls
        if call.over:
            return False
        known, form = call.find(), call.form
        read = form.read(known[0], (known[1],)) if known is not None and form is not None else None
        if known is None or read is None or read.unread:
            call.take()
            return False
        layout = known[0]
        alike = alone(call, read, layout, model)
        if self._passed(model, layout, calls, alike):
            return True
        self._submit(model, layout, calls, alike)
        return False

    def _take_group(
        self, model: ServedModel, layout: Layout, codec: Plain, calls: list[M], texts: list[Numbers], *, only: bool
    ) -> bool:
        """Takes calls of one layout, `only` those of the turn; whether they ran at once."""
        read = codec.read(layout, texts)
        if not read.unread:
            passed = self._pass_by(model, layout, calls, read) if only else 0
            if passed < len(calls):
                rest = calls[passed:] if passed else calls
                self._submit(model, layout, *together(rest, read.part(passed, len(calls)), layout, model))
                if passed:
                    model.cut_soon()  # It has had the loop for long enough, or the next batch isn't one for it.
            return passed > 0
        if read.number:
            others = frozenset(read.unread)
            kept = [call for place, call in enumerate(calls) if place not in others]
            self._submit(model, layout, *together(kept, read, layout, model))
        for place in read.unread:
            calls[place].take()  # It says for itself what is wrong.
        return False

    def _pass_by(self, model: ServedModel, layout: Layout, calls: list[M], read: Read) -> int:
        """How many of the calls, all that a turn brought, ran at once, past the queue: full batches, one by one.

        It ends where a batch has to wait, or after `AT_ONCE_SECONDS`: connections are to be read and written.
        """
        count = len(calls)
        full = model.filling(layout, read.whole) if count > 1 else 1
        if count <= full:
            return count if self._passed(model, layout, *together(calls, read, layout, model)) else 0
        # Who has least time goes first, and not who came first.
        if self._several or any([call.seconds_left is not None for call in calls]):
            return 0
        until, start = self._clock() + AT_ONCE_SECONDS, 0
        while start < count and (not start or self._clock() < until):
            stop = min(start + full, count)
            these = together(calls[start:stop], read.part(start, stop), layout, model)
            if not self._passed(model, layout, *these, more=stop < count):
                break
            start = stop
        return start

    def _passed(self, model: ServedModel, layout: Layout, calls: list[M], alike: Alike, *, more: bool = False) -> bool:
        """Whether the calls ran at once; `more` come behind them."""
        passed = model.pass_by(layout, alike, more=more)
        if passed is None:
            return False
        arrived, outputs, tickets = passed
        for call in calls:
            call.parsed = arrived
        if outputs is not None:
            self._write_all(calls[0], calls, outputs, leads=calls[0].telling)
        for call, ticket in zip(calls, tickets, strict=False):
            if ticket.state != OVER:
                call.ticket, ticket.taker = ticket, call
        self._told += calls
        if outputs is None:
            model.cut()  # What the failed run is to be done over for.
        return True

    def _submit(self, model: ServedModel, layout: Layout, calls: list[M], alike: Alike) -> None:
        try:
            tickets = model.submit_all(layout, alike)
        except RuntimeFault as fault:
            self._refuse_all(model, calls, fault)
            return
        if tickets is None:
            for call, (each, *_) in zip(calls, alike.asked(), strict=True):
                call.submit(each, layout)
            return
        for call, ticket in zip(calls, tickets, strict=True):
            call.ticket = ticket
            call.parsed = ticket.arrived
            ticket.taker = call

    def _answers(self, first: M, outputs: Sequence[Array], count: int) -> Answers:
        """The answers to `count` requests of the first one's form. Raises `OutOfDeviceMemory`."""
        assert first.form is not None
        answers = plain_answers(first.form, outputs, count)
        if len(answers.pieces) != count:
            raise ValueError(f"{len(answers.pieces)} answers to {count} requests")
        return answers
