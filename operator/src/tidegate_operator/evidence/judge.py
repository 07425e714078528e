"""The verdict on a canary, from what its callers and stable's saw. Pure.

Two hypotheses are bet against, each with its own wealth (`betting`): that the canary fails no larger a share of its
requests than it may, and that no larger a share of them is slow than may be (`allowance`). One that is refuted is a
Fail, for good. So is a container that ended and was started again, at once: it took along what it was about to answer.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tidegate_operator.api.analysis_status import AnalysisStatus, Sample, Verdict
from tidegate_operator.api.rollout_spec import AnalysisSpec
from tidegate_operator.evidence import betting, words
from tidegate_operator.evidence.allowance import (
    LEAST_COMPARED,
    LEAST_TIMED,
    Allowance,
    SlowAllowance,
    failures_allowed,
    slow_allowed,
)
from tidegate_operator.evidence.buckets import above, bound
from tidegate_operator.evidence.tally import Window

Reason = Literal[
    "CanaryRestarted",
    "ErrorRateExceeded",
    "ErrorsIncreased",
    "NoStableRequests",
    "NoTimes",
    "P95Exceeded",
    "P95Increased",
    "TooFewRequests",
    "TooFewTimes",
    "WithinBounds",
]


@dataclass(frozen=True)
class _Finding:
    verdict: Verdict
    reason: Reason
    message: str


@dataclass(frozen=True)
class _Seen:
    """All that the step has shown so far."""

    canary: Sample
    stable: Sample
    errors: betting.Wealth
    times: betting.Wealth
    failing: Allowance
    slow: SlowAllowance | None
    restarts: int
    untimed: bool


def judge(
    analysis: AnalysisSpec,
    before: AnalysisStatus | None,
    canary: Window,
    stable: Window,
    now: datetime,
    *,
    steps: int = 1,
) -> AnalysisStatus:
    """The verdict after another window; `before` is the one before it in the same step, None for the first.

    `steps` is how many the rollout has: the chance of an error is one rollout's, of which each step has an equal part.
    A Fail stays as it is. Inconclusive is told for as long as there were too few requests; whether that is good
    enough in the end isn't said here.
    """
    if before is not None and before.verdict == "Fail":
        return before
    seen = _seen(analysis, before, canary, stable)
    finding = _finding(analysis, seen, steps)
    slow_after = before.slow_after_ms if before is not None else None
    return AnalysisStatus(
        verdict=finding.verdict,
        reason=finding.reason,
        message=finding.message,
        at=now,
        canary=seen.canary,
        stable=seen.stable,
        slow_after_ms=slow_after if seen.slow is None else round(1000 * bound(seen.slow.index), 3),
        error_evidence=[round(each, 6) for each in seen.errors],
        p95_evidence=[round(each, 6) for each in seen.times],
    )


def _seen(analysis: AnalysisSpec, before: AnalysisStatus | None, canary: Window, stable: Window) -> _Seen:
    stable_before = before.stable if before is not None else Sample()
    canary_before = before.canary if before is not None else Sample()
    failing = failures_allowed(analysis, stable_before, stable)
    slow = slow_allowed(analysis, stable)
    errors = betting.known(before.error_evidence if before is not None else None)
    errors = betting.after(errors, canary.failures, canary.requests - canary.failures, failing.share)
    times = betting.known(before.p95_evidence if before is not None else None)
    if slow is not None:
        bad, of = above(canary.counts, slow.index), sum(canary.counts)
        times = betting.after(times, bad, of - bad, slow.share)
    return _Seen(
        canary=_more(canary_before, canary, slow),
        stable=_more(stable_before, stable, slow),
        errors=errors,
        times=times,
        failing=failing,
        slow=slow,
        restarts=canary.restarts,
        untimed=canary.untimed,
    )


def _finding(analysis: AnalysisSpec, seen: _Seen, steps: int) -> _Finding:
    canary, stable = seen.canary, seen.stable
    if seen.restarts:
        ended = f"{words.count(seen.restarts, 'container')} of the canary ended and had to be started again"
        return _Finding("Fail", "CanaryRestarted", f"{ended}; {_told_failures(seen)}")
    if betting.won(seen.errors, steps):
        reason: Reason = "ErrorsIncreased" if seen.failing.compared else "ErrorRateExceeded"
        return _Finding("Fail", reason, f"{_told_failures(seen)}; {words.odds(seen.errors)}")
    if betting.won(seen.times, steps):
        reason = "P95Exceeded" if seen.slow is not None and not seen.slow.compared else "P95Increased"
        return _Finding("Fail", reason, f"{_told_times(seen)}; {words.odds(seen.times)}")
    told = f"{_told_failures(seen)}; {_told_times(seen)}"
    if canary.requests < analysis.min_requests:
        few = f"{canary.requests} of {analysis.min_requests} requests that the canary has to have answered"
        return _Finding("Inconclusive", "TooFewRequests", f"{few}; {told}")
    if not seen.untimed and canary.timed < min(analysis.min_requests, LEAST_TIMED):
        few = f"the times of {canary.timed} of the canary's batches are known, which are too few to tell a p95"
        return _Finding("Inconclusive", "TooFewTimes", f"{few}; {told}")
    if stable.requests < LEAST_COMPARED:
        alone = f"stable had {stable.requests or 'no'} requests, so the canary was held against fixed bounds alone"
        return _Finding("Pass", "NoStableRequests", f"{alone}; {told}")
    return _Finding("Pass", "NoTimes" if seen.untimed else "WithinBounds", told)


def _told_failures(seen: _Seen) -> str:
    canary, stable = seen.canary, seen.stable
    told = f"the canary failed {words.part(canary.failures, canary.requests, 'request')}"
    if stable.requests:
        told += f", stable {words.part(stable.failures, stable.requests, 'request')}"
    return f"{told}, and {words.percent(seen.failing.share)} are allowed"


def _told_times(seen: _Seen) -> str:
    canary, slow = seen.canary, seen.slow
    if seen.untimed:
        return "its image tells no times, so whether it is slower isn't known"
    if slow is None:
        return "no p95 to hold the canary's against is known"
    told = f"{words.part(canary.slow, canary.timed, 'timed request')} of the canary were slow"
    told += f", above {1000 * bound(slow.index):.4g} ms by now ({slow.by}), and {words.percent(slow.share)} are allowed"
    return f"{told} by {words.count(slow.of, 'timed request')} of stable" if slow.compared else told


def _more(before: Sample, window: Window, slow: SlowAllowance | None) -> Sample:
    return Sample(
        requests=before.requests + window.requests,
        failures=before.failures + window.failures,
        timed=before.timed + sum(window.counts),
        slow=before.slow + (above(window.counts, slow.index) if slow is not None else 0),
    )
