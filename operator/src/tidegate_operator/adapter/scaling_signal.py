"""What autoscalers are told, from the windows of pods. Pure; time is a parameter, in seconds since the epoch.

The rules follow from how the HPA controller works (kubernetes, pkg/controller/podautoscaler): replicas are the ready
pods times value / target, the largest answer of all metrics wins, and one metric without a value blocks scaling down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate_operator.adapter.percentile import Counts, merge, percentile
from tidegate_operator.adapter.windows import Interval, PodWindow

LOAD_SECONDS = 15.0
"""The window of queue depth and in-flight requests."""
LATENCY_SECONDS = 30.0
"""The window of the 95th percentile."""
STARTING_SECONDS = 300.0
"""How long a replica that isn't ready counts as one that soon will be."""
SETTLING_SECONDS = 10.0
"""How long a replica that became ready is given to take its share: until routers send to it and the backlog is gone."""
MOST_OVER_TARGET = 2.0
"""The largest p95 told to an autoscaler, in targets: one decision at most doubles the ready replicas."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One pod of a revision: its window, and since when it has been ready, or not ready yet; None if it isn't."""

    window: PodWindow
    ready_since: float | None
    unready_since: float | None


def load(window: PodWindow, metric: str, now: float) -> float | None:
    """The mean of a pod's gauge over the last 15 s; None where the pod wasn't reachable."""
    return window.mean(metric, now - LOAD_SECONDS)


def p95(replicas: Sequence[Replica], target: float | None, now: float) -> float | None:
    """The p95 of requests in seconds, over the pods together, as an autoscaler may use it; None: none was reachable.

    Without requests it is 0. With a `target`, a rise is told once: a percentile lags by its window, and each sync
    before it falls would multiply the replicas again. So above the target only requests count that began after the
    newest replica had become ready and settled, none do while one is starting, and no value is above twice the target.
    Until the window holds nothing older, the p95 of all requests keeps it from falling below the target early.
    """
    recent = [interval for replica in replicas for interval in replica.window.intervals(now - LATENCY_SECONDS)]
    if not recent:
        return None
    overall = percentile(merge(interval.answered for interval in recent), 95)
    if target is None:
        return overall
    held = min(overall, target)
    if any(_starting(replica, now) for replica in replicas):
        return held
    newest = max((replica.ready_since for replica in replicas if replica.ready_since is not None), default=-math.inf)
    settled = newest + SETTLING_SECONDS
    measured = percentile(merge(_begun_after(settled, interval) for interval in recent), 95)
    told = min(measured, MOST_OVER_TARGET * target)
    return max(told, held) if now < settled + LATENCY_SECONDS else told


def _starting(replica: Replica, now: float) -> bool:
    return replica.unready_since is not None and now < replica.unready_since + STARTING_SECONDS


def _begun_after(moment: float, interval: Interval) -> Counts:
    """Those of an interval's requests that surely began after `moment`: answered later than that by their duration."""
    return {
        bucket: count
        for bucket, count in interval.answered.items()
        # The last bucket has no upper bound to go by.
        if interval.start - (bucket.lower if math.isinf(bucket.upper) else bucket.upper) >= moment
    }
