"""Answers that are there and not told yet: the engine's next run comes first, and others are read in between.

To tell those of a batch takes a part of a millisecond where they are tiny, and several where they are long. The engine
would be idle for so long, and whoever comes meanwhile, if only to be refused, would wait.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from tidegate_runtime.batching.runner import Answers
from tidegate_runtime.batching.tickets import OVER, RAN, RUNNING, Batch, Chosen, DeliverAll, Outputs, Tap, Ticket
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Array

logger = logging.getLogger(__name__)

PORTION_SECONDS: Final = 0.001
PORTION_BYTES: Final = 16 * 1024
"""Of outputs that are encoded together: as JSON some 4,000 numbers, for half a millisecond."""

Tell = Callable[[Ticket, Outputs], None]


class Delivery:
    """The answers of one batch, told from the event loop by `tell`. `clock` runs with it, in seconds."""

    def __init__(self, tell: Tell, metrics: ModelMetrics, clock: Callable[[], float]) -> None:
        self._tell = tell
        self._metrics = metrics
        self._clock = clock
        self._batch: Batch | None = None
        self._answers: Answers | None = None
        self._position = 0
        self._asked = False
        self._chosen: Sequence[Chosen] = ()
        self.tap: Tap | None = None
        """Who else gets some of the answers, after those who asked."""

    def take(self, batch: Batch, answers: Answers) -> None:
        """The batch ran; `finish` or `soon` follows. What was left of the one before is told first."""
        self.finish()
        leader: Ticket | None = None
        for ticket in batch.tickets:
            if ticket.state == RUNNING:
                ticket.state = RAN
                if leader is None:
                    leader = ticket
        if leader is not None:
            # The first: which one it is mustn't depend on how long any of them took, and it has waited for the others.
            # Whether it may tell of its time is for whoever asked to know, and no other's time is told in its place.
            leader.leads = True
        self._batch, self._answers, self._position = batch, answers, 0
        if self.tap is not None:
            # Now, since whoever is told may let go of a request's inputs.
            self._chosen = self.tap.choose(batch.tickets)

    def finish(self) -> None:
        """Tells all that is left, at once."""
        if self._batch is not None:
            self._tell_until(inf)

    def soon(self) -> None:
        """Has what is left told from the next turn of the loop on, in portions of a millisecond."""
        if self._batch is not None and not self._asked:
            self._asked = True
            asyncio.get_running_loop().call_soon(self._portion)

    def _portion(self) -> None:
        self._asked = False
        try:
            self._tell_until(self._clock() + PORTION_SECONDS)
        finally:  # Or nobody would think of the others any more: deadlines are for what waits or runs.
            self.soon()

    def _tell_until(self, late: float) -> None:
        batch, answers = self._batch, self._answers
        if batch is None or answers is None:
            return
        count = len(batch.tickets)
        while self._position < count:
            if answers.deliver_all is not None:
                self._tell_together(batch, answers.deliver_all, answers.whole, apart=late < inf)
            else:
                ticket, answer = batch.tickets[self._position], answers.each[self._position]
                self._position += 1
                if ticket.state == RAN:
                    self._tell(ticket, answer)
            if self._clock() >= late:
                break
        if self._position >= count:
            # What lies in another process's memory isn't held until the next batch.
            self._batch = self._answers = None
            if self._chosen:
                self._hand_on(batch, answers)

    def _hand_on(self, batch: Batch, answers: Answers) -> None:
        chosen, self._chosen = self._chosen, ()
        if self.tap is not None:
            for each in chosen:
                self.tap.take(each, _outputs(batch, answers, each.position))

    def _tell_together(self, batch: Batch, deliver_all: DeliverAll, whole: Sequence[Array], *, apart: bool) -> None:
        """Tells all that are left, or, `apart`, those of a portion."""
        begin, count = self._position, len(batch.tickets)
        end = count
        if apart:
            end = min(count, begin + max(1, PORTION_BYTES * count // max(1, sum([output.nbytes for output in whole]))))
        tickets = batch.tickets[begin:end]
        takers = [ticket.taker if ticket.state == RAN else None for ticket in tickets]
        for ticket in tickets:
            ticket.state = OVER
        self._metrics.inflight -= len(takers) - takers.count(None)
        self._position = end
        if len(tickets) < count:
            each = batch.rows // count
            whole = [output[begin * each : end * each] for output in whole]
        try:
            deliver_all(takers, whole)
        except Exception:
            logger.exception("answers could not be delivered")


def _outputs(batch: Batch, answers: Answers, position: int) -> Outputs:
    """The outputs for the batch's request at `position`."""
    if answers.deliver_all is None:
        return answers.each[position]
    count = len(batch.tickets)
    if count == 1:
        return tuple(answers.whole)
    each = batch.rows // count
    return tuple([output[position * each : (position + 1) * each] for output in answers.whole])
