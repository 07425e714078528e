"""Answers that are there and not told yet: the engine's next run comes first, and others are read in between.

To tell those of a batch takes a part of a millisecond where they are tiny, and several where they are long. The engine
would be idle for so long, and whoever comes meanwhile, if only to be refused, would wait.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from tidegate_runtime.batching.runner import Answers
from tidegate_runtime.batching.tickets import OVER, RAN, RUNNING, Batch, Outputs, Ticket
from tidegate_runtime.metrics import ModelMetrics

PORTION_SECONDS: Final = 0.001

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

    def take(self, batch: Batch, answers: Answers) -> None:
        """The batch ran; `finish` or `soon` follows. What was left of the one before is told first."""
        self.finish()
        for ticket in batch.tickets:
            if ticket.state == RUNNING:
                ticket.state = RAN
        self._batch, self._answers, self._position = batch, answers, 0

    def finish(self) -> None:
        """Tells all that is left, at once."""
        self._tell_until(inf)

    def soon(self) -> None:
        """Has what is left told from the next turn of the loop on, in portions of a millisecond."""
        if self._batch is not None and not self._asked:
            self._asked = True
            asyncio.get_running_loop().call_soon(self._portion)

    def _portion(self) -> None:
        self._asked = False
        self._tell_until(self._clock() + PORTION_SECONDS)
        self.soon()

    def _tell_until(self, late: float) -> None:
        batch, answers = self._batch, self._answers
        if batch is None or answers is None:
            return
        tickets = batch.tickets
        if answers.deliver_all is not None:
            takers = [ticket.taker if ticket.state == RAN else None for ticket in tickets]
            self._batch = self._answers = None
            for ticket in tickets:
                ticket.state = OVER
            self._metrics.inflight -= len(takers) - takers.count(None)
            answers.deliver_all(takers, answers.whole)
            return
        for position in range(self._position, len(tickets)):
            if tickets[position].state == RAN:
                self._tell(tickets[position], answers.each[position])
                if self._clock() >= late:
                    self._position = position + 1
                    return
        # What lies in another process's memory isn't held until the next batch.
        self._batch = self._answers = None
