"""What holds after any history of a rollout: all events, in any order."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tidegate_operator import naming
from tidegate_operator.api.schema import seconds
from tidegate_operator.api.status import AnsweredRequest, Request
from tidegate_operator.rollout.machine import Decision, step
from tidegate_operator.rollout.state import RolloutState, Seen, Situation

from .builders import NOW, A, B, C, a_request, a_rollout, a_scaling, after

revisions = st.sampled_from([A, B, C])
weights = st.lists(st.sampled_from([1, 5, 10, 50, 90, 100]), min_size=1, max_size=4, unique=True).map(sorted)


class Rollouts(RuleBasedStateMachine):
    """A service whose spec, pods, routers and requests change as they like; each change is followed by passes."""

    @initialize(revision=revisions, low=st.integers(1, 4))
    def a_new_service(self, revision: str, low: int) -> None:
        self.seconds = 0
        self.state = RolloutState(since=NOW)
        self.target = revision
        self.rollout = a_rollout()
        self.scaling = a_scaling(low)
        self.seen: dict[str, Seen] = {}
        self.request: Request | None = None
        self.answers: dict[str, AnsweredRequest] = {}
        self.aborted: set[str] = set()
        self.pass_until_rest()

    @rule(revision=revisions)
    def the_spec_asks_for(self, revision: str) -> None:
        if revision != self.target:
            self.aborted.clear()
        self.target = revision
        self.pass_until_rest()

    @rule(
        steps=weights,
        hold=st.sampled_from(["0s", "30s", "5m"]),
        manual=st.booleans(),
        surge=st.sampled_from([None, 0, 1, 5]),
        delay=st.sampled_from(["0s", "10m"]),
    )
    def the_rollout_is_changed(self, steps: list[int], hold: str, manual: bool, surge: int | None, delay: str) -> None:
        self.rollout = a_rollout(
            *steps, hold=hold, approval="Manual" if manual else "Automatic", surge=surge, delay=delay
        )
        self.pass_until_rest()

    @rule(low=st.integers(1, 4), more=st.sampled_from([None, 0, 3]))
    def the_scaling_is_changed(self, low: int, more: int | None) -> None:
        self.scaling = a_scaling(low, None if more is None else low + more)
        self.pass_until_rest()

    @rule(revision=revisions, wanted=st.integers(0, 6), ready=st.integers(0, 6), routable=st.booleans())
    def pods_change(self, revision: str, wanted: int, ready: int, routable: bool) -> None:
        self.seen = {**self.seen, revision: Seen(wanted, min(ready, wanted), routable)}
        self.pass_until_rest()

    @rule()
    def all_is_well(self) -> None:
        """Every pod that anyone could need is ready and seen; without this, few histories get far."""
        self.seen = {revision: Seen(6, 6, True) for revision in (A, B, C)}
        self.pass_until_rest()

    @rule(revision=revisions, pods=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=5))
    def a_rollout_goes_on(self, revision: str, pods: list[tuple[int, int]]) -> None:
        """Holds pass, each with so many pods of stable and canary: without it few histories get to an end."""
        self.the_spec_asks_for(revision)
        for stable, canary in pods:
            counts = {self.state.stable: stable, self.state.canary: canary}
            self.seen = {**self.seen, **{name: Seen(count, count, True) for name, count in counts.items() if name}}
            self.pass_until_rest()
            self.time_passes(300)

    @rule()
    def no_router_can_be_asked(self) -> None:
        self.seen = {revision: replace(found, routable=None) for revision, found in self.seen.items()}
        self.pass_until_rest()

    @rule(seconds=st.sampled_from([1, 30, 60, 300, 900]))
    def time_passes(self, seconds: int) -> None:
        self.seconds += seconds
        self.pass_until_rest()

    @rule(
        action=st.sampled_from(["Promote", "Abort"]),
        revision=st.one_of(st.none(), revisions),
        current_step=st.sampled_from([None, 0, 1]),
    )
    def someone_asks(self, action: str, revision: str | None, current_step: int | None) -> None:
        number = str(len(self.answers) + 1)
        meant = revision or self.state.canary or A
        self.request = a_request("Abort" if action == "Abort" else "Promote", meant, number=number, step=current_step)
        self.pass_until_rest()
        assert number in self.answers

    @rule()
    def someone_takes_the_request_back(self) -> None:
        self.request = None
        self.pass_until_rest()

    def pass_until_rest(self) -> None:
        for _ in range(64):
            before = self.state
            decision = self.decide(before)
            self.check(before, decision)
            self.state = decision.state
            if decision.state == before:
                assert decision.look_again is None or decision.look_again > after(self.seconds)
                return
            assert decision.look_again == after(self.seconds), "a transition has to be followed by a pass"
        raise AssertionError("the state never comes to rest")

    def decide(self, state: RolloutState, *, asked: bool = True) -> Decision:
        situation = Situation(self.target, self.seen, self.request if asked else None)
        return step(state, self.rollout, self.scaling, situation, after(self.seconds))

    def check(self, before: RolloutState, decision: Decision) -> None:
        self.check_weight(before, decision.state)
        self.check_pods_that_stay(decision.state)
        self.check_promotion(before, decision.state)
        self.check_answer(before, decision.state)

    def check_weight(self, before: RolloutState, now: RolloutState) -> None:
        assert now.stable is not None
        assert 0 <= now.weight <= 100
        canary = self.seen.get(now.canary or "", Seen())
        if now.canary is None:
            assert now.weight == 0
        if now.weight:
            assert canary.ready
            assert canary.routable is not False
        if now.weight > (before.weight if before.canary == now.canary else 0):
            assert canary.routable is True
            assert now.weight == self.rollout.steps[now.step].weight
            assert canary.ready >= self.pods_for(now.weight)
        if now.phase in ("Progressing", "AwaitingApproval"):
            assert now.weight == self.rollout.steps[now.step].weight
        if now.canary:
            assert now.canary == self.target
            assert naming.digest_of(now.canary) not in self.aborted

    def check_pods_that_stay(self, now: RolloutState) -> None:
        retiring = [entry.revision for entry in now.retiring]
        assert now.stable not in retiring
        assert now.canary not in retiring
        assert len(retiring) == len(set(retiring)) <= 20
        assert all(entry.until > after(self.seconds) for entry in now.retiring)

    def check_promotion(self, before: RolloutState, now: RolloutState) -> None:
        if now.phase == "Promoting" != before.phase:
            assert before.phase in ("Progressing", "AwaitingApproval")
            assert before.step >= len(self.rollout.steps) - 1
            assert now.weight == self.rollout.steps[-1].weight
        if now.canary == before.canary and (now.step > before.step or now.phase == "Promoting" != before.phase):
            held = after(self.seconds) - before.since
            hold = timedelta(seconds=seconds(self.rollout.steps[0].hold))
            assert self.asked_for(before, now) or (self.rollout.approval == "Automatic" and held >= hold)
        if before.stable not in (None, now.stable) and before.phase != "Initial":
            assert before.phase == "Promoting"
            assert now.stable == before.canary
            assert self.seen[now.stable or ""].routable is True
            assert self.seen[now.stable or ""].ready >= self.pods_for(100, stable=before.stable)

    def check_answer(self, before: RolloutState, now: RolloutState) -> None:
        if now.answered == before.answered:
            return
        answered = now.answered
        assert answered is not None
        assert self.request is not None
        assert answered.id == self.request.id
        assert answered.id not in self.answers
        self.answers[answered.id] = answered
        if not answered.accepted:
            assert replace(now, answered=before.answered) == self.decide(before, asked=False).state
        elif answered.action == "Abort":
            assert now.canary is None
            assert now.weight == 0
            self.aborted.add(naming.digest_of(answered.revision))

    def asked_for(self, before: RolloutState, now: RolloutState) -> bool:
        return now.answered != before.answered and now.answered is not None and now.answered.accepted

    def pods_for(self, weight: int, *, stable: str | None = None) -> int:
        """By the rule in words: the share of the pods that carry everything, rounded up."""
        wanted = self.seen.get(stable or self.state.stable or "", Seen()).wanted
        most = self.scaling.max_replicas or self.scaling.min_replicas
        everything = sorted([self.scaling.min_replicas, wanted, most])[1]
        return max(1, -(-weight * everything // 100))


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
