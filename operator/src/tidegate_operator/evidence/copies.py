"""The verdict on a canary without weight, from what became of the copies of stable's requests. Pure.

Two hypotheses are bet against, as on what callers saw (`judge`): that no larger a share of the canary's answers differs
from stable's than may, and that it fails no larger a share of the copies than of requests. Only what stable answered
well is copied, so stable's own share of failures is none, and `maxErrorIncrease` is what the canary may fail.

A canary that nobody relies on yet can wait for more: it passes only once what was seen of it, too, is within both
bounds, not as soon as nothing refutes that it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from tidegate_operator.api.analysis_status import AnalysisStatus, CopySample, Sample, Verdict
from tidegate_operator.api.rollout_spec import AnalysisSpec, ShadowSpec
from tidegate_operator.api.schema import share
from tidegate_operator.evidence import betting, words
from tidegate_operator.evidence.readings import Copies
from tidegate_operator.evidence.tally import Window

Reason = Literal[
    "AnswersAlike",
    "AnswersDiverged",
    "CanaryRestarted",
    "CopiesFailed",
    "CopiesUndecided",
    "StableCantCopy",
    "TooFewCopies",
]

_MUTE: Final = (
    "stable's pods were made by an earlier release, or are of an image of one's own, and can't copy requests: Promote"
    " goes on without, or Abort, Update stable and Retry"
)


@dataclass(frozen=True)
class _Seen:
    """All that the step has shown so far."""

    copies: CopySample
    differing: betting.Wealth
    failing: betting.Wealth
    may_differ: float
    may_fail: float
    restarts: int
    mute: int

    @property
    def answered(self) -> int:
        """Copies of which it is known how they fared."""
        return self.copies.compared + self.copies.failed

    @property
    def within(self) -> bool:
        """Whether as few differ, and fail, as may."""
        few = self.copies.diverged <= self.may_differ * self.copies.compared
        return few and self.copies.failed <= self.may_fail * self.answered


def judge_copies(
    analysis: AnalysisSpec,
    shadow: ShadowSpec,
    before: AnalysisStatus | None,
    canary: Window,
    now: datetime,
    *,
    steps: int = 1,
) -> AnalysisStatus:
    """The verdict after another window of the canary's; `before` is the one before it in the same step.

    The rest is as `judge` says.
    """
    if before is not None and before.verdict == "Fail":
        return before
    seen = _seen(analysis, shadow, before, canary)
    verdict, reason, message = _finding(analysis, seen, steps)
    return AnalysisStatus(
        verdict=verdict,
        reason=reason,
        message=message,
        at=now,
        canary=Sample(),
        stable=Sample(),
        copies=seen.copies,
        error_evidence=[round(each, 6) for each in seen.failing],
        divergence_evidence=[round(each, 6) for each in seen.differing],
    )


def _seen(analysis: AnalysisSpec, shadow: ShadowSpec, before: AnalysisStatus | None, canary: Window) -> _Seen:
    # A verdict of a kind that knows of no copies is about another step.
    known = before if before is not None and before.copies is not None else None
    told = known.copies if known is not None and known.copies is not None else CopySample()
    good, bad = _compared(shadow, canary.copies)
    may_differ, may_fail = share(shadow.max_divergence), _may_fail(analysis)
    differing = betting.known(known.divergence_evidence if known is not None else None)
    failing = betting.known(known.error_evidence if known is not None else None)
    return _Seen(
        copies=CopySample(
            compared=told.compared + good + bad,
            diverged=told.diverged + bad,
            failed=told.failed + canary.copies.failed,
            dropped=told.dropped + canary.copies.dropped,
        ),
        differing=betting.after(differing, bad, good, may_differ),
        failing=betting.after(failing, canary.copies.failed, good + bad, may_fail),
        may_differ=may_differ,
        may_fail=may_fail,
        restarts=canary.restarts,
        mute=canary.mute,
    )


def _compared(shadow: ShadowSpec, copies: Copies) -> tuple[int, int]:
    """Answers that are as stable's, by what the spec says counts, and those that aren't."""
    if shadow.compare == "ArgMax":
        return copies.alike + copies.diverged, copies.moved
    return copies.alike, copies.diverged + copies.moved


def _may_fail(analysis: AnalysisSpec) -> float:
    limits: Iterable[str | None] = (analysis.max_error_increase, analysis.max_error_rate)
    return min(share(limit) for limit in limits if limit is not None)


def _finding(analysis: AnalysisSpec, seen: _Seen, steps: int) -> tuple[Verdict, Reason, str]:
    copies, told = seen.copies, _told(seen)
    if seen.restarts:
        ended = f"{words.count(seen.restarts, 'container')} of the canary ended and had to be started again"
        return "Fail", "CanaryRestarted", f"{ended}; {told}"
    if betting.won(seen.differing, steps) or (copies.diverged and not seen.may_differ):
        return "Fail", "AnswersDiverged", f"{told}; {_odds(seen.differing, seen.may_differ)}"
    if betting.won(seen.failing, steps) or (copies.failed and not seen.may_fail):
        return "Fail", "CopiesFailed", f"{told}; {_odds(seen.failing, seen.may_fail)}"
    if copies.compared < analysis.min_requests:
        if seen.mute and not seen.answered:
            return "Inconclusive", "StableCantCopy", _MUTE
        few = f"{copies.compared} of {analysis.min_requests} answers to copies that have to be compared"
        return "Inconclusive", "TooFewCopies", f"{few}; {told}"
    if not seen.within:
        return "Inconclusive", "CopiesUndecided", f"more than may, but not beyond chance yet: {told}"
    return "Pass", "AnswersAlike", told


def _told(seen: _Seen) -> str:
    copies = seen.copies
    told = f"{words.part(copies.diverged, copies.compared, 'answer')} differed from stable's,"
    told += f" {words.percent(seen.may_differ)} may; {words.part(copies.failed, seen.answered, 'copy', 'copies')}"
    told += f" failed, {words.percent(seen.may_fail)} may"
    return f"{told}; {words.count(copies.dropped, 'copy', 'copies')} came to nothing" if copies.dropped else told


def _odds(wealth: betting.Wealth, allowed: float) -> str:
    return words.odds(wealth) if allowed else "none may at all"
