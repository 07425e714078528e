"""Whether what a pipeline waits for has come, can't come any more, or is under way: judged anew from each status."""

from dataclasses import dataclass
from typing import Literal

from tidegate_operator.cli.service import Service
from tidegate_operator.conditions import READY

Goal = Literal["rollout", "ready"]


@dataclass(frozen=True)
class Outlook:
    """Where a wait stands."""

    state: Literal["reached", "failed", "under way"]
    message: str


def outlook(service: Service, goal: Goal) -> Outlook:
    """Where the wait for `goal` stands.

    rollout: the revision that the spec asks for serves all requests. ready: callers are answered.
    """
    if not service.seen:
        return Outlook("under way", f"the controller hasn't looked at generation {service.generation} yet")
    if service.stalled:
        # Also of a spec that was refused, whose status goes on telling of the rollout before.
        return Outlook("failed", f"{service.stalled.reason}: {service.stalled.message}")
    return _rollout(service) if goal == "rollout" else _ready(service)


def _rollout(service: Service) -> Outlook:
    rollout = service.rollout
    message = rollout.message or "nothing was decided yet"
    match rollout.phase:
        case "Stable":
            return Outlook("reached", message)
        case "Aborted":
            return Outlook("failed", message)
        case _:
            return Outlook("under way", f"{rollout.phase or 'Initial'}: {message}")


def _ready(service: Service) -> Outlook:
    ready = service.condition(READY)
    if ready is None:
        return Outlook("under way", "the controller hasn't told yet whether it is ready")
    told = f"{ready.reason}: {ready.message}"
    return Outlook("reached" if ready.status == "True" else "under way", told)
