"""Judges canaries: reads what their callers see, by windows of the analysis' interval, and keeps count between them.

The verdict, and the wealth of the bets behind it, are in the status. What is kept here is only how far each source had
counted: a controller that is restarted loses at most the window that was open.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from tidegate_operator.api.analysis_status import AnalysisStatus, Sample
from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.schema import seconds
from tidegate_operator.evidence.answers import Answer
from tidegate_operator.evidence.buckets import added, p95_ms
from tidegate_operator.evidence.chance import share_differs
from tidegate_operator.evidence.copies import judge_copies
from tidegate_operator.evidence.judge import judge
from tidegate_operator.evidence.queries import Names, judge_queries, rendered
from tidegate_operator.evidence.readings import Readings
from tidegate_operator.evidence.tally import Tally, Window
from tidegate_operator.kube.objects import Object
from tidegate_operator.kube.store import Key
from tidegate_operator.rollout.shadow import judged_by_copies
from tidegate_operator.rollout.state import RolloutState


class Sources(Protocol):
    """Who knows what callers saw."""

    async def read(self, namespace: str, revisions: Iterable[str], pods: Iterable[Object]) -> Mapping[str, Readings]:
        """What is known now of each revision, of whose `pods` these are. Whoever can't be asked is left out."""
        ...

    async def shared(self, key: Key, weights: Mapping[str, int]) -> bool | None:
        """Whether requests are shared by `weights` everywhere; None if that can't be found out."""
        ...

    def exact(self, key: Key, *, matches: bool) -> bool:
        """Whether the requests that are counted are shared by weights at all; `matches` if some are chosen apart."""
        ...


class Questions(Protocol):
    """Who has Prometheus asked."""

    def answers(self, names: Names, window: object, queries: Sequence[str]) -> tuple[Answer, ...] | None:
        """What it says to each of `queries`, asked once for `window`; None while that isn't known yet."""
        ...

    def forget(self, namespace: str, service: str) -> None:
        """Ask nothing more for a service."""
        ...


@dataclass(frozen=True)
class _Step:
    """What was counted in a canary's current step."""

    stable: str
    canary: str
    since: datetime
    tallies: Mapping[str, Tally]
    told: AnalysisStatus | None = None
    """The verdict that was given last; its window is closed once the status holds it."""

    def of(self, state: RolloutState) -> "_Step":
        """The same for where the rollout stands now."""
        tallies = dict(self.tallies)
        if self.told is not None and state.analysis is not None and self.told.at == state.analysis.at:
            tallies = {name: tally.judged() for name, tally in tallies.items()}
        if self.since != state.since:
            tallies = {name: tally.begun(state.since) for name, tally in tallies.items()}
        return replace(self, since=state.since, tallies=tallies, told=None)


class Analyst:
    """Gives verdicts on the canaries of all services."""

    def __init__(self, sources: Sources, questions: Questions) -> None:
        self._sources = sources
        self._questions = questions
        self._steps: dict[Key, _Step] = {}

    async def analyse(
        self, key: Key, rollout: RolloutSpec, state: RolloutState, pods: Iterable[Object], now: datetime
    ) -> AnalysisStatus | None:
        """The verdict on a canary with weight, or copies, once in each interval; None if there is no news.

        One that has lost its weight is still looked at, for what ended its pods: then only a Fail is news.
        """
        if state.stable is None or state.canary is None or state.phase == "RollingBack":
            self.forget(key)
            return None
        step, copied = self._steps.get(key), judged_by_copies(state, rollout)
        if step is None or (step.stable, step.canary) != (state.stable, state.canary):
            if not state.weight and not copied:
                return None
            tallies = {name: Tally(state.since) for name in (state.stable, state.canary)}
            step = await self._read(key, _Step(state.stable, state.canary, state.since, tallies), pods)
        step = self._steps[key] = step.of(state)
        judged_at = max(state.since, state.analysis.at) if state.analysis else state.since
        if now - judged_at < timedelta(seconds=seconds(rollout.analysis.interval)):
            return None
        step = self._steps[key] = await self._read(key, step, pods)
        verdict = self._verdict(rollout, state, step, now)
        if not state.weight and not copied:
            return verdict if verdict.verdict == "Fail" else None
        if not copied:
            verdict = await self._as_shared(key, rollout, state, verdict)
        asked = self._asked(key, rollout, state, verdict, judged_at)
        if asked is not None:
            self._steps[key] = replace(step, told=asked)
        return asked

    def forget(self, key: Key) -> None:
        """Forget what was counted for a service."""
        self._steps.pop(key, None)
        self._questions.forget(*key)

    def _verdict(self, rollout: RolloutSpec, state: RolloutState, step: _Step, now: datetime) -> AnalysisStatus:
        canary, stable = step.tallies[step.canary].window, step.tallies[step.stable].window
        if rollout.shadow is not None and judged_by_copies(state, rollout):
            steps = len(rollout.steps)
            return judge_copies(rollout.analysis, rollout.shadow, state.analysis, canary, now, steps=steps)
        verdict = judge(rollout.analysis, state.analysis, canary, stable, now, steps=len(rollout.steps))
        samples = {"canary": _timed(verdict.canary, canary), "stable": _timed(verdict.stable, stable)}
        return verdict.model_copy(update=samples)

    def _asked(
        self, key: Key, rollout: RolloutSpec, state: RolloutState, verdict: AnalysisStatus, window: datetime
    ) -> AnalysisStatus | None:
        """`verdict`, with what Prometheus says, too; None while that isn't known. A Fail waits for nobody."""
        queries = rollout.analysis.queries
        if not queries or verdict.verdict == "Fail":
            return verdict
        names = Names(key.namespace, key.name, state.stable or "", state.canary or "")
        asked = [rendered(query.query, names) for query in queries]
        answers = self._questions.answers(names, window, asked)
        return None if answers is None else judge_queries(verdict, state.analysis, queries, asked, answers)

    async def _read(self, key: Key, step: _Step, pods: Iterable[Object]) -> _Step:
        readings = await self._sources.read(key.namespace, (step.stable, step.canary), pods)
        tallies = {name: tally.read(readings.get(name, Readings())) for name, tally in step.tallies.items()}
        return replace(step, tallies=tallies)

    async def _as_shared(
        self, key: Key, rollout: RolloutSpec, state: RolloutState, verdict: AnalysisStatus
    ) -> AnalysisStatus:
        """`verdict`, unless it is a Pass of a canary that doesn't have the share which it is meant to have."""
        if verdict.verdict != "Pass" or state.phase not in ("Progressing", "AwaitingApproval"):
            return verdict
        weights = {state.stable or "": 100 - state.weight, state.canary or "": state.weight}
        if await self._sources.shared(key, weights) is False:
            told = f"requests are not shared {100 - state.weight} to {state.weight} everywhere yet"
            return _held(verdict, "RoutesDiffer", told)
        canary, stable = verdict.canary.requests, verdict.stable.requests
        # By keys, of which some ask often and others seldom, a share of requests isn't to be had.
        exact = rollout.sticky is None and self._sources.exact(key, matches=bool(rollout.match))
        if exact and share_differs(canary, stable, state.weight):
            told = f"the canary was seen to answer {canary} of {canary + stable} requests, which isn't {state.weight} %"
            return _held(verdict, "ShareDiffers", told)
        return verdict


def _timed(sample: Sample, window: Window) -> Sample:
    return sample.model_copy(update={"p95_ms": p95_ms(added(window.earlier, window.counts))})


def _held(verdict: AnalysisStatus, reason: str, told: str) -> AnalysisStatus:
    return verdict.model_copy(
        update={"verdict": "Inconclusive", "reason": reason, "message": f"{told}; {verdict.message}"}
    )
