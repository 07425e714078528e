"""A day of an engine in virtual time: arrivals, the backlog, and an engine whose runs take what a function says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf

import numpy as np

from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.device import Device
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.tickets import OVER, RUNNING, Outputs, Ticket
from tidegate_runtime.errors import Overloaded, RuntimeFault
from tidegate_runtime.tensors import Feeds

Cost = Callable[[int, int], float]
"""(width of the shape, rows) → seconds."""


@dataclass(frozen=True)
class Arrival:
    """A request of one row; its width is its shape."""

    at: float
    width: int = 1
    within: float = 0.05
    priority: int = 0


@dataclass
class Outcome:
    """What became of the arrivals: seconds to the answer, and how many were refused or late."""

    answered: list[tuple[Arrival, float]] = field(default_factory=list)
    refused: list[Arrival] = field(default_factory=list)
    late: list[Arrival] = field(default_factory=list)
    batches: list[tuple[int, int]] = field(default_factory=list)

    def latencies(self) -> list[float]:
        return [seconds for _, seconds in self.answered]


def feeds(width: int) -> Feeds:
    return {"x": np.zeros((1, width), np.float32)}


def warm(cost: Cost, widths: Sequence[int], max_rows: int) -> CostTable:
    """A table as warm-up leaves it."""
    table = CostTable(max_rows)
    for width in widths:
        shape = table.shape(compatibility(feeds(width)), width)
        for rows in [1, 1, 1, 2, 4, 8, 16, 32]:
            if rows <= max_rows:
                for _ in range(5):
                    shape.observe(rows, cost(width, rows))
        shape.warmed_up()
    return table


def poisson(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Times of arrivals that know nothing of each other."""
    generator = np.random.default_rng(seed)
    now = 0.0
    while (now := now + float(generator.exponential(1 / rate))) < seconds:
        yield now


class Simulation:
    """The backlog between arrivals and engine; time goes from event to event.

    `between` is what the event loop takes from the end of a run to the next cut.
    """

    def __init__(self, cost: Cost, policy: BatchPolicy, table: CostTable, between: float = 0.0) -> None:
        self.backlog = Backlog(policy, table)
        self.device = Device()
        self.device.join(self.backlog)
        self.outcome = Outcome()
        self._cost = cost
        self._sent: dict[Ticket, Arrival] = {}
        self._deadlines: list[tuple[float, int, Ticket]] = []
        self._numbers = count()
        self._end = inf
        self._held = inf
        self._between = between
        self._back = inf
        """When the event loop comes to the next cut, after a run."""

    def run(self, arrivals: Sequence[Arrival]) -> None:
        coming = sorted(arrivals, key=lambda arrival: arrival.at)
        position = 0
        while position < len(coming) or self._sent:
            arrives = coming[position].at if position < len(coming) else inf
            deadline = self._nearest_deadline()
            now = min(arrives, self._end, deadline, self._held, self._back)
            if now == self._end:
                self._finish(now)
            elif now == self._back:
                self._back = inf
            elif now == self._held:
                pass
            elif now == arrives:
                self._arrive(coming[position], now)
                position += 1
            else:
                self._late(self.backlog.expire(now))
            if self.device.load.running is None and self._back == inf:
                self._begin(now)

    def _nearest_deadline(self) -> float:
        while self._deadlines and self._deadlines[0][2].state == OVER:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else inf

    def _arrive(self, arrival: Arrival, now: float) -> None:
        deadline = now + arrival.within
        try:
            ticket = self.backlog.admit(feeds(arrival.width), 1, now, deadline, _unused, priority=arrival.priority)
        except Overloaded:
            self.outcome.refused.append(arrival)
            return
        self._sent[ticket] = arrival
        heappush(self._deadlines, (deadline, next(self._numbers), ticket))

    def _begin(self, now: float) -> None:
        cut = self.device.cut(now)
        self._late([ticket for _, ticket in self.device.dropped])
        self._held = self.device.held_until or inf
        if cut is not None:
            _, batch = cut
            width = batch.shape.elements
            self.outcome.batches.append((width, batch.rows))
            self._end = now + self._cost(width, batch.rows)

    def _finish(self, now: float) -> None:
        batch, self._end = self.device.load.running, inf
        self._back = now + self._between if self._between else inf
        assert batch is not None
        self.backlog.ended(batch, now - batch.started, now)
        for ticket in batch.tickets:
            if ticket.state == RUNNING:
                ticket.state = OVER
                arrival = self._sent.pop(ticket)
                self.outcome.answered.append((arrival, now - arrival.at))

    def _late(self, tickets: Sequence[Ticket]) -> None:
        self.outcome.late += [self._sent.pop(ticket) for ticket in tickets]


def simulate(
    arrivals: Sequence[Arrival], cost: Cost, policy: BatchPolicy, table: CostTable, between: float = 0.0
) -> Outcome:
    """Runs until the last arrival is answered, refused or late."""
    simulation = Simulation(cost, policy, table, between)
    simulation.run(arrivals)
    return simulation.outcome


def _unused(_: Outputs | RuntimeFault) -> None:
    raise AssertionError("the backlog tells nobody anything")
