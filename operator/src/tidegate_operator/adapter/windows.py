"""A pod's recent past, as means of gauges and increases of counters. Pure; time is a parameter."""

from collections import deque
from dataclasses import dataclass

from tidegate_operator.adapter.exposition import Reading
from tidegate_operator.adapter.percentile import Counts

CAPACITY = 64
"""Readings kept at most, twice what the longest window holds at a scrape every other second."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The requests that a pod answered in (`start`, `end`] seconds, between two readings."""

    start: float
    end: float
    answered: Counts


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    reading: Reading


class PodWindow:
    """The readings of one pod over the last `span` seconds."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._readings: deque[_Seen] = deque(maxlen=CAPACITY)
        self._intervals: deque[Interval] = deque(maxlen=CAPACITY)

    def record(self, reading: Reading, now: float) -> None:
        """Add what was read at `now`; a reading no later than the last one is dropped."""
        if self._readings:
            last = self._readings[-1]
            if now <= last.at:
                return
            self._intervals.append(Interval(last.at, now, increase(last.reading.answered, reading.answered)))
        self._readings.append(_Seen(now, reading))
        while self._readings[0].at < now - self._span:
            self._readings.popleft()
        while self._intervals and self._intervals[0].start < now - self._span:
            self._intervals.popleft()

    def mean(self, metric: str, since: float) -> float | None:
        """The mean of a gauge's readings from `since` on; None where there are none."""
        values = [
            seen.reading.gauges[metric] for seen in self._readings if seen.at >= since and metric in seen.reading.gauges
        ]
        return sum(values) / len(values) if values else None

    def intervals(self, since: float) -> list[Interval]:
        """What was answered in the intervals that began at `since` or later, oldest first."""
        return [interval for interval in self._intervals if interval.start >= since]


def increase(before: Counts, after: Counts) -> Counts:
    """What was counted between two readings of the same counters; never negative.

    A counter that fell was reset by a restart, and all of them with it: then everything in `after` is new.
    """
    if any(after.get(bucket, 0) < count for bucket, count in before.items()):
        return dict(after)
    return {bucket: grown for bucket, count in after.items() if (grown := count - before.get(bucket, 0))}
