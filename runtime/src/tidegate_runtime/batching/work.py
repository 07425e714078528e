"""What waiting rows cost in all, in batches of one size. Pure."""

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from tidegate_runtime.batching.durations import Cost


class Work(NamedTuple):
    """What some runs cost together, in seconds.

    `spread` is the sum of their (p99 - mean)²: deviations of independent runs add in quadrature.
    """

    mean: float
    spread: float


def in_batches(
    rows: int,
    most: int,
    best: Callable[[int], int],
    at: Callable[[int], Cost | None],
    overhead: Callable[[int], float],
) -> Work | None:
    """Of `rows` ≥ 1 in batches of `best(most)` rows, or as many as are best for so few; None if nothing is known.

    Of more than one full batch the last is taken to be full, too: by the time it is cut, it will be. `at` says what a
    run of so many rows costs, and `overhead` what it takes beside that.
    """
    size = best(most)
    if rows <= size:
        size = best(rows)
        batches, rest = divmod(rows, size)
    else:
        batches, rest = ceil(rows / size), 0
    full, last = at(size), at(rest or size)
    if full is None or last is None:
        return None
    runs = [(batches, full, overhead(size)), (bool(rest), last, overhead(rest or size))]
    return Work(
        sum(number * (cost.mean + beside) for number, cost, beside in runs),
        sum(number * (cost.p99 - cost.mean) ** 2 for number, cost, _ in runs),
    )
