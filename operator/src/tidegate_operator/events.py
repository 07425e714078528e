"""Which Kubernetes Events a change of status is worth: one for each decision, none for a pass that changed nothing."""

from dataclasses import dataclass
from typing import Any, Literal

from tidegate_operator.api.status import Condition, InferenceServiceStatus
from tidegate_operator.conditions import CAPACITY_AVAILABLE, MODEL_LOADED, READY

_REASONS = {
    "Initial": "RevisionCreated",
    "Preparing": "CanaryPreparing",
    "Blocked": "CanaryBlocked",
    "Progressing": "CanaryWeighted",
    "AwaitingApproval": "AwaitingApproval",
    "Paused": "CanaryPaused",
    "Promoting": "CanaryPromoting",
    "RollingBack": "RollingBack",
    "Aborted": "RolloutAborted",
    "Stable": "RevisionStable",
}


@dataclass(frozen=True)
class Event:
    """What `kubectl describe` shows under Events."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def events_of(before: InferenceServiceStatus, after: InferenceServiceStatus) -> list[Event]:
    """The events that the change from `before` to `after` is worth, in the order in which they happened."""
    events = []
    old, new = before.rollout, after.rollout
    answered = new.last_request if new else None
    if answered and answered != (old.last_request if old else None):
        verdict = "RequestAccepted" if answered.accepted else "RequestRefused"
        kind: Literal["Normal", "Warning"] = "Normal" if answered.accepted else "Warning"
        events.append(Event(kind, verdict, f"{answered.action} {answered.revision}: {answered.message}"))
    if new and new.phase and _standing(before) != _standing(after):
        kind = "Warning" if new.phase in ("Aborted", "Blocked") else "Normal"
        events.append(Event(kind, _REASONS[new.phase], new.message or ""))
    for watched in (CAPACITY_AVAILABLE, MODEL_LOADED, READY):
        was, now = _condition(before, watched), _condition(after, watched)
        if not now or now.status != "False" or (was and (was.status, was.reason) == (now.status, now.reason)):
            continue
        # A service that was never ready tells nothing by not being ready yet.
        if watched != READY or (was and was.status == "True"):
            events.append(Event("Warning", now.reason, now.message))
    return events


def decision_of(before: InferenceServiceStatus, after: InferenceServiceStatus) -> dict[str, Any] | None:
    """What was decided, as the fields of a log line; None where the change tells of no decision.

    `revision` is the one that it is about: the canary, else stable. `weight` is that revision's.
    """
    old, new = before.rollout, after.rollout
    answered = new.last_request if new else None
    asked = answered is not None and answered != (old.last_request if old else None)
    if new is None or (_standing(before) == _standing(after) and not asked):
        return None
    about = after.canary or after.stable
    told: dict[str, Any] = {
        "revision": about.revision if about else None,
        "weight": about.weight if about else None,
        "from": old.phase if old else None,
        "to": new.phase,
        "step": new.step,
        "reason": new.reason or (_REASONS[new.phase] if new.phase else None),
        "why": new.message,
    }
    if asked and answered:
        told["request"] = {"id": answered.id, "action": answered.action, "accepted": answered.accepted}
    return told


def _standing(status: InferenceServiceStatus) -> tuple[object, ...]:
    rollout = status.rollout
    return (
        rollout.phase if rollout else None,
        status.stable.revision if status.stable else None,
        status.canary.revision if status.canary else None,
        status.canary.weight if status.canary else None,
    )


def _condition(status: InferenceServiceStatus, wanted: str) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == wanted), None)
