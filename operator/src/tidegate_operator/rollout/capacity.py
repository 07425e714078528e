"""How many pods each revision needs during a rollout, within `maxReplicas` and the surge.

With D the pods that carry the whole demand, a revision with a weight of w percent needs ⌈w·D/100⌉ of them, and at least
one. Stable keeps what it has until the promotion, so that an abort never meets too few pods, unless the spec has it
yield (`giving`).
"""

from dataclasses import dataclass

from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.rollout.giving import autoscaled, demand, given_up
from tidegate_operator.rollout.need import Need
from tidegate_operator.rollout.room import Room, most, room_for, yields
from tidegate_operator.rollout.state import RolloutState, Situation


@dataclass(frozen=True)
class Bounds:
    """Pods of one revision: what its HPA may choose, or `low` where there is none."""

    low: int
    high: int


def canary_need(state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation) -> Need:
    """The pods that the canary needs before its weight may rise to the current step's, or to 100 at the end."""
    weight = 100 if state.phase in ("Promoting", "RollingBack") else rollout.steps[state.step].weight
    wanted = situation.of(state.stable).wanted
    total = demand(scaling, wanted, state.whole)
    goal = max(1, -(-weight * total // 100))
    room = room_for(state, rollout, scaling, situation)
    if room is None:
        return Need(goal, goal, total)
    if yields(rollout):
        return given_up(state, scaling, situation, room, goal, weight)
    # Pods that stable gave up while the spec let it are to come back.
    allowed = room.for_canary(max(wanted, total) if state.whole else wanted)
    if goal <= allowed:
        return Need(goal, goal, total)
    return Need(goal, allowed, total, f"{weight} % needs {room.lacking(wanted, goal)}")


def bounds(state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation) -> dict[str, Bounds]:
    """The pods that stable and canary may have; a retiring revision isn't named, and keeps what it has."""
    if state.stable is None:
        return {}
    limit = most(scaling)
    if state.canary is None:
        # What stable had given up is brought back at once; from then on its autoscaler decides.
        low = demand(scaling, 0, state.whole)
        return {state.stable: Bounds(low, limit)}
    need = canary_need(state, rollout, scaling, situation)
    room = room_for(state, rollout, scaling, situation) or Room(limit + max(need.replicas, rollout.surge or 0))
    high = max(need.stable, min(limit, room.for_stable(need.replicas)))
    if yields(rollout) and state.phase != "RollingBack":
        # Both HPAs together may not choose more than there is.
        found = Bounds(need.stable, high if autoscaled(scaling) else need.stable)
        return {state.stable: found, state.canary: Bounds(need.replicas, need.replicas)}
    beside = min(limit, room.for_canary(situation.of(state.stable).wanted))
    canary = Bounds(need.replicas, max(need.replicas, beside) if autoscaled(scaling) else need.replicas)
    return {state.stable: Bounds(need.stable, high), state.canary: canary}
