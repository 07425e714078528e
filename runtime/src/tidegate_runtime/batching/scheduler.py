"""The queue in front of one engine: bounded, keyed by shape, one batch in the engine at a time.

The thin asyncio side of `policy` and `rows`. A ticket's future is the only link between a request and its answer, so a
request that is cancelled or late just disappears: from its queue at once, from a running batch when that ends.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from itertools import islice
from typing import Protocol

from tidegate_runtime.batching.policy import BatchPolicy, Waiting, cut, next_queue
from tidegate_runtime.batching.rows import compatibility, split, stack
from tidegate_runtime.errors import DeadlineExceeded, ExecutionFailed, NotReady, Overloaded, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Array, Feeds

logger = logging.getLogger(__name__)

Outputs = tuple[Array, ...]
Clock = Callable[[], float]


class Engine(Protocol):
    """What runs a batch, one at a time. A thread behind it today; a child process would look the same from here."""

    async def run(self, feeds: Feeds) -> Sequence[Array]:
        """The model's outputs in declared order. Raises a `RuntimeFault` if this batch can't be computed."""

    def interrupt(self) -> None:
        """Ends the run in progress as soon as the engine allows; that `run` then raises."""


Outcome = Outputs | RuntimeFault
Deliver = Callable[[Outcome], None]


class Ticket:
    """One waiting request. `rows` is what it counts for against the batch's bound."""

    __slots__ = ("arrived", "deliver", "done", "feeds", "key", "rows", "timer")

    def __init__(self, key: Hashable, feeds: Feeds, rows: int, arrived: float, deliver: Deliver) -> None:
        self.key = key
        self.feeds = feeds
        self.rows = rows
        self.arrived = arrived
        self.deliver = deliver
        self.done = False
        self.timer: asyncio.TimerHandle | None = None

    def end(self) -> None:
        """Nothing is delivered from here on."""
        self.done = True
        if self.timer is not None:
            self.timer.cancel()


class Scheduler:
    """Runs submitted requests in batches on `engine`. `run` is its one task; `submit` may be called from any other.

    `clock` runs with the event loop's, in seconds; uvloop's own has a resolution of only a millisecond.
    """

    def __init__(self, engine: Engine, policy: BatchPolicy, metrics: ModelMetrics, clock: Clock) -> None:
        self._clock = clock
        self._engine = engine
        self._policy = policy
        self._metrics = metrics
        self._queues: dict[Hashable, dict[Ticket, None]] = {}
        self._arrived = asyncio.Event()
        self._awaited: set[Ticket] = set()
        self._computing = False
        self._closing = False

    def submit(self, feeds: Feeds, rows: int, deadline: float, deliver: Deliver) -> Ticket:
        """Queues the request. `deliver` is called once, later: with its rows' outputs in declared order, or a fault.

        `deadline` is in the clock's seconds. Raises `Overloaded` if the queue is full, `DeadlineExceeded` if the
        deadline is over, `NotReady` after `close`.
        """
        now = self._clock()
        if self._closing:
            raise NotReady("the server is shutting down; send the request again")
        if now >= deadline:
            raise DeadlineExceeded("the request's time was over before it could be queued")
        if self._metrics.queue_depth >= self._policy.queue_size:
            raise Overloaded(f"{self._policy.queue_size} requests are waiting, the limit; try again after a second")
        ticket = Ticket(compatibility(feeds), feeds, rows, now, deliver)
        ticket.timer = asyncio.get_running_loop().call_later(deadline - now, self._expire, ticket, deadline - now)
        self._enqueue(ticket)
        self._metrics.inflight += 1
        return ticket

    async def infer(self, feeds: Feeds, rows: int, deadline: float) -> Outputs:
        """The outputs for these rows, as `submit` delivers them. If the caller is cancelled, so is the request."""
        answered: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        ticket = self.submit(feeds, rows, deadline, partial(_settle, answered))
        try:
            return await answered
        finally:
            self.withdraw(ticket)

    def withdraw(self, ticket: Ticket) -> None:
        """Forgets a request that nobody waits for any more; without effect on one that is delivered."""
        if not ticket.done:
            self._metrics.inflight -= 1
            ticket.end()
            self._withdraw(ticket)

    def _expire(self, ticket: Ticket, seconds: float) -> None:
        self._withdraw(ticket)
        self._finish(ticket, DeadlineExceeded(f"no answer within {seconds:.3g} s; the request was dropped"))

    def _finish(self, ticket: Ticket, outcome: Outcome) -> None:
        if not ticket.done:
            self._metrics.inflight -= 1
            ticket.end()
            ticket.deliver(outcome)

    async def run(self) -> None:
        """Serves until `close` was called and nothing waits any more."""
        while True:
            # A batch is cut no earlier than the next turn of the loop, so requests read in one turn share it.
            await self._arrived.wait()
            if not self._queues:
                return
            await self._execute(self._cut(self._clock()))

    def close(self) -> None:
        """Takes no more requests; `run` returns once those that wait are answered. May be called again."""
        self._closing = True
        self._arrived.set()

    def _enqueue(self, ticket: Ticket) -> None:
        self._queues.setdefault(ticket.key, {})[ticket] = None
        self._metrics.queue_depth += 1
        self._arrived.set()

    def _dequeue(self, ticket: Ticket) -> None:
        queue = self._queues[ticket.key]
        del queue[ticket]
        self._metrics.queue_depth -= 1
        if not queue:
            del self._queues[ticket.key]
            if not self._queues and not self._closing:
                self._arrived.clear()

    def _withdraw(self, ticket: Ticket) -> None:
        """Forgets a request that was answered, is late or was cancelled; ends a run that nobody waits for any more."""
        if ticket in self._queues.get(ticket.key, ()):
            self._dequeue(ticket)
        elif ticket in self._awaited:
            self._awaited.discard(ticket)
            if self._computing and not self._awaited:
                self._engine.interrupt()

    def _cut(self, now: float) -> list[Ticket]:
        queues = list(self._queues.values())
        waiting = [Waiting(next(iter(queue)).arrived, sum(ticket.rows for ticket in queue)) for queue in queues]
        queue = queues[next_queue(waiting, self._policy, now)]
        tickets = list(islice(queue, cut((ticket.rows for ticket in queue), self._policy.max_rows)))
        for ticket in tickets:
            self._dequeue(ticket)
            self._metrics.queue_seconds.observe(now - ticket.arrived)
        return tickets

    async def _execute(self, tickets: Sequence[Ticket]) -> None:
        """Answers `tickets`. If their batch fails it is halved, so that a bad request fails alone.

        One bad request among n costs about 2·log2(n) runs more; n bad ones cost 2n - 1 runs in all, the bound.
        """
        live = [ticket for ticket in tickets if not ticket.done]
        if not live:
            return
        try:
            answers = split(await self._compute(live), [ticket.rows for ticket in live])
        except RuntimeFault as fault:
            if len(live) == 1:
                self._finish(live[0], fault)
            else:
                middle = len(live) // 2
                await self._execute(live[:middle])
                await self._execute(live[middle:])
            return
        for ticket, answer in zip(live, answers, strict=True):
            self._finish(ticket, answer)

    async def _compute(self, tickets: Sequence[Ticket]) -> Sequence[Array]:
        self._metrics.batch_rows.observe(sum(ticket.rows for ticket in tickets))
        self._awaited = set(tickets)
        self._computing = True
        started = self._clock()
        try:
            return await self._engine.run(stack([ticket.feeds for ticket in tickets]))
        except RuntimeFault:
            raise
        except Exception:
            logger.exception("engine failed")
            raise ExecutionFailed("the model failed on this request; the server's log says how") from None
        finally:
            self._computing = False
            self._metrics.compute_seconds.observe(self._clock() - started)


def _settle(answered: "asyncio.Future[Outputs]", outcome: Outcome) -> None:
    if answered.done():
        return
    if isinstance(outcome, RuntimeFault):
        answered.set_exception(outcome)
    else:
        answered.set_result(outcome)
