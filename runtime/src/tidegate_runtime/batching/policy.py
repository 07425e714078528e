"""Which queue the engine serves next and how many of its requests it takes. Pure: the clock is a parameter.

The engine is never held back: when it is idle, whatever has arrived runs at once; while it runs, requests gather; when
it becomes free, the next batch is cut from what has gathered. So with requests of one shape nothing ever waits for
company, and `max_delay_seconds` has no effect. It matters when shapes differ, for those can't share a batch: the
queue that fills a batch best goes first, and a request that has been passed over for `max_delay_seconds` is next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Bounds of batching. `queue_size` counts waiting requests of all shapes, those in the engine not included."""

    max_rows: int
    max_delay_seconds: float
    queue_size: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One queue: when its oldest request arrived, in the clock's seconds, and the rows of all that wait in it."""

    oldest: float
    rows: int


def next_queue(queues: Sequence[Waiting], policy: BatchPolicy, now: float) -> int:
    """The index of the queue to serve, of at least one.

    The oldest head that has waited `max_delay_seconds` or longer; if none has, the queue with the most rows for one
    batch, the older head first where these are equal. So no shape starves, and under overload heads go oldest first.
    """
    oldest = min(range(len(queues)), key=lambda index: queues[index].oldest)
    if now - queues[oldest].oldest >= policy.max_delay_seconds:
        return oldest
    return max(range(len(queues)), key=lambda index: (min(queues[index].rows, policy.max_rows), -queues[index].oldest))


def cut(rows: Iterable[int], max_rows: int) -> int:
    """How many requests of a queue go into the next batch: as many as fit `max_rows`, in order, at least one.

    `rows` are those of each request in order of arrival. A request is never split and never overtakes its queue.
    """
    taken = total = 0
    for count in rows:
        total += count
        if taken and total > max_rows:
            break
        taken += 1
    return taken
