"""All that waits for one model: what is let in, what runs next, who is answered. Pure.

The scheduler tells it what happens and when; it decides by `policy`, `costs` and `isolation`, and touches neither the
engine nor an event loop. What the model's device has taken on for others it knows by the `load` that they share.
"""

from math import inf, sqrt
from typing import Final

from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.costs import TRIAL_SECONDS, ShapeCosts
from tidegate_runtime.batching.cutting import chosen, held_until, larger_due, taken
from tidegate_runtime.batching.entrance import Entrance
from tidegate_runtime.batching.merging import longest, merged
from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.batching.place import Place
from tidegate_runtime.batching.policy import DEFAULT_LEVEL, LEAST_HOLD_SECONDS, BatchPolicy
from tidegate_runtime.batching.recovery import parts
from tidegate_runtime.batching.tickets import OVER, RUNNING, WAITING, Batch, Queue, Ticket
from tidegate_runtime.batching.turns import Turns
from tidegate_runtime.errors import OutOfDeviceMemory, RuntimeFault
from tidegate_runtime.tensors import Feeds

LOOK_SECONDS: Final = 0.001
"""Of runs that pass by, and whose cost is well known, one in so much time is looked at: others follow each other by a
tenth of that, and to keep figures costs as much as half of a tiny run."""


class Backlog(Entrance):
    """Requests waiting for one model. All times are in the clock's seconds, and `now` never goes back."""

    def __init__(
        self, policy: BatchPolicy, table: CostTable, place: Place | None = None, padding: Padding | None = None
    ) -> None:
        super().__init__(policy, table, place, padding)
        self.dropped: list[Ticket] = []
        """What the latest `cut` gave up, since its deadline can't be met any more; to be told so."""
        self.held_until = 0.0
        """Until when the latest `cut` wants to wait for company; 0 if it doesn't."""
        self._turns = Turns(table)

    def filling(self, feeds: Feeds, rows: int) -> int:
        """As `Requests` says."""
        most = self.policy.max_rows
        queue = self._queues.get(self._key(feeds)) if most > 1 else None
        return max(1, (most if queue is None else queue.shape.best(most)) // rows)

    def pass_by(self, alike: Alike, rows: int, size: int, now: float, *, more: bool = False) -> Queue | None:
        """The queue of requests that run on the event loop at once: nothing waits or runs, and all are in time.

        They run as `admit_all` and `cut` would have them run, but are in no queue. None, and nothing has changed, where
        these might do anything else, or have more to do. `rows` and `size` are those of each; `more` come behind them.
        Nothing of other models waits for the device, which the caller knows.
        """
        count, earliest = alike.number, alike.earliest
        queue, load, policy = self._queue_of(alike), self.load, self.policy
        if queue is None or self.depth or load.running is not None:
            return None
        total, shape = count * rows, queue.shape
        if total > policy.max_rows or (count > 1 and count * size > policy.queue_bytes):
            return None
        isolation = self._isolation
        if now < isolation.until and (isolation.anyone_apart(now) or total > isolation.rows(policy.max_rows, now)):
            return None
        cost, work = shape.at(total), shape.work(total)
        if cost is None or work is None or shape.single_seconds >= 2 * LEAST_HOLD_SECONDS or policy.preferred:
            return None
        if shape.cap < policy.max_rows or shape.best(total) != total or count > policy.queue_size:
            return None
        # What it takes is predicted as anybody's, and looked at again when it is cut.
        if now + self.margin.value * (work.mean + sqrt(max(0.0, work.spread))) > earliest or now + cost.p99 > earliest:
            return None
        if now >= earliest or not self.place.on_loop(shape, total, now):
            return None
        if self._sized_otherwise(queue, total, rows, more=more):
            return None
        self._note(queue, shape, total, now)
        queue.rate_until(now)
        return queue

    def _sized_otherwise(self, queue: Queue, total: int, rows: int, *, more: bool) -> bool:
        """Whether the queue would try a batch of another size, to see what that costs."""
        most = self.policy.max_rows
        lesser = queue.shape.lesser(2 * most if more else total)
        if 0 < lesser < total and not lesser % rows:
            return True
        if more and total < most:
            if larger_due(queue, total, most):
                return True
            queue.held += total
        return False

    def passed(self, queue: Queue, rows: int, seconds: float, now: float, own: float | None = None) -> None:
        """The run of `pass_by`, of `rows` in all, took the engine `seconds`; `own` as in `ended`."""
        shape, began = queue.shape, now - seconds
        # By its beginning: by their ends long runs, pauses of the host among them, would be looked at more often.
        if began >= shape.looked_at + LOOK_SECONDS or not shape.settled(rows):
            self._observed(shape, rows, seconds, now, on_loop=True)
            shape.looked_at = began
        self.place.ran(shape, rows, seconds if own is None else own, now)

    def begun(self, queue: Queue, alike: Alike, rows: int, size: int, now: float) -> Batch:
        """The batch of what `pass_by` let pass, which is running: for what has more to say of a run."""
        tickets = [
            Ticket(feeds, rows, size, now, deadline, deadline, DEFAULT_LEVEL, deliver, client, queue, queue.shape)
            for feeds, deadline, deliver, client in alike.asked()
        ]
        for ticket in tickets:
            ticket.state = RUNNING
        batch = Batch(tickets, alike.number * rows, queue.shape, False, now)
        batch.on_loop = True
        self.load.running, self.load.holder = batch, self
        return batch

    def withdraw(self, ticket: Ticket) -> bool:
        """Forgets a request that nobody waits for any more. Whether that leaves the run in progress unawaited."""
        state, ticket.state = ticket.state, OVER
        if state == WAITING:
            ticket.feeds = None
            self.remove(ticket.queue, 1, ticket.rows, ticket.size)
            if not self.depth:
                self._turns.forget()
                self._settle()
        elif state == RUNNING and (running := self.running) is not None:
            running.awaited -= 1
            return not running.awaited
        return False

    def expire(self, now: float) -> list[Ticket]:
        """What is over by `now`, waiting or running: each is to be told so."""
        tickets = [ticket for queue in self.active for ticket in queue if ticket.deadline <= now]
        if self.running is not None:
            tickets += [t for t in self.running.tickets if t.state == RUNNING and t.deadline <= now]
        if any(ticket.tight for ticket in tickets):
            self.margin.missed = True
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

    def cut(self, now: float, depth: int, *, beside: bool = False) -> Batch | None:
        """The next batch, which runs from here on; None if requests were given up first, or are held back.

        Something waits. `depth` is how many requests wait for the device. `beside` another model's run nothing is tried
        or padded but what the event loop can run.
        """
        self.held_until = 0.0
        self._turns.cut(now)
        usual = most = self.policy.max_rows
        if now < self._isolation.until:
            most = self._isolation.rows(usual, now)
        if len(self.active) > 1:
            queue = chosen(self.active, self.policy, now)
            if queue.family is not None and most == usual:
                queues = merged(queue, self.active, self.policy, self._table.way_seconds, now)
                if len(queues) > 1 and not (beside and not self._padded_on_loop(queues, now)):
                    self.dropped = []
                    return self._padded(queues, now)
        else:
            (queue,) = self.active
            if queue.shape.single_seconds >= 2 * LEAST_HOLD_SECONDS and depth == self.depth:
                self.held_until = held_until(queue, self.policy, now)
                if self.held_until:
                    self.dropped = []
                    return None
        queue.shape.review(now)
        preferred, shape = self.policy.preferred, queue.shape
        tickets, self.dropped = taken(
            queue, most, depth, now, preferred, lambda rows: not beside or self.place.on_loop(shape, rows, now)
        )
        if self.dropped:
            if any(ticket.tight for ticket in self.dropped):
                self.margin.missed = True
            for ticket in self.dropped:
                self.withdraw(ticket)
            return None
        return self._started(queue, tickets, now)

    def ended(self, batch: Batch, seconds: float, now: float, own: float | None = None) -> None:
        """The batch ran and took the engine `seconds`.

        `own` is of a run on the event loop: in how many of them this process had a core; None: in all.
        """
        if self.load.running is batch:
            self.load.running = None
        if batch.cost is not None and seconds < batch.cost.mean / 2 and any(ticket.trial for ticket in batch.tickets):
            batch.shape.forget()
        urgent = batch.tickets[0]
        if urgent.tight or self.margin.missed:
            self.margin.told(late=now > urgent.deadline)
        if self.depth and not self.load.shared:
            self._turns.ended(batch.shape, batch.rows, batch.started + seconds)
        self._observed(batch.shape, batch.rows, seconds, now, on_loop=batch.on_loop)
        if batch.on_loop:
            self.place.ran(batch.shape, batch.rows, seconds if own is None else own, now)
        if batch.suspect:
            self._isolation.spent(seconds, now)
            self._isolation.answered([ticket.client for ticket in batch.tickets], now)

    def failed(self, batch: Batch, fault: RuntimeFault, seconds: float, now: float) -> list[Ticket]:
        """The batch failed after `seconds`. Its requests that are to be told the fault; the others wait again."""
        self._over(batch)
        if batch.suspect:
            self._isolation.spent(seconds, now)
        again = parts(batch, fault, self._isolation, seconds, now)
        for part in again:
            self._again(batch, part, suspect=not isinstance(fault, OutOfDeviceMemory))
        self._settle()
        return [] if again else [ticket for ticket in batch.tickets if ticket.state == RUNNING]

    def put_back(self, batch: Batch) -> None:
        """The batch, which nothing is to be held against, has to run again as it is."""
        self._over(batch)
        self._again(batch, [ticket for ticket in batch.tickets if ticket.state == RUNNING], suspect=batch.suspect)
        self._settle()

    @staticmethod
    def _observed(shape: ShapeCosts, rows: int, seconds: float, now: float, *, on_loop: bool) -> None:
        shape.observe(rows, seconds, on_loop=on_loop)
        shape.trial_gap = TRIAL_SECONDS
        shape.trial_at = now + TRIAL_SECONDS

    def _over(self, batch: Batch) -> None:
        if self.load.running is batch:
            self.load.running = None

    def _settle(self) -> None:
        """Tells the margin at once that somebody's deadline came, if nothing waits or runs any more."""
        # Or it would wait for the end of a run of whatever comes next, however much later, and be held against that.
        if self.margin.missed and not self.depth and self.running is None:
            self.margin.told(late=True)

    def _again(self, batch: Batch, tickets: list[Ticket], *, suspect: bool) -> None:
        queue = Queue(batch.shape, together=True, suspect=suspect)
        queue.length = batch.length
        for ticket in tickets:
            ticket.state = WAITING
            ticket.tight = False  # No prediction is to blame for what becomes of it now.
            self.put(ticket, queue, batch.shape.work(queue.rows + ticket.rows))

    def _started(self, queue: Queue, tickets: list[Ticket], now: float) -> Batch:
        batch = Batch(tickets, self.take_out(queue, tickets, now), tickets[0].shape, queue.suspect, now)
        if queue.together:
            batch.length = queue.length
        return batch

    def _padded_on_loop(self, queues: list[Queue], now: float) -> bool:
        return self.place.on_loop(longest(queues).shape, sum(queue.rows for queue in queues), now)

    def _padded(self, queues: list[Queue], now: float) -> Batch:
        """All that waits in `queues`, as one batch of the longest's shape."""
        goal = longest(queues)
        taken_out = [(queue, list(queue)) for queue in queues]
        rows = sum(self.take_out(queue, tickets, now) for queue, tickets in taken_out)
        batch = Batch([ticket for _, tickets in taken_out for ticket in tickets], rows, goal.shape, False, now)
        batch.length = goal.length
        return batch
