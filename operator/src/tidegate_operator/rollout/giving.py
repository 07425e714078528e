"""How many pods stable gives up to a canary for which there is no room (`rollout.whenFull: Yield`), and why not more.

With D the pods that carry all requests, stable gives up no more than its canary's next weight needs beyond the room,
and only what surely isn't needed:

- without weight on the canary, what stable's autoscaler, let loose down to `minReplicas`, gives up by itself. Its
  metrics are what the team takes for load; and what is left is then D. If it wants a pod back, it gets it.
- with weight, as many pods as the canary's carry. D is remembered meanwhile (`RolloutState.whole`), since stable's own
  pods don't tell it any more; whatever takes the canary's weight has stable get D again.

As pods get ready, the canary's weight climbs to what they carry, so that stable can give up the next ones: with one pod
beyond D it gets to all requests, whatever the steps are.
"""

from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.rollout.need import Need
from tidegate_operator.rollout.room import Room, most
from tidegate_operator.rollout.state import RolloutState, Situation


def autoscaled(scaling: ScalingSpec) -> bool:
    """Whether HPAs choose the number of pods."""
    return most(scaling) > scaling.min_replicas


def demand(scaling: ScalingSpec, stable_wanted: int, whole: int | None = None) -> int:
    """The pods that carry all requests: what stable is scaled to, or was before it gave some up, from `minReplicas`."""
    return max(scaling.min_replicas, min(max(stable_wanted, whole or 0), most(scaling)))


def given_up(
    state: RolloutState, scaling: ScalingSpec, situation: Situation, room: Room, goal: int, weight: int
) -> Need:
    """What the canary needs for `goal` pods, which `weight` percent take; where `room` is short, of stable's."""
    wanted, ready = situation.of(state.stable).wanted, situation.of(state.canary).ready
    total = demand(scaling, wanted, state.whole)
    floor = _floor(state, scaling, total)
    at_best = min(goal, room.for_canary(floor))
    pressed = situation.pressed and not state.weight
    least = max(floor, min(most(scaling), wanted + 1)) if pressed else floor
    reachable = min(goal, room.for_canary(least))
    stable = max(least, min(total, room.for_stable(reachable)))
    replicas = min(reachable, room.for_canary(max(wanted, stable)))
    if replicas == goal:
        return Need(goal, goal, stable)
    carried = _share(min(ready, goal - 1), total)
    need = Need(goal, replicas, stable, carried=carried)
    if carried > state.weight:
        return need
    if at_best < goal and _share(at_best, total) <= state.weight:
        return Need(goal, replicas, stable, obstacle=_obstacle(scaling, room, floor, goal, weight))
    if autoscaled(scaling) and (pressed or (wanted > stable and ready >= replicas)):
        return Need(goal, replicas, stable, busy=_busy(room, wanted, goal, weight))
    return need


def whole_after(
    before: RolloutState, after: RolloutState, scaling: ScalingSpec, stable_wanted: int, *, yields: bool
) -> int | None:
    """What `RolloutState.whole` is to be after a decision."""
    if after.stable is None or after.stable != before.stable:
        return None
    total = demand(scaling, stable_wanted, before.whole)
    if after.weight and yields:
        return total
    return total if before.whole and stable_wanted < total else None


def _floor(state: RolloutState, scaling: ScalingSpec, total: int) -> int:
    """The pods that stable may not go below."""
    if not state.weight and state.whole is None:
        return scaling.min_replicas
    # The most pods of which the canary's weight, a whole number, is the share; stable keeps the others.
    return max(1, total - max(0, -(-(state.weight + 1) * total // 100) - 1))


def _share(pods: int, total: int) -> int:
    return 100 * pods // total


def _obstacle(scaling: ScalingSpec, room: Room, floor: int, goal: int, weight: int) -> str:
    lowest = f"stable keeps {floor} for its share of requests"
    if floor == scaling.min_replicas:
        lowest = f"stable keeps scaling.minReplicas {floor}"
    return f"{weight} % needs {room.lacking(floor, goal)}; {lowest}"


def _busy(room: Room, wanted: int, goal: int, weight: int) -> str:
    gives = wanted - room.for_stable(goal)
    return (
        f"{weight} % needs {room.lacking(wanted, goal)}, or wait until stable's load lets its autoscaler give up"
        f" {gives} of {wanted} pods"
    )
