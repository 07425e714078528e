"""How many pods each revision needs during a rollout, within `maxReplicas` and the surge.

With D the pods that carry the whole demand, a revision with a weight of w percent needs ⌈w·D/100⌉ of them, and at least
one. Stable keeps what it has until the promotion, so that an abort never meets too few pods.
"""

from dataclasses import dataclass

from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.rollout.state import RolloutState, Situation


@dataclass(frozen=True)
class Bounds:
    """Pods of one revision: what its HPA may choose, or `low` where there is none."""

    low: int
    high: int


@dataclass(frozen=True)
class Need:
    """Pods that the canary needs for its next weight, and why it can't have them, if so."""

    replicas: int
    obstacle: str | None = None


def most(scaling: ScalingSpec) -> int:
    """The pods that a service may have outside a rollout."""
    return scaling.max_replicas or scaling.min_replicas


def autoscaled(scaling: ScalingSpec) -> bool:
    """Whether HPAs choose the number of pods."""
    return most(scaling) > scaling.min_replicas


def demand(scaling: ScalingSpec, stable_wanted: int) -> int:
    """The pods that carry all requests: what stable was scaled to, at least `minReplicas`."""
    return max(scaling.min_replicas, min(stable_wanted, most(scaling)))


def canary_need(state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, stable_wanted: int) -> Need:
    """The pods that the canary needs before its weight may rise to the current step's, or to 100 at the end.

    A rollback needs what it needs: the surge bounds what a new revision may cost, not the way out.
    """
    weight = 100 if state.phase in ("Promoting", "RollingBack") else rollout.steps[state.step].weight
    total = demand(scaling, stable_wanted)
    replicas = max(1, -(-weight * total // 100))
    if rollout.surge is None or state.phase == "RollingBack":
        return Need(replicas)
    limit = most(scaling) + rollout.surge
    if stable_wanted + replicas <= limit:
        return Need(replicas)
    obstacle = (
        f"{weight} % needs {replicas} canary pods beside {stable_wanted} stable ones, and scaling.maxReplicas"
        f" {most(scaling)} + rollout.surge {rollout.surge} allow {limit}: raise rollout.surge to"
        f" {stable_wanted + replicas - most(scaling)}"
    )
    return Need(max(0, limit - stable_wanted), obstacle)


def bounds(state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation) -> dict[str, Bounds]:
    """The pods that stable and canary may have; a retiring revision isn't named, and keeps what it has."""
    if state.stable is None:
        return {}
    limit = most(scaling)
    if state.canary is None:
        return {state.stable: Bounds(scaling.min_replicas, limit)}
    wanted = situation.of(state.stable).wanted
    low, need = demand(scaling, wanted), canary_need(state, rollout, scaling, wanted).replicas
    total = limit + max(need if rollout.surge is None else rollout.surge, need if state.phase == "RollingBack" else 0)
    stable = Bounds(low, max(low, min(limit, total - need)))
    canary = Bounds(need, max(need, min(limit, total - wanted)) if autoscaled(scaling) else need)
    return {state.stable: stable, state.canary: canary}
