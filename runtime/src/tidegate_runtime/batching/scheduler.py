"""The asyncio side of the backlog: when it is cut, where a batch runs, and who is told.

Requests that are read in one turn of the event loop share a batch: the first one asks for a cut at the next turn. A
batch runs on the loop itself where that is surely cheaper than going to the launch thread and back, else there; while
it does, arrivals gather, and when it ends the next batch is cut at once.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence

from tidegate_runtime.batching.alarm import EARLY_SECONDS, Alarm
from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.costs import CostTable
from tidegate_runtime.batching.engine import Engine
from tidegate_runtime.batching.place import Place
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import Assembly
from tidegate_runtime.batching.tickets import OVER, RUNNING, Batch, Deliver, Outputs, Ticket
from tidegate_runtime.batching.watchdog import Watchdog
from tidegate_runtime.errors import DeadlineExceeded, ExecutionFailed, NotReady, Overloaded, RunEnded, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Array, Feeds
from tidegate_runtime.tracing.request import current

logger = logging.getLogger(__name__)

Clock = Callable[[], float]


class Scheduler:
    """Runs submitted requests in batches on `engine`. `run` is its one task; all else is called from its event loop.

    `clock` runs with the event loop's, in seconds; uvloop's own has a resolution of only a millisecond. `on_stuck` is
    called when a run can't be ended: the engine is lost, and with it the process. `turn` is held during a run on the
    launch thread by the one of several schedulers whose it is; they get it in the order in which they ask.
    """

    def __init__(
        self,
        engine: Engine,
        policy: BatchPolicy,
        metrics: ModelMetrics,
        clock: Clock,
        costs: CostTable | None = None,
        on_stuck: Callable[[], None] | None = None,
        turn: asyncio.Lock | None = None,
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._policy = policy
        self._metrics = metrics
        self._costs = costs if costs is not None else CostTable(policy.max_rows)
        metrics.costs = self._costs.figures
        self._backlog = Backlog(policy, self._costs)
        self._assembly = Assembly()
        self._on_stuck = on_stuck
        self._turn = turn if turn is not None else asyncio.Lock()
        self._offered_seconds = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flushing = True  # until `run` has begun
        self._launch: Batch | None = None
        self._wake: asyncio.Future[None] | None = None
        self._closing = False
        self._place = Place()
        self._expiry = Alarm(self._expire)
        self._watchdog = Watchdog(engine.interrupt, self._stuck)

    def submit(
        self,
        feeds: Feeds,
        rows: int,
        deadline: float,
        deliver: Deliver,
        *,
        key: Hashable = None,
        priority: int = 0,
        client: Hashable = None,
    ) -> Ticket:
        """Queues a request. `deliver` is called from the loop, once, with its outputs or its fault, unless withdrawn.

        `rows` ≥ 1 is what it counts for in a batch, `deadline` in the clock's seconds. `key` is equal for requests that
        may share a batch and cost the same; left out, it is made from the tensors' names, types and shapes. `priority`
        1 is the highest, 0 the default. `client` is whose requests run alone if they spoil others' batches.

        Raises `Overloaded` at once if the queue is full or the answer would come too late, `DeadlineExceeded` if the
        deadline is past, `NotReady` after `close`.
        """
        now = self._clock()
        if self._closing:
            raise NotReady("the server is shutting down; send the request again")
        backlog, metrics = self._backlog, self._metrics
        try:
            ticket = backlog.admit(feeds, rows, now, deadline, deliver, key, priority, client)
        except Overloaded as refused:
            metrics.refuse(refused.refusal or "")
            self._offer(now)
            raise
        metrics.inflight += 1
        metrics.queue_depth = backlog.depth
        if not self._flushing and backlog.running is None:
            self._ask_for_cut()
        if deadline < self._expiry.at:
            self._expiry.set(deadline, now)
        return ticket

    async def infer(
        self,
        feeds: Feeds,
        rows: int,
        deadline: float,
        *,
        key: Hashable = None,
        priority: int = 0,
        client: Hashable = None,
    ) -> Outputs:
        """The outputs for these rows alone, in declared order. Raises what `submit` raises or delivers.

        If the caller is cancelled, the request is withdrawn, wherever it is.
        """
        future: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()

        def deliver(outcome: Outputs | RuntimeFault) -> None:
            if future.done():
                return
            if isinstance(outcome, RuntimeFault):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        ticket = self.submit(feeds, rows, deadline, deliver, key=key, priority=priority, client=client)
        ticket.trace = current.get()
        try:
            return await future
        finally:
            self.withdraw(ticket)

    def withdraw(self, ticket: Ticket) -> None:
        """Forgets a request: it is not answered any more. Ends a run that nobody waits for then. Never too late."""
        if ticket.state != OVER:
            self._metrics.inflight -= 1
            self._unawaited(self._backlog.withdraw(ticket))

    async def run(self) -> None:
        """Serves until `close` was called and nothing waits any more."""
        self._loop = asyncio.get_running_loop()
        self._place.hop_seconds = self._costs.overhead_seconds = await self._engine.hop()
        self._cut()
        while True:
            while self._launch is not None:
                batch, self._launch = self._launch, None
                async with self._turn:
                    await self._run_elsewhere(batch)
                self._cut()
            if self._closing and not self._backlog.depth and not self._flushing:
                break
            self._wake = self._loop.create_future()
            await self._wake
        self._expiry.clear()

    def close(self) -> None:
        """Takes no more requests; `run` returns once those that wait are answered. May be called again."""
        self._closing = True
        self._rouse()

    def _ask_for_cut(self) -> None:
        if self._loop is not None:
            self._flushing = True
            self._loop.call_soon(self._cut)

    def _cut(self) -> None:
        """Cuts the next batch, if nothing runs, and runs it or has it run."""
        self._flushing = False
        backlog = self._backlog
        if backlog.running is not None or self._launch is not None:
            return
        now = self._clock()
        batch = backlog.cut(now)
        for ticket in backlog.dropped:
            self._tell(ticket, _late(ticket))
        self._metrics.queue_depth = backlog.depth
        if batch is None:
            if self._closing:
                self._rouse()
            return
        self._metrics.cut(batch.rows, [now - ticket.arrived for ticket in batch.tickets])
        self._offer(now)
        if self._place.on_loop(batch, now):
            self._run_here(batch)
        else:
            self._launch = batch
            self._rouse()

    def _offer(self, now: float) -> None:
        offered = self._backlog.offered_seconds
        self._metrics.offer(offered - self._offered_seconds, now)
        self._offered_seconds = offered

    def _run_here(self, batch: Batch) -> None:
        try:
            outputs, seconds = self._engine.run_inline(self._feeds(batch))
        except RunEnded:
            # Its time depends on its data. On the launch thread the loop stays free and deadlines are kept.
            self._place.bar(batch.shape, self._clock())
            self._launch = batch
            self._rouse()
            return
        except Exception as error:
            self._failed(batch, _fault(error))
        else:
            self._ended(batch, outputs, seconds)
        # What else waits comes after a turn of the loop, so that connections are read and written in between.
        if self._backlog.depth:
            self._ask_for_cut()
        elif self._closing:
            self._rouse()

    async def _run_elsewhere(self, batch: Batch) -> None:
        if not batch.awaited:
            self._failed(batch, RunEnded("nobody waits for it"))
            return
        batch.started = self._clock()
        self._watchdog.begin(self._policy.run_seconds)
        try:
            outputs, seconds = await self._engine.run(self._feeds(batch))
        except Exception as error:
            self._watchdog.returned()
            self._failed(batch, _fault(error))
        else:
            self._watchdog.returned()
            self._ended(batch, outputs, seconds)

    def _feeds(self, batch: Batch) -> Feeds:
        if len(batch.tickets) == 1:  # Nothing to put together, and no clock to read for it.
            self._metrics.assembled(0.0, 1)
            return batch.tickets[0].feeds or {}
        requests = [ticket.feeds for ticket in batch.tickets if ticket.feeds is not None]
        began = self._clock()
        feeds = self._assembly.stack(requests, batch.rows)
        batch.assembly = self._clock() - began
        self._metrics.assembled(batch.assembly, len(requests))
        return feeds

    def _ended(self, batch: Batch, outputs: Sequence[Array], seconds: float) -> None:
        now = self._clock()
        try:
            answers = self._assembly.split(outputs, [ticket.rows for ticket in batch.tickets])
        except RuntimeFault as fault:
            self._failed(batch, fault)
            return
        self._backlog.ended(batch, seconds, now)
        self._metrics.ran(batch.rows, len(batch.tickets), seconds, now)
        for ticket, answer in zip(batch.tickets, answers, strict=True):
            if ticket.state == RUNNING:
                if ticket.trace is not None:
                    ticket.trace.ran(ticket.arrived, batch.started, batch.assembly, seconds, now, batch.rows)
                self._tell(ticket, answer)

    def _failed(self, batch: Batch, fault: RuntimeFault) -> None:
        now = self._clock()
        seconds = now - batch.started
        self._metrics.compute_seconds.observe(seconds)
        for ticket in self._backlog.failed(batch, fault, seconds, now):
            if ticket.trace is not None:
                ticket.trace.ran(ticket.arrived, batch.started, batch.assembly, seconds, now, batch.rows)
            self._tell(ticket, fault)
        self._metrics.queue_depth = self._backlog.depth

    def _tell(self, ticket: Ticket, outcome: Outputs | RuntimeFault) -> None:
        ticket.state = OVER
        self._metrics.inflight -= 1
        try:
            ticket.deliver(outcome)
        except Exception:
            # One request's answer that can't be written must not keep the others' from them.
            logger.exception("an answer could not be delivered")

    def _expire(self) -> None:
        """Answers what is over."""
        now = self._clock()
        late = self._backlog.expire(now + EARLY_SECONDS)
        for ticket in late:
            self._tell(ticket, _late(ticket))
        running = self._backlog.running
        self._unawaited(bool(late) and running is not None and not running.awaited)
        self._expiry.set(self._backlog.nearest_deadline(), now)

    def _unawaited(self, run: bool) -> None:
        self._metrics.queue_depth = self._backlog.depth
        if run:
            self._watchdog.end()
        elif self._closing and not self._backlog.depth:
            self._rouse()

    def _stuck(self) -> None:
        """Tells whoever still waits that the engine is lost."""
        logger.critical("a run can't be ended")
        batch = self._backlog.running
        if batch is not None:
            for ticket in batch.tickets:
                if ticket.state == RUNNING:
                    self._tell(ticket, ExecutionFailed("the model did not end; the server restarts"))
        if self._on_stuck is not None:
            self._on_stuck()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def _late(ticket: Ticket) -> DeadlineExceeded:
    return DeadlineExceeded(f"no answer within {ticket.deadline - ticket.arrived:.3g} s; the request was dropped")


def _fault(error: Exception) -> RuntimeFault:
    if isinstance(error, RuntimeFault):
        return error
    logger.error("engine failed", exc_info=error)
    return ExecutionFailed("the model failed on this request; the server's log says how")
