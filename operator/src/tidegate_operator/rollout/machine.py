"""The rollout's state machine: one decision a call, from the memory, what is seen, and the time.

    (no stable) → Initial → Stable ── new spec, Update, Retry ──► a canary's phases (`canary`) ── promoted ──► Stable
                              ▲  └─ Rollback → RollingBack ──────────────────┐     └─ given up ──► Aborted
                              └──────────────────────────────────────────────┘ (as Aborted: the spec asks for another)

Invariants, in order of precedence: weights sum to 100; a canary that is given up has weight 0 at once, and stays given
up; promoted is only what carried the last step with evidence, or what a person named; a canary has weight only while it
is serving in the routers' eyes; a weight rises only when the pods for it are ready.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from tidegate_operator import naming
from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.api.status import Phase, Request
from tidegate_operator.rollout import canary, ending
from tidegate_operator.rollout.decision import Decision
from tidegate_operator.rollout.giving import whole_after
from tidegate_operator.rollout.requests import answer, rule, unanswered
from tidegate_operator.rollout.room import yields
from tidegate_operator.rollout.state import RolloutState, Situation


def step(
    state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation, now: datetime
) -> Decision:
    """The next decision, one transition at most; after one it is to look again at once.

    Called again with its own result and nothing new to see, it comes to rest: then the state stays as it is.
    """
    decision = _Pass(rollout, scaling, situation, now).decide(_fitted(state, rollout, now))
    kept = tuple(entry for entry in decision.state.retiring if entry.until > now)[-ending.REMEMBERED :]
    following = replace(decision.state, retiring=kept)
    following = replace(following, whole=_whole(state, following, rollout, scaling, situation))
    times = [entry.until for entry in kept] + ([decision.look_again] if decision.look_again else [])
    look_again = now if following != state else min(times, default=None)
    return replace(decision, state=following, look_again=look_again)


def _whole(
    before: RolloutState, after: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation
) -> int | None:
    return whole_after(before, after, scaling, situation.of(after.stable).wanted, yields=yields(rollout))


def _fitted(state: RolloutState, rollout: RolloutSpec, now: datetime) -> RolloutState:
    """`state` by the steps that the spec has now: a step that changed under way is prepared, and held, anew."""
    if state.canary is None or state.phase == "RollingBack":
        return state
    state = replace(state, step=min(state.step, len(rollout.steps) - 1))
    weight = rollout.steps[state.step].weight
    if state.phase == "Promoting" or state.weight == weight:
        return state
    if state.phase in ("Progressing", "AwaitingApproval"):
        state = replace(state, phase="Preparing", since=now, analysis=None)
    return replace(state, weight=min(state.weight, weight))


@dataclass(frozen=True)
class _Pass:
    """What one decision looks at besides the state."""

    rollout: RolloutSpec
    scaling: ScalingSpec
    situation: Situation
    now: datetime

    def decide(self, state: RolloutState) -> Decision:
        target = self.situation.target
        if state.stable is None:
            state = replace(state, stable=target, phase="Initial", since=self.now)
        if state.canary not in (None, target) and state.phase != "RollingBack":
            # A request is answered by the next decision, which knows the canary there is then.
            return self.rest_or_start(ending.dropped(state, self.now))
        request = unanswered(state, self.situation.request)
        if request is None:
            return self.proceed(state)
        ruling = rule(state, request, self.rollout, self.situation)
        state = replace(state, answered=answer(request, ruling, self.now))
        return self.carry_out(state, request) if ruling.accepted else self.proceed(state)

    def proceed(self, state: RolloutState) -> Decision:
        if state.phase == "Initial":
            return self.wait_for_first(state)
        if state.canary is None:
            return self.rest_or_start(state)
        return canary.decide(self.trial(state))

    def carry_out(self, state: RolloutState, request: Request) -> Decision:
        match request.action:
            case "Abort":
                return self.abort(state)
            case "Rollback":
                return self.roll_back(state, request.revision)
            case "Promote":
                return canary.promote(self.trial(state), full=bool(request.full))
            case "Pause":
                return self.proceed(replace(state, paused=True))
            case "Resume":
                return self.proceed(replace(state, paused=False))
            case "Retry":
                return self.start(_acquitted(state, request.revision), request.revision)
        assert self.situation.update is not None
        return self.start(_acquitted(state, self.situation.update), self.situation.update)

    def wait_for_first(self, state: RolloutState) -> Decision:
        target = self.situation.target
        if state.stable != target:
            # The first one never got as far as to be relied on, so its successor needs no canary.
            until = self.now + ending.DRAIN if self.situation.of(state.stable).ready else self.now
            state = replace(ending.retire(state, state.stable, until), stable=target, since=self.now)
            state = ending.revived(state, target)
        if self.situation.of(state.stable).serving:
            return Decision(replace(state, phase="Stable", since=self.now), f"{state.stable} serves all requests")
        return Decision(state, f"{state.stable} is the first revision; waiting for its first ready pod")

    def rest_or_start(self, state: RolloutState) -> Decision:
        target = self.situation.target
        state = replace(state, rejected=self.remembered(state))
        if target == state.stable:
            return self.rest(replace(state, reason=None, analysis=None), "Stable", f"{target} serves all requests")
        if naming.digest_of(target) in state.rejected:
            return self.rest(state, "Aborted", ending.told(state, target))
        return self.start(state, target)

    def rest(self, state: RolloutState, phase: Phase, message: str) -> Decision:
        if state.phase == phase:
            return Decision(state, message)
        return Decision(replace(state, phase=phase, since=self.now, step=0), message)

    def start(self, state: RolloutState, revision: str) -> Decision:
        begun = replace(
            ending.revived(state, revision),
            canary=revision,
            weight=0,
            step=0,
            phase="Preparing",
            since=self.now,
            paused=False,
            analysis=None,
            reason=None,
        )
        return Decision(begun, f"{revision} is the canary; waiting for its first ready pod")

    def abort(self, state: RolloutState) -> Decision:
        given_up = state.canary
        assert given_up is not None
        if state.phase == "RollingBack":
            return self.rest_or_start(_acquitted(ending.dropped(state, self.now), state.stable))
        after = ending.aborted(state, ending.ABORTED_BY_REQUEST, self.now)
        return Decision(after, ending.told(after, given_up))

    def roll_back(self, state: RolloutState, revision: str) -> Decision:
        left = state.stable
        assert left is not None
        if state.canary is not None:
            state = ending.reject(ending.dropped(state, self.now), state.canary)
        state = _acquitted(ending.reject(ending.reject(state, left), self.situation.target), revision)
        rolling = replace(
            ending.revived(state, revision),
            canary=revision,
            weight=0,
            step=0,
            phase="RollingBack",
            since=self.now,
            analysis=None,
            reason=ending.ROLLED_BACK,
        )
        return Decision(rolling, f"{revision} is prepared to serve all requests again")

    def remembered(self, state: RolloutState) -> tuple[str, ...]:
        """Of what was given up, that which the spec, or an Update, would bring back."""
        wanted = {naming.digest_of(name) for name in (self.situation.target, self.situation.update) if name}
        return tuple(digest for digest in state.rejected if digest in wanted)

    def trial(self, state: RolloutState) -> canary.Trial:
        return canary.Trial(state, self.rollout, self.scaling, self.situation, self.now)


def _acquitted(state: RolloutState, revision: str | None) -> RolloutState:
    digest = naming.digest_of(revision) if revision else ""
    return replace(state, rejected=tuple(known for known in state.rejected if known != digest))
