"""Mean, p90 and p99 of recent durations, and figures made monotone and interpolated. Pure; `costs` has equations."""

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, inf
from typing import Final, NamedTuple

WINDOW: Final = 128
WEIGHT: Final = 1 / 16
CLIP: Final = 2.0
SETTLED: Final = 8
"""Runs from which on an outlier is told from a cost."""

ENOUGH: Final = 100
"""Runs from which on one in a hundred can be told."""

STALE_RUNS: Final = 256
"""Runs of other counts after which a count's figures are old."""

SURELY: Final = 0.05
"""By how much more a row has to cost than in the next smaller count to be suspect: less is noise."""

EXCESS_P99: Final = 5.84
"""Of a normal deviation, its 99 % quantile over the mean of its positive part: 2.33 / 0.399."""

SORTED_EVERY: Final = 16
NOTABLE: Final = 0.002
"""What counts as a change. It has to be little: a backlog of a hundred runs adds up a hundred errors."""


class Cost(NamedTuple):
    """Seconds of one run; `p99` ≥ `mean`."""

    mean: float
    p99: float


Figures = tuple[int, float, float]
"""A row count, and the mean and p99 of its runs in seconds."""


class Durations:
    """The recent durations of one row count."""

    __slots__ = ("_recent", "_told", "mean", "number", "p90", "p99", "touched")

    def __init__(self) -> None:
        self.number = 0
        self.mean = 0.0
        self.p90 = 0.0
        self.p99 = 0.0
        self.touched = 0
        self._recent = array("d")
        self._told = Cost(0.0, 0.0)

    @property
    def least(self) -> float:
        """The shortest of at least one recent run."""
        return min(self._recent)

    def moved(self) -> bool:
        """Whether the figures have changed by more than `NOTABLE` since this last said so, or their weight has."""
        mean, p99 = self._told
        if self.number > WINDOW and abs(self.mean - mean) <= NOTABLE * mean and abs(self.p99 - p99) <= NOTABLE * p99:
            return False
        self._told = Cost(self.mean, self.p99)
        return True

    def add(self, seconds: float) -> None:
        """Takes a run into account."""
        limit = CLIP * self.p99 if self.number >= SETTLED else inf
        position = self.number % WINDOW
        self.number += 1
        self.mean += max(1 / self.number, WEIGHT) * (min(seconds, limit) - self.mean)
        if position < len(self._recent):
            self._recent[position] = seconds
        else:
            self._recent.append(seconds)
        kept = len(self._recent)
        if kept < ENOUGH:
            self.p99 = max(self.p99, seconds)
        elif kept < WINDOW or self.number % SORTED_EVERY == 0:
            ordered = sorted(self._recent)
            self.p90, self.p99 = ordered[ceil(0.9 * kept) - 1], ordered[ceil(0.99 * kept) - 1]


def suspects(runs: Mapping[int, Durations], old: int) -> list[int]:
    """The counts not run since `old`, by `touched`, a row of which seems to cost clearly more than in the next smaller.

    They may have been measured in a stall of the host, and what is predicted to be late isn't run, so it would never be
    measured again. Without them a large batch is taken to cost in proportion to the smaller one; where it really costs
    more, to try it once in a while is cheap.
    """
    found = []
    below = 0
    for rows in sorted(runs):
        if below and runs[rows].touched <= old and runs[rows].mean * below > (1 + SURELY) * runs[below].mean * rows:
            found.append(rows)
        else:
            below = rows
    return found


def monotone(runs: Mapping[int, Durations], excess: float) -> list[Figures]:
    """The figures of all counts, smallest first, made monotone in rows, each weighted by its runs.

    `excess` is by what share runs of any count exceed their predictions: it stands for the p99 of a count with too few.
    """
    counts = sorted(runs)
    each = [runs[count] for count in counts]
    weights = [min(one.number, WINDOW) for one in each]
    means = isotonic([one.mean for one in each], weights)
    p99s = isotonic(
        [one.p99 if one.number >= ENOUGH else one.mean * (1 + EXCESS_P99 * excess) for one in each], weights
    )
    return [(count, mean, max(mean, p99)) for count, mean, p99 in zip(counts, means, p99s, strict=True)]


def interpolated(counts: Sequence[Figures], rows: int) -> Cost:
    """What a run of `rows` costs, by at least one measured count, smallest first.

    Between two the mean is interpolated, since latency is about affine in rows (Clipper, NSDI'17; Nexus, SOSP'19), and
    the p99 is that of twice the rows, but the upper neighbour's at most, since kernels step up where tiles fill. The
    upper neighbour's alone would price two rows like 32 in a shape that has run 1 and 32; where that is too much for a
    deadline, only ever one would run. Below the smallest count its figures hold; above the largest they grow in
    proportion, which for an affine cost is too much rather than too little.
    """
    index = bisect_left(counts, (rows, -inf, -inf))
    if index == len(counts):
        largest, mean, p99 = counts[-1]
        return Cost(mean * rows / largest, p99 * rows / largest)
    above, mean, p99 = counts[index]
    if index > 0:
        below, low, low_p99 = counts[index - 1]
        mean = low + (mean - low) * (rows - below) / (above - below)
        p99 = low_p99 + (p99 - low_p99) * (min(above, 2 * rows) - below) / (above - below)
    return Cost(mean, p99)


def isotonic(values: list[float], weights: list[int]) -> list[float]:
    """The non-decreasing sequence nearest to `values` by weighted least squares: pool adjacent violators.

    >>> isotonic([1.0, 4.0, 2.0, 5.0], [1, 1, 3, 1])
    [1.0, 2.5, 2.5, 5.0]
    """
    if all(low <= high for low, high in pairwise(values)):
        return values
    blocks: list[tuple[float, int, int]] = []
    for value, weight in zip(values, weights, strict=True):
        block = (value, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, mass, size = blocks.pop()
            total = mass + block[1]
            block = ((mean * mass + block[0] * block[1]) / total, total, size + block[2])
        blocks.append(block)
    return [mean for mean, _, size in blocks for _ in range(size)]
