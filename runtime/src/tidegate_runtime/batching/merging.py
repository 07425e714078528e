"""Which queues run together as one padded batch: only where the cost table says that it is cheaper. Pure."""

from collections.abc import Iterable

from tidegate_runtime.batching.durations import Cost
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.tickets import Queue


def merged(queue: Queue, active: Iterable[Queue], policy: BatchPolicy, way_seconds: float, now: float) -> list[Queue]:
    """`queue`, and those that run with it, padded to the longest of them, all that waits in each.

    One joins if the longest's run of all rows takes less than the two runs without it, by the means of shapes that were
    measured, if the rows fit one batch, and if the p99 of the larger batch makes nobody late. The one that saves most
    joins first.
    """
    together = [queue]
    others = [other for other in active if other is not queue and _alike(queue, other)]
    while others:
        saved, best = max(
            ((_saved(together, other, policy, way_seconds, now), other) for other in others),
            key=lambda pair: pair[0],
        )
        if saved <= 0:
            break
        together.append(best)
        others.remove(best)
    return together


def longest(queues: list[Queue]) -> Queue:
    """The one whose length all others are padded to."""
    return max(queues, key=lambda queue: queue.length)


def _alike(queue: Queue, other: Queue) -> bool:
    return queue.family is not None and queue.family == other.family and not (queue.together or other.together)


def _saved(together: list[Queue], other: Queue, policy: BatchPolicy, way_seconds: float, now: float) -> float:
    """Seconds that one run instead of two saves; 0 if it may not be."""
    shape = longest([*together, other]).shape
    rows = sum(queue.rows for queue in together)
    if rows + other.rows > shape.best(policy.max_rows):
        return 0.0
    without, alone = _measured(longest(together), rows), _measured(other, other.rows)
    joined = shape.at(rows + other.rows) if shape.measured else None
    if without is None or alone is None or joined is None:
        return 0.0
    if any(ticket.due < now + joined.p99 for queue in (*together, other) for ticket in queue):
        return 0.0
    return without.mean + alone.mean + way_seconds - joined.mean


def _measured(queue: Queue, rows: int) -> Cost | None:
    return queue.shape.at(rows) if queue.shape.measured else None
