"""What waits for one model, and what that weighs on its device. Pure."""

from tidegate_runtime.batching.load import Load
from tidegate_runtime.batching.tickets import NOTHING, RUNNING, Queue, Ticket
from tidegate_runtime.batching.work import Work


class Waiting:
    """The queues in which something waits, and their sums; those of seconds are in the `load` shared with others."""

    def __init__(self) -> None:
        self.depth = 0
        self.bytes = 0
        self.active: dict[Queue, None] = {}
        """The queues in which something waits."""
        self.load = Load()
        """What the model's device has taken on, the work that waits here included."""

    def take_to(self, load: Load) -> None:
        """Waits for another device from here on. Not while a run of it is in progress."""
        self._weigh(-1)
        self.load = load
        self._weigh(1)

    def _weigh(self, sign: int) -> None:
        for queue in self.active:
            self.load.mean += sign * queue.work.mean
            self.load.spread += sign * queue.work.spread

    def put(self, ticket: Ticket, queue: Queue, work: Work | None) -> None:
        """Has the ticket wait in `queue`, whose rows cost `work`; where requests run alone, the ticket's own."""
        ticket.queue = queue
        queue.add(ticket)
        if work is not None and queue.alone:
            work = Work(queue.work.mean + work.mean, queue.work.spread + work.spread)
        self._came(queue, 1, ticket.size, work)

    def put_all(self, tickets: list[Ticket], queue: Queue, rows: int, size: int, work: Work | None) -> None:
        """Has tickets of `rows` and `size` in all wait in `queue`, where they don't run alone; it costs `work` then."""
        queue.extend(tickets, rows)
        self._came(queue, len(tickets), size, work)

    def _came(self, queue: Queue, count: int, size: int, work: Work | None) -> None:
        self.active[queue] = None
        self.depth += count
        self.bytes += size
        if work is not None:
            mean, spread = queue.work
            load = self.load
            load.mean += work.mean - mean
            load.spread += work.spread - spread
            queue.work = work

    def remove(self, queue: Queue, count: int, rows: int, size: int) -> None:
        """Notes that `count` tickets of `rows` and `size` in all, whose states say so already, wait no more."""
        queue.left(count, rows)
        self.depth -= count
        self.bytes -= size
        if not queue:
            del self.active[queue]
            self._account(queue, NOTHING)
            if not self.active and not self.load.shared:
                self.load.mean = self.load.spread = 0.0
        elif queue.alone:
            # Of several shapes, so about: what leaves had its share of the rows.
            share = queue.rows / (queue.rows + rows)
            self._account(queue, Work(queue.work.mean * share, queue.work.spread * share))
        else:
            self._account(queue, queue.shape.work(queue.rows))

    def _account(self, queue: Queue, work: Work | None) -> None:
        if work is None:
            work = NOTHING
        load = self.load
        load.mean += work.mean - queue.work.mean
        load.spread += work.spread - queue.work.spread
        queue.work = work

    def own(self) -> tuple[float, float]:
        """Mean and spread of what waits here, without other models'."""
        works = [queue.work for queue in self.active]
        return sum(work.mean for work in works), sum(work.spread for work in works)

    def take_out(self, queue: Queue, tickets: list[Ticket], now: float) -> int:
        """Takes the tickets out of their queue, to run; how many rows they have."""
        rows = size = 0
        for ticket in tickets:
            ticket.state = RUNNING
            rows += ticket.rows
            size += ticket.size
        self.remove(queue, len(tickets), rows, size)
        queue.rate_until(now)
        return rows
