"""One model's part in the scheduling of its device: what it is asked, when its batches run, and who is told.

A batch runs on the loop itself where that is surely cheaper than going to the launch thread and back, else there; while
it does, arrivals gather. When it is over, the device's next batch is cut, this model's or another's.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable

from tidegate_runtime.batching.admission import late
from tidegate_runtime.batching.alarm import EARLY_SECONDS, Alarm
from tidegate_runtime.batching.alike import Alike, Passed
from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.delivery import Delivery
from tidegate_runtime.batching.dispatcher import Clock, Dispatcher
from tidegate_runtime.batching.engine import Engine
from tidegate_runtime.batching.offers import Offers
from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.batching.place import Place
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.requests import Requests
from tidegate_runtime.batching.runner import Answers, Runner
from tidegate_runtime.batching.tickets import OVER, RUNNING, Batch, Deliver, Outputs, Tap, Ticket
from tidegate_runtime.errors import ExecutionFailed, NotReady, OutOfDeviceMemory, Overloaded, RunEnded, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Feeds

logger = logging.getLogger(__name__)


class Scheduler(Requests):
    """Runs submitted requests in batches on `engine`. `run` is its one task; all else is called from its event loop.

    `clock` runs with the event loop's, in seconds; uvloop's own has a resolution of only a millisecond. `on_stuck` is
    called when a run can't be ended: the engine is lost, and with it the process. `dispatcher` is its device's; left
    out, it has a device of its own. While `available` says no, the engine can't take a batch, and the
    device serves others.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- made in one place alone, beside tests
        self,
        engine: Engine,
        policy: BatchPolicy,
        metrics: ModelMetrics,
        clock: Clock,
        costs: CostTable | None = None,
        on_stuck: Callable[[], None] | None = None,
        dispatcher: Dispatcher | None = None,
        available: Callable[[], bool] = lambda: True,
        padding: Padding | None = None,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._costs = costs if costs is not None else CostTable(policy.max_rows)
        metrics.costs = self._costs.figures
        self._place = Place()
        self._backlog = Backlog(policy, self._costs, self._place, padding)
        metrics.margin = lambda: self._backlog.margin.value
        self._runner = Runner(engine, policy.run_seconds, metrics, clock, self._stuck, padding)
        self._delivery = Delivery(self._tell, metrics, clock)
        self._on_stuck = on_stuck
        self._dispatcher = dispatcher if dispatcher is not None else Dispatcher(clock)
        self.available = available
        """Whether the engine can take a batch."""
        self._offers = Offers(metrics)
        self._launch: Batch | None = None
        self._wake: asyncio.Future[None] | None = None
        self._closing = False
        self._expiry = Alarm(self._expire)

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
        """As `Requests` says."""
        now = self._clock()
        if self._closing:
            raise NotReady("the server is shutting down; send the request again")
        backlog, metrics = self._backlog, self._metrics
        try:
            ticket = backlog.admit(feeds, rows, now, deadline, deliver, key, priority, client)
        except Overloaded as refused:
            metrics.refuse(refused.refusal or "")
            self._offers.note(self._backlog.offered_seconds, now)
            raise
        metrics.inflight += 1
        metrics.queue_depth = backlog.depth
        dispatcher = self._dispatcher
        if not dispatcher.asked and dispatcher.free:
            dispatcher.ask()
        self._expiry.advance(deadline, now)
        return ticket

    def submit_all(self, alike: Alike, rows: int, size: int, priority: int) -> list[Ticket] | None:
        """As `Requests` says."""
        if self._closing:
            return None
        now = self._clock()
        try:
            tickets = self._backlog.admit_all(alike, rows, size, now, priority)
        except Overloaded as refused:
            self._metrics.refuse(refused.refusal or "", alike.number)
            self._offers.note(self._backlog.offered_seconds, now)
            raise
        if tickets is not None:
            self._metrics.inflight += len(tickets)
            self._metrics.queue_depth = self._backlog.depth
            self._expiry.advance(alike.earliest, now)
        return tickets

    def filling(self, feeds: Feeds, rows: int) -> int:
        """As `Requests` says."""
        return self._backlog.filling(feeds, rows)

    def pass_by(self, alike: Alike, rows: int, size: int, *, more: bool = False) -> Passed | None:
        """As `Requests` says."""
        now, dispatcher = self._clock(), self._dispatcher
        taken = not self._closing and not dispatcher.asked and self._delivery.tap is None
        if dispatcher.load.shared and taken:
            taken = not dispatcher.waited_for
        queue = self._backlog.pass_by(alike, rows, size, now, more=more) if taken else None
        if queue is None:
            return None
        self._offers.note(self._backlog.offered_seconds, now)
        count = alike.number
        try:
            outputs, seconds, own = self._runner.passing(alike.feeds, count, rows, own=self._place.trying)
        except RuntimeFault as fault:
            batch = self._backlog.begun(queue, alike, rows, size, now)
            self._stopped(batch, fault)
            return Passed(now, None, batch.tickets)
        ended = self._clock()
        self._backlog.passed(queue, count * rows, seconds, ended, own)
        self._metrics.passed(count * rows, count, seconds, ended)
        self._delivery.finish()
        return Passed(now, outputs)

    def cut(self) -> None:
        """As `Requests` says."""
        self._dispatcher.cut_if_free()

    def cut_soon(self) -> None:
        """As `Requests` says."""
        self._dispatcher.ask()

    def tapped(self, tap: Tap | None) -> None:
        """As `Requests` says."""
        self._delivery.tap = tap

    def withdraw(self, ticket: Ticket) -> None:
        """Forgets a request: it is not answered any more. Ends a run that nobody waits for then. Never too late."""
        if ticket.state != OVER:
            self._metrics.inflight -= 1
            self._unawaited(self._backlog.withdraw(ticket))

    async def run(self) -> None:
        """Serves until `close` was called and nothing waits any more."""
        self._costs.way_seconds = await self._runner.hop()
        self._place.measured(self._costs.way_seconds)
        self._dispatcher.join(self._backlog, self)
        while True:
            while self._launch is not None:
                batch, self._launch = self._launch, None
                await self._run_elsewhere(batch)
                # Or what lies in another process's memory would be held until the next batch.
                del batch
                self._dispatcher.cut()
                self._delivery.soon()
            if self._closing and not self._backlog.depth:
                break
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        self._delivery.finish()
        self._expiry.clear()
        self._runner.let_go()
        self._dispatcher.leave(self._backlog)

    def close(self) -> None:
        """Takes no more requests; `run` returns once those that wait are answered. May be called again."""
        self._closing = True
        self._rouse()

    def begin(self, batch: Batch, now: float) -> None:
        """Its turn has come: runs the batch, or has it run."""
        self._metrics.queue_depth = self._backlog.depth
        self._metrics.cut(batch.rows, [now - ticket.arrived for ticket in batch.tickets])
        self._offers.note(self._backlog.offered_seconds, now)
        if batch.on_loop:
            self._run_here(batch)
        else:
            self._launch = batch
            self._rouse()
        if self._dispatcher.load.shared:
            # What else waits, of whichever model, comes after a turn of the loop.
            self._dispatcher.ask()
        if self._closing:
            self._rouse()

    def gave_up(self, ticket: Ticket) -> None:
        """Tells a request that its time is over."""
        self._tell(ticket, late(ticket))
        self._unawaited(run=False)

    def _run_here(self, batch: Batch) -> None:
        try:
            answers = self._runner.here(batch, own=self._place.trying)
        except RuntimeFault as fault:
            self._fell(batch, fault)
        else:
            self._ended(batch, answers)
            self._delivery.finish()

    def _stopped(self, batch: Batch, fault: RuntimeFault) -> None:
        """The run of what had passed by failed: from here on all is as with any other batch."""
        tickets = batch.tickets
        self._metrics.inflight += len(tickets)
        self._metrics.cut(batch.rows, [0.0] * len(tickets))
        self._metrics.assembled(0.0, len(tickets))
        self._expiry.advance(tickets[0].deadline, batch.started)
        self._fell(batch, fault)

    def _fell(self, batch: Batch, fault: RuntimeFault) -> None:
        if isinstance(fault, RunEnded):
            # Its time depends on its data. On the launch thread the loop stays free and deadlines are kept.
            self._place.bar(batch.shape, self._clock())
            self._backlog.put_back(batch)
        else:
            self._failed(batch, fault)

    async def _run_elsewhere(self, batch: Batch) -> None:
        try:
            answers = await self._runner.elsewhere(batch)
        except RuntimeFault as fault:
            self._failed(batch, fault)
        else:
            self._ended(batch, answers)
            if not self._dispatcher.waited_for:
                self._delivery.finish()

    def _ended(self, batch: Batch, answers: Answers) -> None:
        now, seconds = self._clock(), answers.seconds
        self._backlog.ended(batch, seconds, now, answers.own)
        self._metrics.ran(batch.rows, len(batch.tickets), seconds, now)
        for ticket in batch.tickets:
            if ticket.trace is not None and ticket.state == RUNNING:
                ticket.trace.ran(ticket.arrived, batch.started, batch.assembly, seconds, now, batch.rows)
        self._delivery.take(batch, answers)

    def _failed(self, batch: Batch, fault: RuntimeFault) -> None:
        now = self._clock()
        seconds = now - batch.started
        self._metrics.compute_seconds.observe(seconds)
        if isinstance(fault, OutOfDeviceMemory):
            self._metrics.out_of_memory += 1
            logger.warning("out of device memory", extra={"rows": batch.rows, "halved": batch.rows > 1})
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
        over = self._backlog.expire(now + EARLY_SECONDS)
        for ticket in over:
            self._tell(ticket, late(ticket))
        running = self._backlog.running
        self._unawaited(bool(over) and running is not None and not running.awaited)
        self._expiry.set(self._backlog.nearest_deadline(), now)

    def _unawaited(self, run: bool) -> None:
        self._metrics.queue_depth = self._backlog.depth
        if run:
            self._runner.end()
        elif self._closing and not self._backlog.depth:
            self._rouse()

    def _stuck(self) -> None:
        """Tells whoever still waits that the engine is lost."""
        logger.critical("a run can't be ended")
        running = self._backlog.running
        for ticket in running.tickets if running is not None else ():
            if ticket.state == RUNNING:
                self._tell(ticket, ExecutionFailed("the model did not end; the server restarts"))
        if self._on_stuck is not None:
            self._on_stuck()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
