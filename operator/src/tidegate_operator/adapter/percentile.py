"""Percentiles of latency from histograms. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Bucket(NamedTuple):
    """Durations in (`lower`, `upper`] seconds; `upper` may be infinite."""

    upper: float
    lower: float


Counts = Mapping[Bucket, int]
"""How many durations fell into each bucket; buckets that hold none may be left out."""


def merge(parts: Iterable[Counts]) -> Counts:
    """The sum of several histograms. Their buckets may differ, as those of two releases of the runtime do."""
    total: Counter[Bucket] = Counter()
    for part in parts:
        total.update(part)
    return total


def percentile(counts: Counts, percent: int) -> float:
    """The duration, in seconds, that `percent` of 100 don't exceed; 0 where there are none.

    Linear inside the bucket, and the lower bound of one without an upper, as PromQL's `histogram_quantile`.
    """
    rank = percent * sum(counts.values()) / 100
    below = 0
    for bucket in sorted(counts):
        count = counts[bucket]
        if count and below + count >= rank:
            if math.isinf(bucket.upper):
                return bucket.lower
            return bucket.lower + (bucket.upper - bucket.lower) * (rank - below) / count
        below += count
    return 0.0
