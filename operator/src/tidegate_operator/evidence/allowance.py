"""What the canary is allowed, from what stable's callers saw and from the spec's own limits. Pure.

Stable's requests of the step count up to and including the window that is judged. The canary's have no say in them, so
for a bet on the canary's they are given, and what comes over both in a window is allowed to both: where stable itself
was worse in it than before, beyond chance, the window alone says what stable is like now.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

from tidegate_operator.api.analysis_status import Sample
from tidegate_operator.api.rollout_spec import AnalysisSpec
from tidegate_operator.api.schema import seconds, share
from tidegate_operator.evidence.betting import upper_bound
from tidegate_operator.evidence.buckets import above, added, bound, index_of, steps_of
from tidegate_operator.evidence.tally import Window

SLOW_SHARE: Final = 0.05
"""The share of requests that are slower than a p95."""

UNKNOWN_ERROR_SHARE: Final = 0.05
"""The share of requests that a canary may fail if neither stable's requests nor the spec say how many are usual."""

LEAST_COMPARED: Final = 100
"""Requests of stable's, of fewer of which the bound is above `UNKNOWN_ERROR_SHARE` though none of them failed."""

LEAST_TIMED: Final = 20
"""Requests of which the slowest is the slowest twentieth: of fewer there is no p95."""

_DRIFT: Final = 3.0
"""Standard deviations by which stable was worse than before: by chance in 1 of 700 windows."""


@dataclass(frozen=True)
class Allowance:
    """The share of the canary's requests that may be bad, and where it comes from."""

    share: float
    compared: bool
    """Whether stable said so; else it is a limit of its own."""
    bad: int = 0
    of: int = 0
    """Stable's requests that say so."""


@dataclass(frozen=True)
class SlowAllowance(Allowance):
    """Of slow requests, which are those above the bound of this index."""

    index: int = 0
    by: Literal["maxP95Increase", "minP95Increase", "maxP95"] = "maxP95Increase"
    """The field of the analysis that the bound comes from."""


def failures_allowed(analysis: AnalysisSpec, before: Sample, window: Window) -> Allowance:
    """The share of its requests that the canary may fail. `before` and `window` are stable's."""
    limit = None if analysis.max_error_rate is None else share(analysis.max_error_rate)
    increase = share(analysis.max_error_increase)
    bad, of = before.failures + window.failures, before.requests + window.requests
    if of < LEAST_COMPARED:
        if limit is None:
            # What befalls stable, too, is not the canary's fault, however few requests tell of it.
            limit = max(UNKNOWN_ERROR_SHARE, bad / of + increase if of else 0.0)
        return Allowance(min(1.0, limit), compared=False)
    if _drifted(before.failures, before.requests, window.failures, window.requests):
        bad, of = window.failures, window.requests
    compared = upper_bound(bad, of) + increase
    if limit is not None and limit < compared:
        return Allowance(limit, compared=False)
    return Allowance(min(1.0, compared), compared=True, bad=bad, of=of)


def slow_allowed(analysis: AnalysisSpec, window: Window) -> SlowAllowance | None:
    """Which of its requests are slow, and the share of them that it may have. None if there is nothing to go by.

    The p95 is no bound of a bucket, so the bound nearest to it stands for it, together with the share of stable's
    requests that are above that, or 5 % if that is more; the canary's are compared as many buckets higher as it may
    be slower, by share or by time, whichever leads further. `window` is stable's.
    """
    limit = None
    if analysis.max_p95 is not None:
        limit = SlowAllowance(SLOW_SHARE, compared=False, index=index_of(seconds(analysis.max_p95)), by="maxP95")
    compared = _slow_by_stable(analysis, window.earlier, window.counts)
    if compared is None or (limit is not None and limit.index < compared.index):
        return limit
    return compared


def _slow_by_stable(analysis: AnalysisSpec, earlier: tuple[int, ...], counts: tuple[int, ...]) -> SlowAllowance | None:
    every = added(earlier, counts)
    if sum(every) < LEAST_TIMED:
        return None
    index = _p95_index(every)
    bad, of = above(every, index), sum(every)
    if _drifted(above(earlier, index), sum(earlier), above(counts, index), sum(counts)):
        if sum(counts) < LEAST_TIMED:
            return None
        index = _p95_index(counts)
        bad, of = above(counts, index), sum(counts)
    allowed = max(SLOW_SHARE, upper_bound(bad, of))
    by_share = index + steps_of(share(analysis.max_p95_increase))
    by_time = index_of(bound(index) + seconds(analysis.min_p95_increase))
    if by_time > by_share:
        return SlowAllowance(allowed, compared=True, bad=bad, of=of, index=by_time, by="minP95Increase")
    return SlowAllowance(allowed, compared=True, bad=bad, of=of, index=by_share)


def _p95_index(counts: tuple[int, ...]) -> int:
    """The bound above which there are as nearly as may be 5 in 100."""
    of = left = sum(counts)
    best, least = 0, float("inf")
    for index, count in enumerate(counts):
        left -= count
        off = abs(left / of - SLOW_SHARE)
        if off < least:
            best, least = index, off
    return best


def _drifted(bad_before: int, before: int, bad: int, of: int) -> bool:
    if not before or not of:
        return False
    pooled = (bad_before + bad) / (before + of)
    spread = sqrt(pooled * (1 - pooled) * (1 / before + 1 / of))
    return bad / of - bad_before / before > _DRIFT * spread
