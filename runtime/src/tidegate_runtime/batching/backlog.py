"""All that waits for one model: what is let in, what runs next, who is answered. Pure.

The scheduler tells it what happens and when; it decides by `policy`, `costs` and `isolation`, and touches neither the
engine nor an event loop. What the model's device has taken on for others it knows by the `load` that they share.
"""

from collections.abc import Hashable
from math import inf, sqrt
from typing import Final

from tidegate_runtime.batching.admission import after, crowds, full, joined, left, too_late
from tidegate_runtime.batching.costs import TRIAL_SECONDS, CostTable, ShapeCosts, Work
from tidegate_runtime.batching.cutting import chosen, held_until, taken
from tidegate_runtime.batching.isolation import Isolation
from tidegate_runtime.batching.merging import longest, merged
from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.batching.place import Place
from tidegate_runtime.batching.policy import (
    DEFAULT_LEVEL,
    LEAST_HOLD_SECONDS,
    MARGIN,
    BatchPolicy,
    completion,
    due,
    level,
)
from tidegate_runtime.batching.recovery import parts
from tidegate_runtime.batching.rows import size_in_bytes
from tidegate_runtime.batching.shapes import Shapes, elements
from tidegate_runtime.batching.tickets import NOTHING, OVER, RUNNING, WAITING, Batch, Deliver, Queue, Ticket
from tidegate_runtime.batching.turns import Turns
from tidegate_runtime.batching.waiting import Waiting
from tidegate_runtime.errors import DeadlineExceeded, OutOfDeviceMemory, Overloaded, RuntimeFault
from tidegate_runtime.tensors import Feeds

MAX_TRIAL_SECONDS: Final = 64.0


class Backlog(Waiting):
    """Requests waiting for one model. All times are in the clock's seconds, and `now` never goes back."""

    def __init__(
        self, policy: BatchPolicy, table: CostTable, place: Place | None = None, padding: Padding | None = None
    ) -> None:
        super().__init__()
        self.offered_seconds = 0.0
        """Engine seconds of all requests that came, refused ones included."""
        self.dropped: list[Ticket] = []
        """What the latest `cut` gave up, since its deadline can't be met any more; to be told so."""
        self.held_until = 0.0
        """Until when the latest `cut` wants to wait for company; 0 if it doesn't."""
        self.policy = policy
        self.place = place if place is not None else Place()
        self._table = table
        self._turns = Turns(table)
        self._isolation = Isolation()
        self._shapes = shapes = Shapes(table, policy.max_rows, padding)
        self._key, self._queues = shapes.key, shapes.known

    @property
    def running(self) -> Batch | None:
        """The run in progress, if it is of this model."""
        return self.load.running if self.load.holder is self else None

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
            queue = self._shapes.opened(key, feeds, rows)
        shape = queue.shape
        if queue.alone:
            shape = self._table.stranger(elements(feeds, rows))
        elif self._isolation.apart and self._isolation.runs_alone(client, now):
            queue = self._shapes.alone
        self.offered_seconds += rows * shape.row_seconds
        queue.came += rows
        queue.used = now
        size = size_in_bytes(feeds)
        if self.depth >= self.policy.queue_size:
            raise self._refused("QueueFull", f"{self.policy.queue_size} requests are waiting, the limit", now)
        if self.bytes + size > self.policy.queue_bytes and self.depth:
            limit = self.policy.queue_bytes
            raise self._refused("QueueBytes", f"the requests that wait hold {self.bytes} of {limit} bytes", now)
        work = shape.work(rows if queue.alone else queue.rows + rows)
        trial = work is not None and self._check(shape, queue, rows, work, now, deadline)
        rank = level(priority) if priority else DEFAULT_LEVEL
        shifted = due(now, deadline, rank) if priority else deadline
        ticket = Ticket(feeds, rows, size, now, deadline, shifted, rank, deliver, client, queue, shape)
        ticket.trial = trial
        self.put(ticket, queue, work)
        return ticket

    def withdraw(self, ticket: Ticket) -> bool:
        """Forgets a request that nobody waits for any more. Whether that leaves the run in progress unawaited."""
        state, ticket.state = ticket.state, OVER
        if state == WAITING:
            ticket.feeds = None
            self.remove(ticket.queue, 1, ticket.rows, ticket.size)
            if not self.depth:
                self._turns.forget()
        elif state == RUNNING and (running := self.running) is not None:
            running.awaited -= 1
            return not running.awaited
        return False

    def expire(self, now: float) -> list[Ticket]:
        """What is over by `now`, waiting or running: each is to be told so."""
        tickets = [ticket for queue in self.active for ticket in queue if ticket.deadline <= now]
        if self.running is not None:
            tickets += [t for t in self.running.tickets if t.state == RUNNING and t.deadline <= now]
        for ticket in tickets:
            self.withdraw(ticket)
        return tickets

    def nearest_deadline(self) -> float:
        """The earliest deadline of all that wait or run; infinity if nothing does."""
        earliest = min((ticket.deadline for queue in self.active for ticket in queue), default=inf)
        if self.running is not None:
            running = (ticket.deadline for ticket in self.running.tickets if ticket.state == RUNNING)
            earliest = min(earliest, min(running, default=inf))
        return earliest

    def cut(self, now: float, depth: int) -> Batch | None:
        """The next batch, which runs from here on; None if requests were given up first, or are held back.

        Something waits. `depth` is how many requests wait for the device.
        """
        self.held_until = 0.0
        self._turns.cut(now)
        if len(self.active) > 1:
            queue = chosen(self.active, self.policy, now)
            if queue.family is not None:
                queues = merged(queue, self.active, self.policy, self._table.overhead_seconds, now)
                if len(queues) > 1:
                    self.dropped = []
                    return self._padded(queues, now)
        else:
            (queue,) = self.active
            if queue.shape.single_seconds >= 2 * LEAST_HOLD_SECONDS and depth == self.depth:
                self.held_until = held_until(queue, self.policy, now)
                if self.held_until:
                    self.dropped = []
                    return None
        tickets, self.dropped = taken(queue, self.policy.max_rows, depth, now, self.policy.preferred)
        if self.dropped:
            for ticket in self.dropped:
                self.withdraw(ticket)
            return None
        return self._started(queue, tickets, now)

    def ended(self, batch: Batch, seconds: float, now: float) -> None:
        """The batch ran and took the engine `seconds`."""
        if self.load.running is batch:
            self.load.running = None
        if batch.cost is not None and seconds < batch.cost.mean / 2 and any(ticket.trial for ticket in batch.tickets):
            batch.shape.forget()
        if self.depth and not self.load.shared:
            self._turns.ended(batch.started + seconds)
        batch.shape.observe(batch.rows, seconds)
        batch.shape.trial_gap = TRIAL_SECONDS
        batch.shape.trial_at = now + TRIAL_SECONDS
        if batch.suspect:
            self._isolation.spent(seconds, now)

    def failed(self, batch: Batch, fault: RuntimeFault, seconds: float, now: float) -> list[Ticket]:
        """The batch failed after `seconds`. Its requests that are to be told the fault; the others wait again."""
        self._over(batch)
        if batch.suspect:
            self._isolation.spent(seconds, now)
        again = parts(batch, fault, self._isolation, seconds, now)
        for part in again:
            self._again(batch, part, suspect=not isinstance(fault, OutOfDeviceMemory))
        return [] if again else [ticket for ticket in batch.tickets if ticket.state == RUNNING]

    def put_back(self, batch: Batch) -> None:
        """The batch, which nothing is to be held against, has to run again as it is."""
        self._over(batch)
        self._again(batch, [ticket for ticket in batch.tickets if ticket.state == RUNNING], suspect=batch.suspect)

    def _over(self, batch: Batch) -> None:
        if self.load.running is batch:
            self.load.running = None

    def _again(self, batch: Batch, tickets: list[Ticket], *, suspect: bool) -> None:
        queue = Queue(batch.shape, together=True, suspect=suspect)
        queue.length = batch.length
        for ticket in tickets:
            ticket.state = WAITING
            self.put(ticket, queue, batch.shape.work(queue.rows + ticket.rows))

    def _check(self, shape: ShapeCosts, queue: Queue, rows: int, work: Work, now: float, deadline: float) -> bool:
        """Refuses what can't be answered in time; whether it is let in only to bring old figures up to date."""
        load = self.load
        running, mean, spread = load.running, load.mean, load.spread
        if load.shared and self._passes(shape, queue, rows, now):
            # What runs on the loop doesn't wait for its turn at the device.
            running, mean, spread = self.running, *self.own()
        if not queue.alone:
            mean -= queue.work.mean
            spread -= queue.work.spread
        rest, own = NOTHING, work
        if running is not None:
            rest = left(running, self._table.overhead_seconds, now)
            own = shape.work(joined(queue, rows, rest.mean, self.policy.max_rows)) or work
            mean += rest.mean
            spread += rest.spread
        seconds = MARGIN * (mean + own.mean + sqrt(max(0.0, spread + own.spread)))
        # Mostly all that waits has time enough for that, and there is no more to look at.
        most = self.policy.max_rows
        if queue.rows and now + seconds > queue.head().deadline and crowds(queue, rows, rest, work, most, now):
            own = after(queue, rows, rest.mean, most) or own
            seconds = MARGIN * (mean + own.mean + sqrt(max(0.0, spread + own.spread)))
        mean += own.mean
        if now + seconds <= deadline:
            return False
        alone = shape.work(rows) or work
        idle = running is None and not self.depth and (not load.shared or mean <= work.mean)
        if idle and (now + alone.mean <= deadline or not shape.measured):
            return False  # An idle engine loses nothing by trying what will probably be in time.
        if now + completion([alone]) > deadline and now >= shape.trial_at:
            shape.trial_at = now + shape.trial_gap
            shape.trial_gap = min(2 * shape.trial_gap, MAX_TRIAL_SECONDS)
            return True
        raise too_late(seconds, deadline - now)

    def _passes(self, shape: ShapeCosts, queue: Queue, rows: int, now: float) -> bool:
        """Whether the request's batch is one for the event loop."""
        rows = rows if queue.alone else min(queue.rows + rows, self.policy.max_rows)
        return self.place.on_loop(shape, shape.at(rows), now)

    def _refused(self, refusal: str, what: str, now: float) -> Overloaded:
        load = self.load
        rest = left(load.running, self._table.overhead_seconds, now)
        return full(refusal, what, [rest, Work(load.mean, max(0.0, load.spread))])

    def _started(self, queue: Queue, tickets: list[Ticket], now: float) -> Batch:
        batch = Batch(tickets, self.take_out(queue, tickets, now), tickets[0].shape, queue.suspect, now)
        if queue.together:
            batch.length = queue.length
        return batch

    def _padded(self, queues: list[Queue], now: float) -> Batch:
        """All that waits in `queues`, as one batch of the longest's shape."""
        goal = longest(queues)
        taken_out = [(queue, list(queue)) for queue in queues]
        rows = sum(self.take_out(queue, tickets, now) for queue, tickets in taken_out)
        batch = Batch([ticket for _, tickets in taken_out for ticket in tickets], rows, goal.shape, False, now)
        batch.length = goal.length
        return batch
