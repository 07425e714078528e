"""Canaries in virtual time: what their callers and stable's see window by window, and when each is rolled back."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from tidegate_operator.api.analysis_status import AnalysisStatus
from tidegate_operator.api.rollout_spec import AnalysisSpec
from tidegate_operator.evidence.buckets import BOUNDS_SECONDS
from tidegate_operator.evidence.judge import judge
from tidegate_operator.evidence.tally import Window

STEPS = 3
"""Of the rollout: as many as it has by default."""
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """A canary beside stable. Times are gamma distributed: at a coefficient of variation of 1, exponentially."""

    name: str
    windows: int
    variation: float = 0.3
    slower: float = 0.0
    """By what share the canary's times are longer."""
    later_ms: float = 0.0
    """How much longer each of them is, whatever it was."""
    mean_ms: float = 20.0
    """Stable's times on average, of some canaries up to twice as much."""
    stable_errors: float = 0.001
    canary_errors: float = 0.001
    canary_requests: int = 300
    stable_requests: int = 2700
    """In a window."""
    slump: int | None = None
    """The window from which on both take twice as long."""
    analysis: AnalysisSpec = field(default_factory=AnalysisSpec)


@dataclass(frozen=True)
class Outcome:
    """What became of many canaries of one case."""

    runs: int
    found: tuple[int, ...]
    """Of each that was rolled back the window in which, counted from 1."""

    def share(self, within: int) -> float:
        """The share that was rolled back in so many windows."""
        return sum(window <= within for window in self.found) / self.runs

    def median(self) -> float | None:
        """The window by which half of all were rolled back; None if fewer were."""
        every = sorted(self.found)
        half = (self.runs + 1) // 2
        return every[half - 1] if len(every) >= half else None


def simulate(case: Case, runs: int, seed: int) -> Outcome:
    """So many canaries of the case, each with times of its own scale, so that buckets lie otherwise around its p95."""
    generator = np.random.default_rng(seed)
    found = [window for _ in range(runs) if (window := _one(case, generator)) is not None]
    return Outcome(runs, tuple(found))


@dataclass(frozen=True)
class _Times:
    """How long requests take, in seconds: gamma distributed, and a constant on top."""

    mean: float
    variation: float
    more: float = 0.0


def _one(case: Case, generator: np.random.Generator) -> int | None:
    mean = case.mean_ms / 1000 * 2 ** generator.random()
    status: AnalysisStatus | None = None
    canary, stable = Window(), Window()
    for number in range(1, case.windows + 1):
        slump = 2.0 if case.slump is not None and number >= case.slump else 1.0
        usual = _Times(mean * slump, case.variation)
        own = _Times(usual.mean * (1 + case.slower), case.variation, case.later_ms / 1000)
        canary = _window(canary, case.canary_requests, own, case.canary_errors, generator)
        stable = _window(stable, case.stable_requests, usual, case.stable_errors, generator)
        status = judge(case.analysis, status, canary, stable, BEGIN + timedelta(seconds=30 * number), steps=STEPS)
        if status.verdict == "Fail":
            return number
    return None


def _window(before: Window, requests: int, take: _Times, errors: float, generator: np.random.Generator) -> Window:
    failures = int(generator.binomial(requests, errors))
    shape = 1 / take.variation**2
    times = take.more + generator.gamma(shape, take.mean / shape, requests - failures)
    earlier = tuple(a + b for a, b in zip(before.earlier or _NONE, before.counts or _NONE, strict=True))
    return Window(requests=requests, failures=failures, counts=_counts(times), earlier=earlier)


_BOUNDS = np.array(BOUNDS_SECONDS)
_NONE = (0,) * (len(BOUNDS_SECONDS) + 1)


def _counts(times: NDArray[np.float64]) -> tuple[int, ...]:
    buckets = np.searchsorted(_BOUNDS, times, side="left")
    return tuple(int(count) for count in np.bincount(buckets, minlength=len(_NONE)))
