"""What holds after any history of a rollout: all events in any order, two controllers, stale views and lost writes.

A write carries the version of the object that was decided on, spec, status and request in one, so a stale view of these
writes nothing. What pods do, and what their callers see, may be older than the object.
"""

import os
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tidegate_operator import naming
from tidegate_operator.api.analysis_status import AnalysisStatus
from tidegate_operator.api.query_spec import QuerySpec
from tidegate_operator.api.rollout_spec import AnalysisSpec, RolloutSpec, ShadowSpec, StepSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.api.schema import seconds
from tidegate_operator.api.status import Action, InferenceServiceStatus, Request
from tidegate_operator.observed import Workload
from tidegate_operator.report import Report
from tidegate_operator.rollout.capacity import Bounds, bounds
from tidegate_operator.rollout.machine import step
from tidegate_operator.rollout.state import RolloutState, Seen, Situation, recall
from tidegate_operator.status import Addresses, compute

from .builders import NOW, A, B, C, a_spec, after, an_analysis

D = "churn-dddddddd"
"""What this release would make of A."""

revisions = st.sampled_from([A, B, C])
controllers = st.sampled_from([0, 1])
weights = st.lists(st.sampled_from([0, 1, 5, 10, 50, 90, 100]), min_size=1, max_size=4, unique=True).map(sorted)
UNSETTLED = an_analysis("Inconclusive", "QueryUnanswered")
verdicts = st.sampled_from(
    [None, an_analysis(), an_analysis("Fail"), an_analysis("Inconclusive", "TooFewRequests"), UNSETTLED]
)
QUERIES = [QuerySpec(name="refunds", query="refunds", max=0.05)]
actions: st.SearchStrategy[Action] = st.sampled_from(
    ["Promote", "Abort", "Pause", "Resume", "Rollback", "Update", "Retry"]
)


@dataclass(frozen=True)
class Object:
    """The InferenceService, at one version."""

    version: int
    target: str
    rollout: RolloutSpec
    scaling: ScalingSpec
    status: InferenceServiceStatus = field(default_factory=InferenceServiceStatus)


@dataclass(frozen=True)
class World:
    """All that a controller looks at."""

    object: Object
    seen: dict[str, Seen]
    analysis: AnalysisStatus | None

    @property
    def state(self) -> RolloutState:
        return recall(self.object.status, self.seen, self.object.target, NOW)

    @property
    def situation(self) -> Situation:
        rollout = self.object.status.rollout
        return Situation(
            target=self.object.target,
            seen=self.seen,
            request=rollout.request if rollout else None,
            analysis=self.analysis,
            kept=frozenset({A, B, C}),
            update=D if self.object.target == A else None,
        )


class Rollouts(RuleBasedStateMachine):
    """A service, its pods and its callers do as they like; two controllers pass over it, as both think they lead."""

    @initialize(revision=revisions, low=st.integers(1, 4))
    def a_new_service(self, revision: str, low: int) -> None:
        self.seconds = 0
        self.asked = 0
        self.answers: set[str] = set()
        self.given_up: set[str] = set()
        spec = RolloutSpec(steps=[StepSpec(weight=10, hold="1m"), StepSpec(weight=50, hold="1m")])
        self.world = World(Object(1, revision, spec, ScalingSpec(min_replicas=low)), {}, None)
        self.views = [self.world, self.world]
        self.until_rest(0)

    @rule(revision=revisions)
    def the_spec_asks_for(self, revision: str) -> None:
        if revision != self.world.object.target:
            self.given_up.clear()
        self.change(target=revision)

    @rule(
        steps=weights,
        hold=st.sampled_from(["0s", "30s", "5m"]),
        manual=st.booleans(),
        paused=st.sampled_from([False, False, True]),
        surge=st.sampled_from([None, 0, 1, 5]),
        delay=st.sampled_from(["0s", "10m"]),
        on_no_data=st.sampled_from(["Hold", "Pass", "Fail"]),
        copied=st.booleans(),
        queried=st.booleans(),
        full=st.sampled_from(["Wait", "Yield"]),
    )
    def the_rollout_is_changed(  # noqa: PLR0917 -- a spec has as many
        self,
        steps: list[int],
        hold: str,
        manual: bool,
        paused: bool,
        surge: int | None,
        delay: str,
        on_no_data: str,
        copied: bool,
        queried: bool = False,
        full: Literal["Wait", "Yield"] = "Wait",
    ) -> None:
        self.change(
            rollout=RolloutSpec(
                steps=[StepSpec(weight=weight, hold=hold) for weight in steps],
                approval="Manual" if manual else "Automatic",
                paused=paused,
                surge=surge,
                when_full=full,
                scale_down_delay=delay,
                analysis=AnalysisSpec.model_validate({"onNoData": on_no_data, "queries": QUERIES if queried else []}),
                shadow=ShadowSpec(percent=20) if copied else None,
            )
        )

    @rule(low=st.integers(1, 4), more=st.sampled_from([None, 0, 3]))
    def the_scaling_is_changed(self, low: int, more: int | None) -> None:
        self.change(scaling=ScalingSpec(min_replicas=low, max_replicas=None if more is None else low + more))

    @rule(
        revision=st.sampled_from([A, B, C, D]),
        wanted=st.integers(0, 6),
        ready=st.integers(0, 6),
        routable=st.sampled_from([True, True, False, None]),
    )
    def pods_change(self, revision: str, wanted: int, ready: int, routable: bool | None) -> None:
        seen = {**self.world.seen, revision: Seen(wanted, min(ready, wanted), routable)}
        self.world = replace(self.world, seen=seen)

    @rule(verdict=verdicts, settled=st.booleans())
    def all_is_well(self, verdict: AnalysisStatus | None, settled: bool) -> None:
        """Every pod that anyone could need is ready and seen; without this, few histories get far."""
        seen = {revision: Seen(6, 6, True) for revision in (A, B, C, D)}
        self.world = replace(self.world, seen=seen, analysis=verdict)
        if settled:
            self.until_rest(0)

    @rule(steps=weights, manual=st.booleans(), verdict=verdicts, copied=st.booleans())
    def a_canary_gets_its_weight(
        self, steps: list[int], manual: bool, verdict: AnalysisStatus | None, copied: bool
    ) -> None:
        """A new spec, with all that it needs: most of what matters happens to a canary."""
        stable = self.world.state.stable
        self.the_spec_asks_for(next(name for name in (C, B, A) if name != stable))
        self.the_rollout_is_changed(steps, "5m", manual, False, None, "10m", "Hold", copied)
        self.all_is_well(None, settled=True)
        self.callers_see(verdict)

    @rule(verdict=st.sampled_from([None, UNSETTLED]), queried=st.booleans(), then=st.sampled_from(["Pass", "Fail"]))
    def a_hold_is_over_and_nothing_is_settled(self, verdict: AnalysisStatus | None, queried: bool, then: str) -> None:
        stable = self.world.state.stable
        self.the_spec_asks_for(next(name for name in (C, B, A) if name != stable))
        self.the_rollout_is_changed([10, 50], "5m", False, False, None, "10m", then, False, queried)
        self.all_is_well(None, settled=True)
        self.callers_see(verdict)
        self.seconds += 300
        self.until_rest(0)

    @rule(ready=st.sampled_from([0, 0, 1]), routable=st.sampled_from([True, False]))
    def the_canary_is_lost(self, ready: int, routable: bool) -> None:
        if canary := self.world.object.status.canary:
            seen = {**self.world.seen, canary.revision: Seen(6, ready, routable)}
            self.world = replace(self.world, seen=seen)

    @rule(surge=st.sampled_from([None, 0, 1, 5]), full=st.sampled_from(["Wait", "Yield", "Yield"]))
    def the_room_is_changed(self, surge: int | None, full: str) -> None:
        self.change(rollout=self.world.object.rollout.model_copy(update={"surge": surge, "when_full": full}))

    @rule(low=st.integers(1, 4), more=st.sampled_from([0, 3]), passes=st.integers(1, 12))
    def stable_makes_room(self, low: int, more: int, passes: int) -> None:
        """Pods follow what they are bound to, as low as that is, and holds pass."""
        self.the_spec_asks_for(next(name for name in (C, B, A) if name != self.world.state.stable))
        self.the_scaling_is_changed(low, more)
        self.the_room_is_changed(0 if more else 1, "Yield")
        self.until_rest(0)
        for _ in range(passes):
            found, view = self.world.object, self.world
            for name, limits in bounds(view.state, found.rollout, found.scaling, view.situation).items():
                self.pods_change(name, limits.low, limits.low, True)
            self.callers_see(an_analysis())
            self.until_rest(0)
            self.seconds += 300

    @rule(paused=st.booleans())
    def the_spec_pauses(self, paused: bool) -> None:
        self.change(rollout=self.world.object.rollout.model_copy(update={"paused": paused}))

    @rule(verdict=verdicts)
    def callers_see(self, verdict: AnalysisStatus | None) -> None:
        self.world = replace(self.world, analysis=verdict)

    @rule(past=st.sampled_from([1, 30, 60, 300, 900, 4000]))
    def time_passes(self, past: int) -> None:
        self.seconds += past

    @rule(
        action=actions,
        revision=st.sampled_from([None, None, None, None, None, A, B, C]),
        at=st.sampled_from([None, None, 0, 1]),
        heard=st.booleans(),
    )
    def someone_asks(self, action: Action, revision: str | None, at: int | None, heard: bool) -> None:
        status = self.world.object.status
        canary, stable = status.canary, status.stable
        meant = {"Rollback": A, "Update": stable and stable.revision, "Retry": self.world.object.target}
        named = revision or meant.get(action) or (canary.revision if canary else A)
        self.asked += 1
        request = Request(action=action, revision=named, step=at, full=at is None, id=str(self.asked))
        if status.rollout:
            self.change(status=status.model_copy(update={"rollout": _with(status, request)}))
        if heard:
            self.until_rest(0)

    @precondition(lambda self: self.world.object.status.canary is not None)
    @rule(action=st.sampled_from(["Promote", "Promote", "Pause", "Resume"]), at=st.sampled_from([None, 0, 1, 2]))
    def someone_asks_of_the_canary(self, action: Action, at: int | None) -> None:
        self.someone_asks(action, None, at, heard=True)

    @rule()
    def the_status_is_lost(self) -> None:
        self.change(status=InferenceServiceStatus())
        self.given_up.clear()

    @rule(controller=controllers)
    def a_controller_looks(self, controller: int) -> None:
        self.views[controller] = self.world

    @rule(controller=controllers, written=st.booleans(), told=st.booleans())
    def a_controller_passes(self, controller: int, written: bool, told: bool) -> None:
        """With what it looked at last; it may be killed before the write, or before it hears of it."""
        self.a_pass(controller, written=written, told=told)

    @rule(controller=controllers)
    def a_controller_comes_to_rest(self, controller: int) -> None:
        self.until_rest(controller)
        self.views = [self.world, self.world]
        assert not self.a_pass(1 - controller), "the other one, knowing the same, has nothing to write"

    @rule(revision=revisions, pods=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=5))
    def a_rollout_goes_on(self, revision: str, pods: list[tuple[int, int]]) -> None:
        """Holds pass, each with so many pods of stable and canary: without it few histories get to an end."""
        self.the_spec_asks_for(revision)
        self.until_rest(0)
        for stable, canary in pods:
            state = self.world.state
            counts = {state.stable: stable, state.canary: canary}
            seen = {name: Seen(count, count, True) for name, count in counts.items() if name}
            self.world = replace(self.world, seen={**self.world.seen, **seen}, analysis=an_analysis())
            self.until_rest(0)
            self.seconds += 300

    def change(self, **parts: object) -> None:
        changed = replace(self.world.object, version=self.world.object.version + 1, **parts)  # type: ignore[arg-type]
        self.world = replace(self.world, object=changed)

    def until_rest(self, controller: int) -> None:
        for _ in range(64):
            self.views[controller] = self.world
            if not self.a_pass(controller):
                return
        raise AssertionError("the state never comes to rest")

    def a_pass(self, controller: int, *, written: bool = True, told: bool = True) -> bool:
        """One pass with what the controller knows; returns whether it wrote something."""
        view, now = self.views[controller], after(self.seconds)
        found = view.object
        before = recall(found.status, view.seen, found.target, now)
        decision = step(before, found.rollout, found.scaling, view.situation, now)
        if decision.state != before:
            assert decision.look_again == now, "a transition has to be followed by a pass"
        else:
            assert decision.look_again is None or decision.look_again > now
        report = Report({name: Workload(name, pods.wanted, pods.ready) for name, pods in view.seen.items()}, {})
        status = compute(found.status, a_spec(), decision, report, Addresses("http://churn"), 1, now)
        if status == found.status or not written or found.version != self.world.object.version:
            return False
        self.check(view, before, decision.state)
        assert recall(status, view.seen, found.target, now) == decision.state, "the status holds the whole state"
        self.world = replace(self.world, object=replace(found, version=found.version + 1, status=status))
        if told:
            self.views[controller] = replace(view, object=self.world.object)
        return True

    def check(self, view: World, before: RolloutState, now: RolloutState) -> None:
        self.check_weight(view, before, now)
        self.check_given_up(view, before, now)
        self.check_progress(view, before, now)
        self.check_promotion(view, before, now)
        self.check_answer(view, before, now)
        self.check_pods_that_stay(now)
        self.check_room(view, now)

    def check_room(self, view: World, now: RolloutState) -> None:
        """Stable and a canary fit into what the spec allows, unless it is the way back; stable carries its share."""
        found = view.object
        limits = bounds(now, found.rollout, found.scaling, view.situation)
        assert now.stable is not None
        stable, canary = limits[now.stable], limits.get(now.canary or "", Bounds(0, 0))
        assert 0 <= canary.low <= canary.high
        assert 1 <= stable.low <= stable.high
        if now.phase == "RollingBack" or found.rollout.when_full == "Wait" or now.canary is None:
            return
        most = found.scaling.max_replicas or found.scaling.min_replicas
        surge = 1 if found.rollout.surge is None else found.rollout.surge
        assert stable.high + canary.high <= most + surge
        if now.weight:
            assert now.whole
            assert 100 * stable.low >= (99 - now.weight) * now.whole
        elif not now.whole:
            assert stable.low >= found.scaling.min_replicas
        else:
            assert stable.low >= min(now.whole, most)

    def check_weight(self, view: World, before: RolloutState, now: RolloutState) -> None:
        assert now.stable is not None
        assert 0 <= now.weight <= 100
        canary = view.seen.get(now.canary or "", Seen())
        if now.canary is None or now.phase == "RollingBack":
            assert now.weight == 0
        if now.weight:
            assert canary.ready
            assert canary.routable is not False
        if now.weight > (before.weight if before.canary == now.canary else 0):
            assert canary.routable is True
            climbs = view.object.rollout.when_full == "Yield" and now.phase in ("Preparing", "Promoting")
            assert now.weight == view.object.rollout.steps[now.step].weight or climbs
            assert canary.ready >= self.pods_for(view, now.weight, now.stable)
        if now.canary and now.phase not in ("Promoting", "RollingBack"):
            assert now.weight <= view.object.rollout.steps[now.step].weight
        if now.phase in ("Progressing", "AwaitingApproval"):
            assert now.weight == view.object.rollout.steps[now.step].weight

    def check_given_up(self, view: World, before: RolloutState, now: RolloutState) -> None:
        """A canary that was given up stays so until somebody names it, or the spec changes."""
        asked = self.accepted(before, now)
        if asked and asked.action == "Retry":
            self.given_up.discard(naming.digest_of(asked.revision))
        if asked and asked.action == "Rollback":
            self.given_up |= {naming.digest_of(name) for name in (before.stable, view.object.target) if name}
            self.given_up.discard(naming.digest_of(asked.revision))
        if asked and asked.action == "Update":
            self.given_up.discard(naming.digest_of(D))
        if now.canary and now.phase != "RollingBack":
            assert naming.digest_of(now.canary) not in self.given_up
            assert now.canary in (view.object.target, D)
        failed = view.analysis is not None and view.analysis.verdict == "Fail"
        canary = view.seen.get(before.canary or "", Seen())
        lost = not canary.ready or canary.routable is False
        if failed and before.weight and before.canary == view.object.target and before.phase != "RollingBack":
            assert now.weight == 0 or lost or self.refitted(view, before)
        aborted = now.phase == "Aborted" and before.canary and before.phase != "RollingBack"
        if aborted and now.canary is None and before.canary == view.object.target:
            assert naming.digest_of(before.canary or "") in now.rejected
            self.given_up.add(naming.digest_of(before.canary or ""))

    def refitted(self, view: World, before: RolloutState) -> bool:
        """Whether the step that the evidence was about is another one now."""
        steps = view.object.rollout.steps
        return before.step >= len(steps) or before.weight != steps[before.step].weight

    def check_progress(self, view: World, before: RolloutState, now: RolloutState) -> None:
        """A step ends with evidence after its hold, or by name; and never while it is paused by anyone."""
        onward = now.canary == before.canary and (
            now.step > before.step or (now.phase == "Promoting" and before.phase != "Promoting")
        )
        if not onward:
            return
        asked = self.accepted(before, now)
        if asked and asked.action == "Promote":
            assert asked.revision == before.canary
            assert asked.step in (None, before.step)
            assert not view.object.rollout.paused
            return
        assert before.phase in ("Progressing", "AwaitingApproval")
        rollout = view.object.rollout
        # Of a spec with fewer steps, the last one, if it has the weight that was judged.
        current = rollout.steps[min(before.step, len(rollout.steps) - 1)]
        assert after(self.seconds) - before.since >= timedelta(seconds=seconds(current.hold))
        assert rollout.approval == "Automatic"
        assert not rollout.paused
        assert not now.paused
        analysis = view.analysis or before.analysis
        passed = analysis is not None and analysis.verdict == "Pass"
        unjudged = current.weight == 0 and rollout.shadow is None
        unsettled = analysis == UNSETTLED or (analysis is None and rollout.analysis.queries)
        assert passed or unjudged or (rollout.analysis.on_no_data == "Pass" and not unsettled)

    def check_promotion(self, view: World, before: RolloutState, now: RolloutState) -> None:
        if now.phase == "Promoting" != before.phase:
            full = (asked := self.accepted(before, now)) and asked.full
            assert full or before.step >= len(view.object.rollout.steps) - 1
        if before.stable in (None, now.stable) or before.phase == "Initial":
            return
        assert before.phase in ("Promoting", "RollingBack")
        assert now.stable == before.canary
        assert now.previous == before.stable
        pods = view.seen[now.stable or ""]
        assert pods.routable is True
        short = before.phase == "RollingBack" and not view.seen.get(before.stable or "", Seen()).ready
        assert short or pods.ready >= self.pods_for(view, 100, before.stable)

    def check_answer(self, view: World, before: RolloutState, now: RolloutState) -> None:
        if now.answered == before.answered:
            return
        rollout = view.object.status.rollout
        assert rollout is not None
        assert rollout.request is not None
        assert now.answered is not None
        assert now.answered.id == rollout.request.id
        assert now.answered.id not in self.answers or before.answered is None
        self.answers.add(now.answered.id)
        if not now.answered.accepted:
            spec, unasked = view.object, replace(view.situation, request=None)
            untouched = step(before, spec.rollout, spec.scaling, unasked, after(self.seconds))
            assert replace(now, answered=before.answered) == untouched.state
        elif now.answered.action == "Abort":
            # Without its rollback, what the spec asks for by now begins.
            assert now.canary is None or (before.phase == "RollingBack" and now.canary == view.object.target)
            assert now.weight == 0

    def check_pods_that_stay(self, now: RolloutState) -> None:
        retiring = [entry.revision for entry in now.retiring]
        assert now.stable not in retiring
        assert now.canary not in retiring
        assert len(retiring) == len(set(retiring)) <= 20
        assert all(entry.until > after(self.seconds) for entry in now.retiring)

    def accepted(self, before: RolloutState, now: RolloutState) -> Request | None:
        """The request that this transition carried out."""
        if now.answered == before.answered or now.answered is None or not now.answered.accepted:
            return None
        rollout = self.world.object.status.rollout
        return rollout.request if rollout else None

    def pods_for(self, view: World, weight: int, stable: str | None) -> int:
        """By the rule in words: the share of the pods that carry everything, rounded up."""
        scaling = view.object.scaling
        status = view.object.status.rollout
        before_it_yielded = (status.whole if status else None) or 0
        wanted = max(view.seen.get(stable or "", Seen()).wanted, before_it_yielded)
        most = scaling.max_replicas or scaling.min_replicas
        everything = sorted([scaling.min_replicas, wanted, most])[1]
        return max(1, -(-weight * everything // 100))


def _with(status: InferenceServiceStatus, request: Request) -> object:
    assert status.rollout is not None
    return status.rollout.model_copy(update={"request": request})


HISTORIES = 200 * int(os.environ.get("TIDEGATE_HISTORIES", "1"))
"""`make histories` sets the variable to 10: a hundred thousand steps."""

TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=HISTORIES, stateful_step_count=50)
