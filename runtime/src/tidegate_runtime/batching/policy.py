"""Which queue the engine serves next, how many of its requests it takes, and what it takes on at all. Pure.

While the engine runs, requests gather; when it becomes free, the next batch is cut from what has gathered. An idle
engine runs at once what has arrived, unless to hold it back for one more request is computed to pay off (`hold`).

    slack(queue) = due(head) - now - p99(the batch it would run)
    due          = arrival + (deadline - arrival) · min(priority, 4) / 4,   the deadline itself by default

The queue with the least slack goes first: earliest deadline first, less the time the work takes (Liu and Layland, 1973;
Clockwork, OSDI'20, serves by the latest moment to begin). Priority 1, 2 or 3 moves a virtual deadline forward, by at
most three quarters of the request's own time, and never another's back: whatever comes after a request's deadline goes
behind it, so nothing starves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final, NamedTuple

from tidegate_runtime.batching.work import Work

Seconds = Callable[[int], float]
"""Rows → seconds of a run."""

DEFAULT_LEVEL: Final = 4

MARGIN: Final = 1.03
"""On predictions, where nothing has told that more is wanted (`margin`)."""

LEAST_HOLD_SECONDS: Final = 0.001
"""The resolution of the event loop's timers: a shorter wait would last so long."""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Bounds of batching. `queue_size` and `queue_bytes` bound what waits in all queues, the engine not included.

    `max_delay_seconds` is how long a request may be passed over for fuller batches of other shapes, or held back for
    company. `run_seconds` is the longest run; one that takes longer is ended.
    """

    max_rows: int
    max_delay_seconds: float
    queue_size: int
    queue_bytes: int = 512 * 1024 * 1024
    run_seconds: float = 60.0
    preferred: tuple[int, ...] = ()
    """Rows of batches that a model's configuration prefers."""


class Head(NamedTuple):
    """What a queue would run next: its head's times and level, the rows of the batch and their p99 in seconds."""

    arrived: float
    deadline: float
    due: float
    level: int
    rows: int
    seconds: float


def level(priority: int) -> int:
    """1, the highest, to 4, the default, which 0 and all that is larger count as."""
    return priority if 0 < priority < DEFAULT_LEVEL else DEFAULT_LEVEL


def due(arrived: float, deadline: float, level: int) -> float:
    """The virtual deadline."""
    return deadline if level == DEFAULT_LEVEL else arrived + (deadline - arrived) * level / DEFAULT_LEVEL


def next_queue(heads: Sequence[Head], max_delay_seconds: float, now: float) -> int:
    """The index of the queue to serve, of at least one: the one with the least slack, the first of equals.

    A fuller batch may go before it as long as it has waited less than `max_delay_seconds`, is in time all the same, and
    is not of a higher priority. For shapes can't share a batch, and with equal deadlines their order is by chance.
    """
    urgent = min(range(len(heads)), key=lambda index: heads[index].due - heads[index].seconds)
    first = heads[urgent]
    if now - first.arrived >= max_delay_seconds:
        return urgent
    spare = first.deadline - now - first.seconds
    fuller = [
        index
        for index, head in enumerate(heads)
        if head.rows > first.rows and head.seconds <= spare and head.level <= first.level
    ]
    return max(fuller, key=lambda index: heads[index].rows, default=urgent)


def hold(count: int, rate: float, own: float, these: float, joined: float) -> float:
    """For how many seconds at most an idle engine waits for one more request beside `count`; 0: not at all.

    `rate` is how many come a second; `own`, `these` and `joined` are the seconds that a run takes of the next request
    alone, of those there are, and of all of them. If the next one comes after w, the times to the answers add up to

        (count + 1) · these + own - w      if the batch is cut at once, and the newcomer waits for its end,
        (count + 1) · joined + count · w   if the batch waits for it.

    So waiting pays off while w < own / (count + 1) - (joined - these), the break-even. Of arrivals that know nothing of
    each other the next is expected after 1 / rate, however long ago the last one was; if that is within the break-even,
    the engine waits, and gives up there: then it has lost as much as it could have won, which is the least that can
    be promised without knowing what comes (ski rental; Karlin et al., Algorithmica 1988).

    Below `LEAST_HOLD_SECONDS` nothing is waited for, so models of less than twice that never wait.
    """
    pays = own / (count + 1) - (joined - these)
    return pays if pays >= LEAST_HOLD_SECONDS and rate * pays > 1 else 0.0


def fit(requests: Sequence[tuple[int, float]], max_rows: int, now: float, p99: Seconds) -> int:
    """How many of a queue's requests, `(rows, deadline)` in order, go into the next batch: at least one.

    As many as fit `max_rows` without making anyone late: a request is let in only if every member that was in time
    when it joined still is, by the p99 of the larger batch. A request is never split and never overtakes its queue.
    """
    taken = total = 0
    bound = float("inf")
    for rows, deadline in requests:
        end = now + p99(total + rows)
        if taken and (total + rows > max_rows or end > bound):
            break
        taken += 1
        total += rows
        if end <= deadline:
            bound = min(bound, deadline)
    return taken


def in_time(requests: Sequence[tuple[int, float]], first: int, max_rows: int, now: float, mean: Seconds) -> int:
    """How many of a queue's requests are in time if the next batch is the first `first`, and full ones follow."""
    end, count, position = now, 0, 0
    taken = first
    while position < len(requests):
        batch = requests[position : position + taken]
        end += mean(sum(rows for rows, _ in batch))
        count += sum(deadline >= end for _, deadline in batch)
        position += taken
        taken = filled(requests, position, max_rows)
    return count


def filled(requests: Sequence[tuple[int, float]], start: int, max_rows: int) -> int:
    """How many requests from `start` on fit `max_rows`, in order, at least one."""
    total = 0
    for index in range(start, len(requests)):
        total += requests[index][0]
        if total > max_rows:
            return max(1, index - start)
    return max(1, len(requests) - start)


def completion(works: Sequence[Work]) -> float:
    """Seconds until the last of `works` is done, as predicted: (Σ mean + √(Σ (p99 - mean)²)) · MARGIN.

    `works` are what is left of the run in progress, what waits, and the request's own batch. With nothing ahead this
    is the p99 of its own batch. Clockwork (OSDI'20) admits by such sums; with means alone every second request that is
    let in at the limit would be late, with p99s alone many would be refused that are nearly always in time.
    """
    return MARGIN * (sum(work.mean for work in works) + sqrt(max(0.0, sum(work.spread for work in works))))


def retry_after(seconds: float) -> int:
    """`Retry-After` for a predicted time: whole seconds, at least one, at most an hour."""
    return min(3600, max(1, ceil(seconds)))
