"""When a request would be answered, as predicted on its arrival. Pure."""

from math import sqrt

from tidegate_runtime.batching.policy import completion, retry_after
from tidegate_runtime.batching.tickets import NOTHING, Batch, Queue, Ticket
from tidegate_runtime.batching.work import Work
from tidegate_runtime.errors import DeadlineExceeded, Overloaded


def left(running: Batch | None, now: float) -> Work:
    """What is left of the run in progress: up to its mean, then up to its p99, then nothing is known."""
    if running is None or running.cost is None:
        return NOTHING
    cost = running.cost
    end = running.started + running.shape.overhead(running.rows)
    if now < end + cost.mean:
        return Work(end + cost.mean - now, (cost.p99 - cost.mean) ** 2)
    return Work(max(0.0, end + cost.p99 - now), 0.0)


def joined(queue: Queue, rows: int, seconds: float, max_rows: int) -> int:
    """The rows of the queue, `rows` more added, when the run in progress ends in `seconds`, up to one full batch.

    The first of them would else be let in at the cost of a small batch, and be late in the large one it becomes.
    """
    if queue.alone:
        return rows
    own = queue.rows + rows
    return max(own, min(queue.shape.best(max_rows), own + int(queue.rate * seconds)))


def crowds(queue: Queue, rows: int, rest: Work, work: Work, max_rows: int, now: float, margin: float) -> bool:
    """Whether `rows` more in the batch that gathers in `queue` would make the most urgent one in it late.

    `rest` is left of the run in progress, `work` is that batch with them.
    """
    if queue.alone or queue.rows + rows > queue.shape.best(max_rows):
        return False  # They share no batch; or it is full without them, and was let in as such.
    head = queue.head()
    end = now + margin * (rest.mean + work.mean + sqrt(rest.spread + work.spread))
    return end > head.deadline and not head.trial


def after(queue: Queue, rows: int, seconds: float, max_rows: int) -> Work | None:
    """The cost of what waits in `queue` as one batch, and of the next one, as large as it will be by then.

    The run in progress ends in `seconds`. None if nothing is known.
    """
    shape = queue.shape
    before = shape.work(queue.rows)
    if before is None:
        return None
    grown = rows + int(queue.rate * (seconds + before.mean))
    own = shape.work(max(rows, min(shape.best(max_rows), grown)))
    return own and Work(before.mean + own.mean, before.spread + own.spread)


def too_late(seconds: float, remaining: float) -> Overloaded:
    """The refusal of a request whose answer is predicted in `seconds`, with `remaining` left."""
    return Overloaded(
        f"the answer would take about {seconds:.3g} s, {remaining:.3g} s are left; try again later",
        "Deadline",
        retry_after(seconds),
    )


def late(ticket: Ticket) -> DeadlineExceeded:
    """What a request is told whose time is over."""
    return DeadlineExceeded(f"no answer within {ticket.deadline - ticket.arrived:.3g} s; the request was dropped")


def full(refusal: str, what: str, works: list[Work]) -> Overloaded:
    """The refusal of a request that a bound leaves no place for; `works` are what is before it."""
    after = retry_after(completion(works))
    return Overloaded(f"{what}; try again after {after} s", refusal, after)
