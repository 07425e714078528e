"""How many pods of two revisions fit into what a rollout may use, counted in pods, or in the GPUs that they hold."""

from dataclasses import dataclass
from typing import Final

from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.rollout.state import RolloutState, Situation

ANY: Final = 10_000
"""More pods than a service may have."""


@dataclass(frozen=True)
class Room:
    """`units` of which each pod takes some: pods, or GPUs."""

    units: int
    stable: int = 1
    """What a pod of stable takes."""
    canary: int = 1
    """What a pod of the canary takes."""
    allowed_by: str = ""
    """What allows them, in the words of the spec."""
    field: str = "rollout.surge"
    """What to raise for more."""
    surge: int = 0
    """That field's value."""

    def for_canary(self, stable: int) -> int:
        """The pods that the canary may have beside so many of stable."""
        return max(0, self.units - stable * self.stable) // self.canary if self.canary else ANY

    def for_stable(self, canary: int) -> int:
        """The pods that stable may have beside so many of the canary."""
        return max(0, self.units - canary * self.canary) // self.stable if self.stable else ANY

    def lacking(self, stable: int, canary: int) -> str:
        """Why so many pods don't fit, and what to raise to which value."""
        over = stable * self.stable + canary * self.canary - self.units
        size = f", {stable * self.stable + canary * self.canary} GPUs together" if self.field.endswith("Gpus") else ""
        beside = f"{canary} canary pod{'s' * (canary != 1)} beside {stable} stable one{'s' * (stable != 1)}{size}"
        return f"{beside}, and {self.allowed_by} allow {self.units}: raise {self.field} to {self.surge + over}"


def most(scaling: ScalingSpec) -> int:
    """The pods that a service may have outside a rollout."""
    return scaling.max_replicas or scaling.min_replicas


def yields(rollout: RolloutSpec) -> bool:
    """Whether stable makes room for a canary that finds none."""
    return rollout.when_full == "Yield"


def room_for(state: RolloutState, rollout: RolloutSpec, scaling: ScalingSpec, situation: Situation) -> Room | None:
    """What stable and canary may use together; None: as much as the canary needs.

    A rollback needs what it needs: the surge bounds what a new revision may cost, not the way out.
    """
    if state.phase == "RollingBack":
        return None
    if rollout.surge_gpus is not None:
        stable, canary = situation.gpus.get(state.stable or "", 0), situation.gpus.get(state.canary or "", 0)
        allowed_by = f"scaling.maxReplicas {most(scaling)} × {stable} + rollout.surgeGpus {rollout.surge_gpus}"
        units = most(scaling) * stable + rollout.surge_gpus
        return Room(units, stable, canary, allowed_by, "rollout.surgeGpus", rollout.surge_gpus)
    surge = 1 if rollout.surge is None and yields(rollout) else rollout.surge
    if surge is None:
        return None
    allowed_by = f"scaling.maxReplicas {most(scaling)} + rollout.surge {surge}"
    return Room(most(scaling) + surge, allowed_by=allowed_by, surge=surge)
