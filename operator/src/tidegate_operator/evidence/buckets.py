"""The buckets in which both sides count seconds, and what can be read from such counts.

Bounds are geometric, so that each is off by the same share, and a canary that is slower by some per cent is the stable
revision shifted by some buckets. Four buckets are 20 %, the increase that is allowed by default, so that nothing of it
is lost by rounding; one is 4.7 %, of the size of what a p95 of some thousands of requests is uncertain by, and finer
ones would only lengthen every page that is scraped. 0.1 ms is less than any request takes, and 104 s is beyond what
anybody waits for. The runtime states the same list; `tests/contract` holds them to each other.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, zip_longest
from math import ceil, log
from typing import Final

_LEAST_SECONDS: Final = 0.0001
_RATIO: Final = 1.2**0.25

BOUNDS_SECONDS: Final[tuple[float, ...]] = tuple(_LEAST_SECONDS * 1.2 ** (k / 4) for k in range(305))
"""Upper bounds of the buckets, in seconds; one bucket more is above them all."""

_ROUNDING: Final = 1e-9
"""What a number may be off by and still be meant."""


def bound(index: float) -> float:
    """The bound of that index in seconds, beyond the last one and between two, too."""
    return _LEAST_SECONDS * float(1.2 ** (index / 4))


def index_of(seconds: float) -> int:
    """The index of the least bound that is not below `seconds`; that behind the last, if none is."""
    return bisect_left(BOUNDS_SECONDS, seconds * (1 - _ROUNDING))


def steps_of(increase: float) -> int:
    """By how many buckets requests move that take longer by the share `increase`, rounded up."""
    return ceil(log(1 + increase) / log(_RATIO) - _ROUNDING)


def added(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """Both counts together."""
    return tuple(a + b for a, b in zip_longest(one, other, fillvalue=0))


def above(counts: Sequence[int], index: int) -> int:
    """How many took longer than the bound of that index."""
    return sum(counts[index + 1 :])


def p95_seconds(counts: Sequence[int]) -> float | None:
    """The 95th percentile, for people; None without requests.

    Geometric inside a bucket, as the bounds are; of the one above them all its lower end.
    """
    rank = 0.95 * sum(counts)
    if not rank:
        return None
    index, until = next((index, until) for index, until in enumerate(accumulate(counts)) if until >= rank)
    if index >= len(BOUNDS_SECONDS):
        return BOUNDS_SECONDS[-1]
    return bound(index + (rank - until) / counts[index])


def p95_ms(counts: Sequence[int]) -> int | None:
    """The same in whole milliseconds, as the status has it."""
    seconds = p95_seconds(counts)
    return None if seconds is None else round(1000 * seconds)
