"""The rollout's state machine: one decision a call, from the memory, what is seen, and the time.

    (no stable) → Initial → Stable ─┬─ new spec → Preparing → Progressing ─ … ─ last step done → Promoting → Stable
                                    │                └─ canary lost ──┘ (weight 0)
                                    └─ Abort → Aborted (weight 0, the hash remembered)

Invariants: weights sum to 100; a canary has weight only while it is serving in the routers' eyes; an abort is 0 at once
and stays; promoted is only what carried the last step, with the pods for all requests.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tidegate_operator import naming
from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.api.schema import seconds
from tidegate_operator.rollout.capacity import canary_need
from tidegate_operator.rollout.requests import answer, rule, unanswered
from tidegate_operator.rollout.state import Retiring, RolloutState, Seen, Situation

DRAIN = timedelta(seconds=30)
"""How long the pods of a revision that lost its requests stay: requests under way, and routers that hear of it late."""

_REMEMBERED = 20
"""Retiring revisions, and rejected hashes, at most: what the status has room for. The newest are kept."""


@dataclass(frozen=True)
class Decision:
    """The state from now on, what it waits for, and when to look again without being woken."""

    state: RolloutState
    message: str
    look_again: datetime | None = None
    obstacle: bool = False
    """Whether it can't go on unless someone changes something."""


def step(
    state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation, now: datetime
) -> Decision:
    """The next decision, one transition at most; after one it is to look again at once.

    Called again with its own result and nothing new to see, it comes to rest: then the state stays as it is.
    """
    decision = _decide(_fitted(state, rollout, now), rollout, scaling, situation, now)
    kept = tuple(entry for entry in decision.state.retiring if entry.until > now)[-_REMEMBERED:]
    following = replace(decision.state, retiring=kept)
    times = [entry.until for entry in kept] + ([decision.look_again] if decision.look_again else [])
    look_again = now if following != state else min(times, default=None)
    return replace(decision, state=following, look_again=look_again)


def _decide(
    state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation, now: datetime
) -> Decision:
    if state.stable is None:
        state = replace(state, stable=situation.target, phase="Initial", since=now)
    if state.canary is not None and state.canary != situation.target:
        # A request is answered by the next decision, which knows the canary there is then.
        return _supersede(state, situation, now)
    promote = False
    if request := unanswered(state, situation.request):
        ruling = rule(state, request, len(rollout.steps), serving=_still_serving(situation.of(state.canary)))
        state = replace(state, answered=answer(request, ruling, now))
        if ruling.accepted and request.action == "Abort":
            return _abort(state, now)
        promote = ruling.accepted
    if state.phase == "Initial":
        return _wait_for_first(state, situation, now)
    if state.canary is None:
        return _rest_or_start(state, situation, now)
    if state.phase == "Promoting":
        return _promote(state, rollout, scaling, situation, now)
    if state.phase == "Preparing":
        return _prepare(state, rollout, scaling, situation, now)
    return _progress(state, rollout, situation, now, promote=promote)


def _fitted(state: RolloutState, rollout: RolloutSpec, now: datetime) -> RolloutState:
    """`state` by the steps that the spec has now: a step that changed under way is prepared, and held, anew."""
    if state.canary is None:
        return state
    state = replace(state, step=min(state.step, len(rollout.steps) - 1))
    weight = rollout.steps[state.step].weight
    if state.phase == "Promoting" or state.weight == weight:
        return state
    if state.phase != "Preparing":
        state = replace(state, phase="Preparing", since=now)
    return replace(state, weight=min(state.weight, weight))


def _wait_for_first(state: RolloutState, situation: Situation, now: datetime) -> Decision:
    if state.stable != situation.target:
        # The first one never got as far as to be relied on, so its successor needs no canary.
        until = now + DRAIN if situation.of(state.stable).ready else now
        state = replace(_retire(state, state.stable, until), stable=situation.target, since=now)
        state = _without_retiring(state, situation.target)
    if situation.of(state.stable).serving:
        return Decision(replace(state, phase="Stable", since=now), f"{state.stable} serves all requests")
    return Decision(state, f"{state.stable} is the first revision; waiting for its first ready pod")


def _abort(state: RolloutState, now: datetime) -> Decision:
    assert state.canary is not None
    rejected = (*state.rejected, naming.digest_of(state.canary))[-_REMEMBERED:]
    aborted = _retire(state, state.canary, now + DRAIN)
    aborted = replace(aborted, canary=None, weight=0, step=0, phase="Aborted", since=now, rejected=rejected)
    return Decision(aborted, _told_aborted(state.canary))


def _supersede(state: RolloutState, situation: Situation, now: datetime) -> Decision:
    assert state.canary is not None
    gone = replace(_retire(state, state.canary, now + DRAIN), canary=None, weight=0, step=0)
    return _rest_or_start(gone, situation, now)


def _rest_or_start(state: RolloutState, situation: Situation, now: datetime) -> Decision:
    target = situation.target
    rejected = tuple(digest for digest in state.rejected if digest == naming.digest_of(target))
    state = replace(state, rejected=rejected)
    if target == state.stable:
        resting = state if state.phase == "Stable" else replace(state, phase="Stable", since=now, step=0)
        return Decision(resting, f"{target} serves all requests")
    if rejected:
        resting = state if state.phase == "Aborted" else replace(state, phase="Aborted", since=now, step=0)
        return Decision(resting, _told_aborted(target))
    state = replace(_without_retiring(state, target), canary=target, weight=0, step=0, phase="Preparing", since=now)
    return Decision(state, f"{target} is the canary; waiting for its first ready pod")


def _prepare(
    state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation, now: datetime
) -> Decision:
    canary, weight = situation.of(state.canary), rollout.steps[state.step].weight
    need = canary_need(state, rollout, scaling, situation.of(state.stable).wanted)
    if state.weight and not _still_serving(canary):
        return _lose(state, now)
    if need.obstacle:
        return Decision(state, need.obstacle, obstacle=True)
    if canary.ready < need.replicas:
        return Decision(state, f"{state.canary} has {canary.ready} of {need.replicas} pods that {weight} % need")
    if not canary.serving:
        return Decision(state, f"waiting until every router sees a healthy pod of {state.canary}")
    begun = replace(state, weight=weight, phase="Progressing", since=now)
    return Decision(begun, f"{state.canary} gets {weight} % of requests")


def _progress(
    state: RolloutState, rollout: RolloutSpec, situation: Situation, now: datetime, *, promote: bool
) -> Decision:
    if not _still_serving(situation.of(state.canary)):
        return _lose(state, now)
    if promote:
        return _advance(state, rollout, now)
    until = _held_until(state, rollout)
    if until > now:
        return Decision(replace(state, phase="Progressing"), f"{state.canary} holds {state.weight} %", until)
    if rollout.approval == "Manual":
        waiting = replace(state, phase="AwaitingApproval")
        return Decision(waiting, f"{state.canary} at {state.weight} % waits for status.rollout.request")
    return _advance(state, rollout, now)


def _advance(state: RolloutState, rollout: RolloutSpec, now: datetime) -> Decision:
    if state.step + 1 < len(rollout.steps):
        following = replace(state, step=state.step + 1, phase="Preparing", since=now)
        return Decision(following, f"{state.canary} is prepared for {rollout.steps[following.step].weight} %")
    return Decision(replace(state, phase="Promoting", since=now), f"{state.canary} carried every step")


def _promote(
    state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation, now: datetime
) -> Decision:
    canary = situation.of(state.canary)
    if not _still_serving(canary):
        return _lose(state, now)
    need = canary_need(state, rollout, scaling, situation.of(state.stable).wanted)
    if need.obstacle:
        return Decision(state, need.obstacle, obstacle=True)
    if canary.ready < need.replicas or not canary.serving:
        return Decision(state, f"{state.canary} has {canary.ready} of {need.replicas} pods that all requests need")
    until = now + timedelta(seconds=seconds(rollout.scale_down_delay))
    promoted = _retire(state, state.stable, max(until, now + DRAIN))
    promoted = replace(promoted, stable=state.canary, canary=None, weight=0, step=0, phase="Stable", since=now)
    return Decision(promoted, f"{state.canary} is promoted and serves all requests")


def _lose(state: RolloutState, now: datetime) -> Decision:
    lost = replace(state, weight=0, phase="Preparing", since=now)
    return Decision(lost, f"{state.canary} has no healthy pod: its requests go to {state.stable} until it is back")


def _still_serving(canary: Seen) -> bool:
    # Routers that can't be asked are no reason to take requests away from a ready canary; to give it more, they are.
    return canary.ready > 0 and canary.routable is not False


def _retire(state: RolloutState, revision: str | None, until: datetime) -> RolloutState:
    if revision is None:
        return state
    others = _without_retiring(state, revision).retiring
    return replace(state, retiring=(*others, Retiring(revision, until)))


def _without_retiring(state: RolloutState, revision: str) -> RolloutState:
    return replace(state, retiring=tuple(entry for entry in state.retiring if entry.revision != revision))


def _held_until(state: RolloutState, rollout: RolloutSpec) -> datetime:
    return state.since + timedelta(seconds=seconds(rollout.steps[state.step].hold))


def _told_aborted(revision: str) -> str:
    return f"{revision} was aborted and is not tried again until the spec changes"
