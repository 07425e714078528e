"""All that waits for one engine and the batch that runs: what is let in, what runs next, who is answered. Pure.

The scheduler tells it what happens and when; it decides by `policy`, `costs` and `isolation`, and touches neither the
engine nor an event loop.
"""

from collections.abc import Hashable
from math import inf, sqrt
from typing import Final

from tidegate_runtime.batching.costs import TRIAL_SECONDS, CostTable, ShapeCosts, Work
from tidegate_runtime.batching.cutting import chosen, taken
from tidegate_runtime.batching.isolation import Isolation
from tidegate_runtime.batching.policy import DEFAULT_LEVEL, MARGIN, BatchPolicy, completion, due, level, retry_after
from tidegate_runtime.batching.rows import compatibility, size_in_bytes, whole_shape
from tidegate_runtime.batching.tickets import NOTHING, OVER, RUNNING, WAITING, Batch, Deliver, Queue, Ticket
from tidegate_runtime.errors import DeadlineExceeded, Overloaded, RejectedByModel, RuntimeFault
from tidegate_runtime.tensors import Feeds

MAX_SHAPES: Final = 64
"""Shape keys with a queue and costs of their own; each new one takes the place of the one not used for longest."""

MAX_TRIAL_SECONDS: Final = 64.0


class Backlog:
    """Requests waiting for one engine. All times are in the clock's seconds, and `now` never goes back."""

    def __init__(self, policy: BatchPolicy, table: CostTable) -> None:
        self.depth = 0
        self.bytes = 0
        self.offered_seconds = 0.0
        """Engine seconds of all requests that came, refused ones included."""
        self.running: Batch | None = None
        self.dropped: list[Ticket] = []
        """What the latest `cut` gave up, since its deadline can't be met any more; to be told so."""
        self._policy = policy
        self._table = table
        self._isolation = Isolation()
        self._key = compatibility if policy.max_rows > 1 else whole_shape
        self._queues = {key: Queue(shape) for key, shape in table.shapes.items()}
        self._alone = Queue(table.stranger(1), alone=True)
        self._active: dict[Queue, None] = {}
        self._mean = 0.0
        self._spread = 0.0

    def admit(  # noqa: PLR0913, PLR0917 -- positional for the hot path; called in one place alone
        self,
        feeds: Feeds,
        rows: int,
        now: float,
        deadline: float,
        deliver: Deliver,
        key: Hashable = None,
        priority: int = 0,
        client: Hashable = None,
    ) -> Ticket:
        """A ticket that waits.

        Raises `DeadlineExceeded` if the deadline is past, `Overloaded` if the queue is full in requests or bytes, or if
        the answer is predicted to come too late.
        """
        if now >= deadline:
            raise DeadlineExceeded("the request's time was over before it could be queued")
        if key is None:
            key = self._key(feeds)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._opened(key, feeds, rows)
        shape = queue.shape
        if queue.alone:
            shape = self._table.stranger(_elements(feeds, rows))
        elif self._isolation.apart and self._isolation.runs_alone(client, now):
            queue = self._alone
        self.offered_seconds += rows * shape.row_seconds
        queue.came += rows
        queue.used = now
        size = size_in_bytes(feeds)
        if self.depth >= self._policy.queue_size:
            raise self._refused("QueueFull", f"{self._policy.queue_size} requests are waiting, the limit", now)
        if self.bytes + size > self._policy.queue_bytes and self.depth:
            limit = self._policy.queue_bytes
            raise self._refused("QueueBytes", f"the requests that wait hold {self.bytes} of {limit} bytes", now)
        work = shape.work(rows if queue.alone else queue.rows + rows)
        trial = work is not None and self._check(shape, queue, rows, work, now, deadline)
        rank = level(priority) if priority else DEFAULT_LEVEL
        shifted = due(now, deadline, rank) if priority else deadline
        ticket = Ticket(feeds, rows, size, now, deadline, shifted, rank, deliver, client, queue, shape)
        ticket.trial = trial
        self._put(ticket, queue, work)
        return ticket

    def withdraw(self, ticket: Ticket) -> bool:
        """Forgets a request that nobody waits for any more. Whether that leaves the run in progress unawaited."""
        state, ticket.state = ticket.state, OVER
        if state == WAITING:
            ticket.feeds = None
            self._remove(ticket.queue, 1, ticket.rows, ticket.size)
        elif state == RUNNING and self.running is not None:
            self.running.awaited -= 1
            return not self.running.awaited
        return False

    def expire(self, now: float) -> list[Ticket]:
        """What is over by `now`, waiting or running: each is to be told so."""
        tickets = [ticket for queue in self._active for ticket in queue if ticket.deadline <= now]
        if self.running is not None:
            tickets += [t for t in self.running.tickets if t.state == RUNNING and t.deadline <= now]
        for ticket in tickets:
            self.withdraw(ticket)
        return tickets

    def nearest_deadline(self) -> float:
        """The earliest deadline of all that wait or run; infinity if nothing does."""
        earliest = min((ticket.deadline for queue in self._active for ticket in queue), default=inf)
        if self.running is not None:
            running = (ticket.deadline for ticket in self.running.tickets if ticket.state == RUNNING)
            earliest = min(earliest, min(running, default=inf))
        return earliest

    def cut(self, now: float) -> Batch | None:
        """The next batch, which runs from here on; None if nothing waits. Only while nothing runs."""
        self.dropped = []
        while self._active:
            queue = (
                next(iter(self._active)) if len(self._active) == 1 else chosen(list(self._active), self._policy, now)
            )
            tickets, late = taken(queue, self._policy.max_rows, self.depth, now, self._policy.preferred)
            for ticket in late:
                self.withdraw(ticket)
            self.dropped += late
            if not late:
                return self._started(queue, tickets, now)
        return None

    def ended(self, batch: Batch, seconds: float, now: float) -> None:
        """The batch ran and took the engine `seconds`."""
        self.running = None
        if batch.cost is not None and seconds < batch.cost.mean / 2 and any(ticket.trial for ticket in batch.tickets):
            batch.shape.forget()
        batch.shape.observe(batch.rows, seconds)
        batch.shape.trial_gap = TRIAL_SECONDS
        batch.shape.trial_at = now + TRIAL_SECONDS
        if batch.together:
            self._isolation.spent(seconds, now)

    def failed(self, batch: Batch, fault: RuntimeFault, seconds: float, now: float) -> list[Ticket]:
        """The batch failed after `seconds`. Its requests that are to be told the fault; the others wait again.

        Only data is looked for: after `RejectedByModel` each half runs again, within the budget. Any other failure may
        be the engine's (out of memory, a device fault), and running again what just broke it risks what waits.
        """
        self.running = None
        live = [ticket for ticket in batch.tickets if ticket.state == RUNNING]
        if batch.together:
            self._isolation.spent(seconds, now)
        if not isinstance(fault, RejectedByModel):
            return live
        if len(batch.tickets) == 1:
            if batch.together:
                self._isolation.offended(batch.tickets[0].client, now)
            return live
        middle = (len(live) + 1) // 2
        parts = [live[:middle], live[middle:]]
        if not self._isolation.may_halve(seconds, now):
            parts = [[ticket] for ticket in live]
        for part in parts:
            queue = Queue(batch.shape, together=True)
            for ticket in part:
                ticket.state = WAITING
                self._put(ticket, queue, batch.shape.work(queue.rows + ticket.rows))
        return []

    def _opened(self, key: Hashable, feeds: Feeds, rows: int) -> Queue:
        if len(self._queues) >= MAX_SHAPES:
            idle = [known for known, queue in self._queues.items() if not queue]
            if not idle:
                return self._alone
            oldest = min(idle, key=lambda known: self._queues[known].used)
            del self._queues[oldest], self._table.shapes[oldest]
        queue = self._queues[key] = Queue(self._table.shape(key, _elements(feeds, rows)))
        return queue

    def _check(self, shape: ShapeCosts, queue: Queue, rows: int, work: Work, now: float, deadline: float) -> bool:
        """Refuses what can't be answered in time; whether it is let in only to bring old figures up to date."""
        mean = self._mean + work.mean
        spread = self._spread + work.spread
        if not queue.alone:
            mean -= queue.work.mean
            spread -= queue.work.spread
        if self.running is not None:
            left = self._left(now)
            joined = shape.work(self._joined(queue, rows, left.mean)) or work
            mean += left.mean + joined.mean - work.mean
            spread += left.spread + joined.spread - work.spread
        seconds = MARGIN * (mean + sqrt(max(0.0, spread)))
        if now + seconds <= deadline:
            return False
        alone = shape.work(rows) or work
        if self.running is None and not self.depth and (now + alone.mean <= deadline or not shape.measured):
            return False  # An idle engine loses nothing by trying what will probably be in time.
        if now + completion([alone]) > deadline and now >= shape.trial_at:
            shape.trial_at = now + shape.trial_gap
            shape.trial_gap = min(2 * shape.trial_gap, MAX_TRIAL_SECONDS)
            return True
        raise Overloaded(
            f"the answer would take about {seconds:.3g} s, {deadline - now:.3g} s are left; try again later",
            "Deadline",
            retry_after(seconds),
        )

    def _joined(self, queue: Queue, rows: int, seconds: float) -> int:
        """The rows of the request's queue when the run in progress ends, in `seconds`, up to one full batch.

        The first of them would else be let in at the cost of a small batch, and be late in the large one it becomes.
        """
        if queue.alone:
            return rows
        own = queue.rows + rows
        return max(own, min(queue.shape.best(self._policy.max_rows), own + int(queue.rate * seconds)))

    def _refused(self, refusal: str, what: str, now: float) -> Overloaded:
        after = retry_after(completion([self._left(now), Work(self._mean, max(0.0, self._spread))]))
        return Overloaded(f"{what}; try again after {after} s", refusal, after)

    def _left(self, now: float) -> Work:
        """What is left of the run in progress: up to its mean, then up to its p99, then nothing is known."""
        if self.running is None or self.running.cost is None:
            return NOTHING
        cost = self.running.cost
        end = self.running.started + self._table.overhead_seconds
        if now < end + cost.mean:
            return Work(end + cost.mean - now, (cost.p99 - cost.mean) ** 2)
        return Work(max(0.0, end + cost.p99 - now), 0.0)

    def _put(self, ticket: Ticket, queue: Queue, work: Work | None) -> None:
        ticket.queue = queue
        queue.add(ticket)
        self._active[queue] = None
        self.depth += 1
        self.bytes += ticket.size
        if queue.alone and work is not None:
            work = Work(queue.work.mean + work.mean, queue.work.spread + work.spread)
        self._account(queue, work)

    def _remove(self, queue: Queue, count: int, rows: int, size: int) -> None:
        queue.left(count, rows)
        self.depth -= count
        self.bytes -= size
        if not queue:
            del self._active[queue]
            self._account(queue, NOTHING)
            if not self._active:
                self._mean = self._spread = 0.0
        elif queue.alone:
            # Of several shapes, so about: what leaves had its share of the rows.
            share = queue.rows / (queue.rows + rows)
            self._account(queue, Work(queue.work.mean * share, queue.work.spread * share))
        else:
            self._account(queue, queue.shape.work(queue.rows))

    def _account(self, queue: Queue, work: Work | None) -> None:
        if work is None:
            work = NOTHING
        mean, spread = queue.work
        self._mean += work.mean - mean
        self._spread += work.spread - spread
        queue.work = work

    def _started(self, queue: Queue, tickets: list[Ticket], now: float) -> Batch:
        rows = size = 0
        for ticket in tickets:
            ticket.state = RUNNING
            rows += ticket.rows
            size += ticket.size
        self._remove(queue, len(tickets), rows, size)
        queue.rate_until(now)
        self.running = Batch(tickets, rows, tickets[0].shape, queue.together, now)
        return self.running


def _elements(feeds: Feeds, rows: int) -> int:
    return int(sum(array.size for array in feeds.values())) // max(1, rows)
