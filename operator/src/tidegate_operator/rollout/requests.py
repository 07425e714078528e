"""Whether a request from the status is carried out, and the words that tell it."""

from dataclasses import dataclass
from datetime import datetime

from tidegate_operator.api.status import AnsweredRequest, Request
from tidegate_operator.rollout.state import RolloutState


@dataclass(frozen=True)
class Ruling:
    """What becomes of a request."""

    accepted: bool
    message: str


def unanswered(state: RolloutState, request: Request | None) -> Request | None:
    """`request`, if it is newer than the one answered last."""
    if request is None or (state.answered is not None and state.answered.id == request.id):
        return None
    return request


def rule(state: RolloutState, request: Request, steps: int, *, serving: bool) -> Ruling:
    """Whether `request` may be carried out in `state`, with the reason if not.

    `serving` tells whether the canary has healthy pods.
    """
    if state.canary is None:
        return Ruling(False, f"there is no canary; stable is {state.stable}")
    if request.revision != state.canary:
        return Ruling(False, f"{request.revision} is not the canary: that is {state.canary}")
    if request.action == "Abort":
        return Ruling(True, f"{state.canary} gets no more requests")
    if request.step is not None and request.step != state.step:
        return Ruling(False, f"step {request.step} is not the current one: that is {state.step}")
    if state.phase == "Promoting":
        return Ruling(False, f"{state.canary} is being promoted already")
    if state.phase == "Preparing" or not serving:
        return Ruling(False, f"step {state.step} is not under way: {state.canary} is not ready for its weight")
    if state.step + 1 < steps:
        return Ruling(True, f"{state.canary} goes on to step {state.step + 1}")
    return Ruling(True, f"{state.canary} is promoted")


def answer(request: Request, ruling: Ruling, now: datetime) -> AnsweredRequest:
    """What `status.rollout.lastRequest` says."""
    return AnsweredRequest(
        id=request.id,
        action=request.action,
        revision=request.revision,
        accepted=ruling.accepted,
        message=ruling.message,
        time=now,
    )
