"""Who is let in to wait for a model: what has room, and what will be answered in time, as predicted. Pure."""

from collections.abc import Hashable
from math import sqrt
from typing import Final, NamedTuple

from tidegate_runtime.batching.admission import after, crowds, full, joined, left, too_late
from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.costs import ShapeCosts
from tidegate_runtime.batching.isolation import Isolation
from tidegate_runtime.batching.margin import TIGHT, Margin
from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.batching.place import Place
from tidegate_runtime.batching.policy import DEFAULT_LEVEL, BatchPolicy, completion, due, level
from tidegate_runtime.batching.rows import size_in_bytes
from tidegate_runtime.batching.shapes import Shapes, elements
from tidegate_runtime.batching.tickets import NOTHING, Batch, Deliver, Queue, Ticket
from tidegate_runtime.batching.waiting import Waiting
from tidegate_runtime.batching.work import Work
from tidegate_runtime.errors import DeadlineExceeded, Overloaded
from tidegate_runtime.tensors import Feeds

MAX_TRIAL_SECONDS: Final = 64.0


class Prediction(NamedTuple):
    """When requests that come now will be answered.

    Attributes:
        seconds: until then.
        idle: whether nothing is before them on the device.
        crowds: whether they would make others late that are before them, and so wait for the batch after those.
    """

    seconds: float
    idle: bool
    crowds: bool


class Entrance(Waiting):
    """The way into the queues of one model. All times are in the clock's seconds, and `now` never goes back."""

    def __init__(
        self, policy: BatchPolicy, table: CostTable, place: Place | None = None, padding: Padding | None = None
    ) -> None:
        super().__init__()
        self.offered_seconds = 0.0
        """Engine seconds of all requests that came, refused ones included."""
        self.policy = policy
        self.place = place if place is not None else Place()
        self._table = table
        self._isolation = Isolation()
        self.margin = Margin()
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
            raise _over()
        if key is None:
            key = self._key(feeds)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._shapes.opened(key, feeds, rows)
        shape = queue.shape
        if queue.alone:
            shape = self._table.stranger(elements(feeds, rows))
        elif now < self._isolation.until and self._isolation.runs_alone(client, now):
            queue = self._shapes.alone
        self._note(queue, shape, rows, now)
        size = size_in_bytes(feeds)
        if self.depth >= self.policy.queue_size:
            raise self._full(now)
        if self.bytes + size > self.policy.queue_bytes and self.depth:
            limit = self.policy.queue_bytes
            raise self._refused("QueueBytes", f"the requests that wait hold {self.bytes} of {limit} bytes", now)
        work = shape.work(rows if queue.alone else queue.rows + rows)
        trial, seconds = (False, 0.0) if work is None else self._check(shape, queue, rows, work, now, deadline)
        rank = level(priority) if priority else DEFAULT_LEVEL
        shifted = due(now, deadline, rank) if priority else deadline
        ticket = Ticket(feeds, rows, size, now, deadline, shifted, rank, deliver, client, queue, shape)
        ticket.trial = trial
        ticket.tight = seconds >= TIGHT * (deadline - now)
        self.put(ticket, queue, work)
        return ticket

    def admit_all(self, alike: Alike, rows: int, size: int, now: float, priority: int) -> list[Ticket] | None:
        """Tickets that wait, for requests of `rows` and `size` bytes each.

        What `admit` would do with one after the other, where it takes all of them: the last one's answer is the last.
        Where only some might be refused, or one is to be kept apart, it is None, and nothing has changed.

        Raises `DeadlineExceeded` or `Overloaded` where that is the answer to each of them.
        """
        _, count, earliest, latest, _ = alike
        queue = self._queue_of(alike)
        if queue is None or (now < self._isolation.until and self._isolation.anyone_apart(now)):
            return None
        total, policy, shape = count * rows, self.policy, queue.shape
        if now >= earliest:
            if now >= latest:
                raise _over()
            return None
        if self.depth >= policy.queue_size:
            self._note(queue, shape, total, now)
            raise self._full(now)
        if self.depth + count > policy.queue_size or self.bytes + count * size > policy.queue_bytes:
            return None
        work = shape.work(queue.rows + total)
        tight = False
        if work is not None:
            predicted = self._predicted(shape, queue, total, work, now)
            if predicted.crowds or now + predicted.seconds > earliest:
                refusal = self._hopeless(shape, queue, rows, now, earliest, latest)
                if refusal is None:
                    return None
                self._note(queue, shape, total, now)
                raise refusal
            tight = not predicted.idle and predicted.seconds >= TIGHT * (earliest - now)
        self._note(queue, shape, total, now)
        tickets = _tickets(alike, rows, size, now, priority, queue, tight=tight)
        self.put_all(tickets, queue, total, count * size, work)
        return tickets

    def _queue_of(self, alike: Alike) -> Queue | None:
        # Where each runs alone, costs go by its whole shape, which isn't that of all below each other.
        feeds = alike.feeds if alike.number == 1 or self.policy.max_rows > 1 else alike.asked()[0][0]
        return self._queues.get(self._key(feeds))

    def _note(self, queue: Queue, shape: ShapeCosts, rows: int, now: float) -> None:
        """Counts what came, whether it is let in or not."""
        self.offered_seconds += rows * shape.row_seconds
        queue.came += rows
        queue.used = now

    def _hopeless(
        self, shape: ShapeCosts, queue: Queue, rows: int, now: float, earliest: float, latest: float
    ) -> Overloaded | None:
        """The refusal of each of some requests: of the one that has until `latest`, were it alone; None if not of each.

        To refuse one changes nothing for the next. Unless it is let in as a trial, for which it has to have less time
        than it takes by itself; `earliest` is who has least.
        """
        work = shape.work(queue.rows + rows)
        if work is None:
            return None
        trial = now >= shape.trial_at and now + completion([shape.work(rows) or work]) > earliest
        seconds, idle, _ = self._predicted(shape, queue, rows, work, now)
        if trial or idle or now + seconds <= latest:
            return None
        return too_late(seconds, latest - now)

    def _check(
        self, shape: ShapeCosts, queue: Queue, rows: int, work: Work, now: float, deadline: float
    ) -> tuple[bool, float]:
        """Refuses what can't be answered in time.

        Whether it is let in only to bring old figures up to date, and when it is answered, in seconds; 0: nothing is
        before it.
        """
        seconds, idle, _ = self._predicted(shape, queue, rows, work, now)
        if now + seconds <= deadline:
            return False, 0.0 if idle else seconds
        alone = shape.work(rows) or work
        if idle and (now + alone.mean <= deadline or not shape.measured):
            return False, 0.0  # An idle engine loses nothing by trying what will probably be in time.
        if now + completion([alone]) > deadline and now >= shape.trial_at:
            shape.trial_at = now + shape.trial_gap
            shape.trial_gap = min(2 * shape.trial_gap, MAX_TRIAL_SECONDS)
            return True, 0.0
        raise too_late(seconds, deadline - now)

    def _predicted(self, shape: ShapeCosts, queue: Queue, rows: int, work: Work, now: float) -> Prediction:
        """For `rows` that come to `queue` now; all that the queue then has takes `work`."""
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
            rest = left(running, now)
            own = shape.work(joined(queue, rows, rest.mean, self.policy.max_rows)) or work
            mean += rest.mean
            spread += rest.spread
        margin = self.margin.value
        seconds = margin * (mean + own.mean + sqrt(max(0.0, spread + own.spread)))
        # Mostly all that waits has time enough for that, and there is no more to look at.
        most, crowded = self.policy.max_rows, False
        if queue.rows and now + seconds > queue.head().deadline:
            crowded = crowds(queue, rows, rest, work, most, now, margin)
            if crowded:
                own = after(queue, rows, rest.mean, most) or own
                seconds = margin * (mean + own.mean + sqrt(max(0.0, spread + own.spread)))
        mean += own.mean
        idle = running is None and not self.depth and (not load.shared or mean <= work.mean)
        return Prediction(seconds, idle, crowded)

    def _passes(self, shape: ShapeCosts, queue: Queue, rows: int, now: float) -> bool:
        """Whether the request's batch is one for the event loop."""
        rows = rows if queue.alone else min(queue.rows + rows, self.policy.max_rows)
        return self.place.on_loop(shape, rows, now)

    def _full(self, now: float) -> Overloaded:
        return self._refused("QueueFull", f"{self.policy.queue_size} requests are waiting, the limit", now)

    def _refused(self, refusal: str, what: str, now: float) -> Overloaded:
        load = self.load
        rest = left(load.running, now)
        return full(refusal, what, [rest, Work(load.mean, max(0.0, load.spread))])


def _over() -> DeadlineExceeded:
    return DeadlineExceeded("the request's time was over before it could be queued")


def _tickets(
    alike: Alike, rows: int, size: int, now: float, priority: int, queue: Queue, *, tight: bool
) -> list[Ticket]:
    """Of requests that come together, `rows` and `size` bytes each."""
    rank = level(priority) if priority else DEFAULT_LEVEL
    shape = queue.shape
    tickets = [
        Ticket(
            feeds,
            rows,
            size,
            now,
            deadline,
            due(now, deadline, rank) if priority else deadline,
            rank,
            deliver,
            client,
            queue,
            shape,
        )
        for feeds, deadline, deliver, client in alike.asked()
    ]
    if tight:
        for ticket in tickets:
            ticket.tight = True
    return tickets
