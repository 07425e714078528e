"""Which waiting tickets go into the next batch: the policy applied to queues and their costs. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tidegate_runtime.batching.costs import ShapeCosts
from tidegate_runtime.batching.policy import (
    LEAST_HOLD_SECONDS,
    MARGIN,
    BatchPolicy,
    Head,
    Seconds,
    filled,
    fit,
    hold,
    in_time,
    next_queue,
)
from tidegate_runtime.batching.tickets import Queue, Ticket

RETRY_HELD: Final = 32
"""How many times its rows have to have run in batches that the table keeps small before a larger one is tried."""


def chosen(queues: Iterable[Queue], policy: BatchPolicy, now: float) -> Queue:
    """The queue to serve next, of at least one; none of them is empty."""
    listed = list(queues)
    return listed[next_queue([foreseen(queue, policy) for queue in listed], policy.max_delay_seconds, now)]


def taken(
    queue: Queue,
    max_rows: int,
    depth: int,
    now: float,
    preferred: Sequence[int] = (),
    may_try: Callable[[int], bool] = lambda _: True,
) -> tuple[list[Ticket], list[Ticket]]:
    """The requests of the next batch of `queue`; or those to give up before it can be said, since they are too late.

    `depth` is how many wait in all queues: what is too late runs all the same where nothing else waits, since an
    estimate may be wrong. Of `preferred` rows the largest that wait are taken, if at least the smallest of them do.
    Other sizes than what was foreseen are tried only if `may_try` says so of them.
    """
    limit = _limit(queue, max_rows, preferred, now, may_try)
    tickets, rows, earliest = queue.first(limit)
    shape = tickets[0].shape
    cost = shape.at(rows)
    if cost is None or now + cost.p99 <= earliest:
        return tickets, []
    least = shape.at(1) or cost
    late = [ticket for ticket in tickets if ticket.deadline < now + least.mean and not ticket.trial]
    if depth == len(late):
        return tickets[:1], []
    return ([], late) if late else _spared(queue, tickets, limit, now)


def held_until(queue: Queue, policy: BatchPolicy, now: float) -> float:
    """Until when the idle engine waits for company for `queue`, in which alone something waits; 0: it doesn't.

    Never beyond the longest delay of the request that has waited longest, nor so long that the most urgent one would be
    late in the larger batch.
    """
    shape, count, rows = queue.shape, len(queue), queue.rows
    each = max(1, round(rows / count))
    if queue.alone or queue.together or rows + each > shape.best(policy.max_rows):
        return 0.0
    queue.rate_until(now)
    own, these, joined = shape.at(each), shape.at(rows), shape.at(rows + each)
    if own is None or these is None or joined is None:
        return 0.0
    seconds = hold(count, queue.rate / each, own.mean, these.mean, joined.mean)
    if not seconds:
        return 0.0
    delayed = min(ticket.arrived for ticket in queue) + policy.max_delay_seconds
    until = min(queue.used + seconds, delayed, queue.head().due - MARGIN * joined.p99)
    return until if until >= now + LEAST_HOLD_SECONDS else 0.0


def foreseen(queue: Queue, policy: BatchPolicy) -> Head:
    """What the queue, which is not empty, would run next."""
    head = queue.head()
    rows = queue.rows
    if queue.alone:
        rows = head.rows
    elif not queue.together:
        rows = max(head.rows, queue.shape.best(min(rows, policy.max_rows)))
    cost = head.shape.at(rows)
    return Head(head.arrived, head.deadline, head.due, head.level, rows, cost.p99 if cost is not None else 0.0)


def larger_due(queue: Queue, best: int, most: int) -> bool:
    """Whether the next batch of `queue` may be larger than the `best`, now that `most` could run."""
    return queue.held + best >= RETRY_HELD * _next_larger(queue, best, most)


def _next_larger(queue: Queue, best: int, most: int) -> int:
    return min(most, 2 * max(best, queue.tried))


def _limit(queue: Queue, max_rows: int, preferred: Sequence[int], now: float, may_try: Callable[[int], bool]) -> int:
    if queue.alone:
        return 1
    if queue.together:
        return queue.rows
    most = min(queue.rows, max_rows, queue.shape.cap)
    if preferred:
        most = max((rows for rows in preferred if rows <= most), default=most)
    best = queue.shape.best(most)
    larger = _tried(queue, best, most, now) if best < most and may_try(_next_larger(queue, best, most)) else best
    return larger if larger > best or preferred else _lesser(queue, best, now, may_try)


def _tried(queue: Queue, best: int, most: int, now: float) -> int:
    """How many rows to run where the table says `best`: more now and then, for the figures against it may be old.

    Twice the best, then four times, … up to `most`, each after `RETRY_HELD` times as many rows, so what they cost is
    a share of the rows, however small the best; but only what makes nobody late, whom they weren't foreseen for.
    """
    due = larger_due(queue, best, most)
    queue.held += best
    if not due:
        return best
    size = _next_larger(queue, best, most)
    queue.held, queue.tried = 0, size if size < most else 0
    tickets, _, _ = queue.first(size)
    requests = [(ticket.rows, ticket.deadline) for ticket in tickets]
    number = fit(requests, size, now, _p99s(queue.shape))
    return sum(rows for rows, _ in requests[:number])


def _lesser(queue: Queue, best: int, now: float, may_try: Callable[[int], bool]) -> int:
    """How many rows to run instead of `best`: fewer, to see what these cost, if that makes nobody late."""
    size = queue.shape.lesser(queue.rows)
    if not size or size >= best or queue.first(size)[1] != size or not may_try(size):
        return best
    waiting = [(ticket.rows, ticket.deadline) for ticket in queue]
    number, usual = filled(waiting, 0, size), filled(waiting, 0, best)
    mean = _means(queue.shape)
    late = in_time(waiting, number, best, now, mean) < in_time(waiting, usual, best, now, mean)
    queue.shape.try_lesser(size, late=late)
    return best if late else size


def _spared(queue: Queue, tickets: list[Ticket], limit: int, now: float) -> tuple[list[Ticket], list[Ticket]]:
    """Which of `tickets`, a full batch that somebody in it is too late for, run next, and which are given up.

    Either fewer, so that nobody is late by company; or a full batch without those it comes too late for, if more of the
    whole queue are answered in time that way than if full batches follow the smaller one, or others as small: what was
    let in while smaller batches were best mostly has no time for larger ones. Under overload of a model that gains by
    company it is the latter: small batches for the sake of the most urgent would cost so much throughput that soon all
    are late (Nexus, SOSP'19, drops early for that reason).
    """
    mean = _means(tickets[0].shape)
    waiting = [(ticket.rows, ticket.deadline) for ticket in queue]
    fewer = fit(waiting[: len(tickets)], limit, now, _p99s(tickets[0].shape))
    end = now + mean(sum(ticket.rows for ticket in tickets))
    late = [ticket for ticket in tickets if ticket.deadline < end and not ticket.trial]
    gone = set(late)
    others = [(ticket.rows, ticket.deadline) for ticket in queue if ticket not in gone]
    small = sum(rows for rows, _ in waiting[:fewer])
    kept = max(in_time(waiting, fewer, size, now, mean) for size in {limit, small})
    if in_time(others, filled(others, 0, limit), limit, now, mean) > kept:
        return tickets, late
    return tickets[:fewer], []


def _means(shape: ShapeCosts) -> Seconds:
    return lambda rows: cost.mean if (cost := shape.at(rows)) is not None else 0.0


def _p99s(shape: ShapeCosts) -> Seconds:
    return lambda rows: cost.p99 if (cost := shape.at(rows)) is not None else 0.0
