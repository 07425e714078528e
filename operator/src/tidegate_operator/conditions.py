"""The catalogue of conditions: their types, and how a set of them changes over time. docs/api.md lists it.

Ready, ModelLoaded, TrafficRouted, RolloutHealthy and ScalingActive are good when True; Reconciling and Stalled are the
abnormal-true pair of kstatus. CapacityAvailable is a forecast: the scheduler decides.
PlatformUpdateAvailable only tells.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tidegate_operator.api.status import Condition

Truth = Literal["True", "False", "Unknown"]

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
MODEL_LOADED = "ModelLoaded"
TRAFFIC_ROUTED = "TrafficRouted"
ROLLOUT_HEALTHY = "RolloutHealthy"
SCALING_ACTIVE = "ScalingActive"
CAPACITY_AVAILABLE = "CapacityAvailable"
PLATFORM_UPDATE_AVAILABLE = "PlatformUpdateAvailable"


@dataclass(frozen=True)
class Fact:
    """A condition as a pass finds it, without the time of its last change."""

    type: str
    status: Truth
    reason: str
    message: str


def settle(before: Iterable[Condition], facts: Iterable[Fact], generation: int, now: datetime) -> list[Condition]:
    """The conditions to report: `facts`, each with the time at which its status last changed."""
    known = {condition.type: condition for condition in before}
    settled = []
    for fact in facts:
        old = known.get(fact.type)
        unchanged = old is not None and old.status == fact.status
        settled.append(
            Condition(
                type=fact.type,
                status=fact.status,
                reason=fact.reason,
                message=fact.message[:4096],
                last_transition_time=old.last_transition_time if old and unchanged else now,
                observed_generation=generation,
            )
        )
    return settled
