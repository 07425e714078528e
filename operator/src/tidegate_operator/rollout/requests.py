"""Whether a request from the status is carried out, and the words that tell it."""

from dataclasses import dataclass
from datetime import datetime

from tidegate_operator import naming
from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.status import AnsweredRequest, Request
from tidegate_operator.rollout.state import RolloutState, Situation


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


def rule(state: RolloutState, request: Request, rollout: RolloutSpec, situation: Situation) -> Ruling:
    """Whether `request` may be carried out in `state`, with the reason if not."""
    match request.action:
        case "Rollback":
            return _rollback(state, request, situation)
        case "Update":
            return _update(state, request, situation)
        case "Retry":
            return _retry(state, request, situation)
    if state.canary is None:
        return _refused(f"there is no canary; stable is {state.stable}")
    if request.revision != state.canary:
        return _refused(f"{request.revision} is not the canary: that is {state.canary}")
    match request.action:
        case "Abort":
            return Ruling(True, f"{state.canary} gets no more requests")
        case "Pause":
            return _pause(state)
        case "Resume":
            return _resume(state, rollout)
    return _promote(state, request, rollout, situation)


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


def _refused(message: str) -> Ruling:
    return Ruling(False, message)


def _promote(state: RolloutState, request: Request, rollout: RolloutSpec, situation: Situation) -> Ruling:
    if state.phase == "RollingBack":
        return _refused(f"{state.canary} is being rolled back to, which needs no approval")
    if request.step is not None and request.step != state.step:
        return _refused(f"step {request.step} is not the current one: that is {state.step}")
    if state.phase == "Promoting":
        return _refused(f"{state.canary} is being promoted already")
    if rollout.paused:
        return _refused("spec.rollout.paused holds the canary: set it to false first")
    under_way = state.phase in ("Progressing", "AwaitingApproval", "Paused")
    weight = rollout.steps[state.step].weight
    if not under_way or state.weight != weight or not situation.of(state.canary).still_serving:
        return _refused(f"step {state.step} is not under way: {state.canary} is not ready for its weight")
    if state.step + 1 < len(rollout.steps) and not request.full:
        return Ruling(True, f"{state.canary} goes on to step {state.step + 1}")
    return Ruling(True, f"{state.canary} is promoted")


def _pause(state: RolloutState) -> Ruling:
    if state.phase == "RollingBack":
        return _refused("a rollback isn't paused: an Abort ends it")
    if state.paused:
        return _refused(f"{state.canary} is paused already")
    return Ruling(True, f"{state.canary} stays at {state.weight} %")


def _resume(state: RolloutState, rollout: RolloutSpec) -> Ruling:
    if state.paused:
        return Ruling(True, f"{state.canary} goes on")
    if rollout.paused:
        return _refused("spec.rollout.paused holds the canary: set it to false")
    return _refused(f"{state.canary} is not paused")


def _rollback(state: RolloutState, request: Request, situation: Situation) -> Ruling:
    if state.stable is None or state.phase == "Initial":
        return _refused("no revision has served yet")
    if request.revision == state.stable:
        return _refused(f"{request.revision} is stable already; an Abort ends a rollout")
    if request.revision == state.canary:
        under_way = "is being rolled back to already" if state.phase == "RollingBack" else "is the canary: promote it"
        return _refused(f"{request.revision} {under_way}")
    if request.revision not in situation.kept:
        kept = ", ".join(sorted(situation.kept - {state.stable})) or "none"
        return _refused(f"{request.revision} is no revision that is kept; kept are: {kept}")
    return Ruling(True, f"{request.revision} is prepared to serve all requests again, in place of {state.stable}")


def _update(state: RolloutState, request: Request, situation: Situation) -> Ruling:
    if state.canary is not None:
        return _refused(f"{state.canary} is on its way: wait for its end, or abort it")
    if request.revision != state.stable:
        return _refused(f"{request.revision} is not stable: that is {state.stable}")
    if state.phase == "Initial":
        return _refused(f"{state.stable} has not served yet: an edit of the spec replaces it at once")
    if situation.target != state.stable:
        return _refused(f"the spec asks for {situation.target}: Retry it, or bring the spec back to {state.stable}")
    if situation.update is None:
        return _refused(f"{state.stable} is up to date")
    return Ruling(True, f"{situation.update} is what this release makes of {state.stable}; it is the canary")


def _retry(state: RolloutState, request: Request, situation: Situation) -> Ruling:
    if request.revision != situation.target:
        return _refused(f"{request.revision} is not what the spec asks for: that is {situation.target}")
    if naming.digest_of(request.revision) not in state.rejected:
        return _refused(f"{request.revision} was not given up")
    if state.canary is not None:
        return _refused(f"{state.canary} is on its way: wait for its end, or abort it")
    return Ruling(True, f"{request.revision} is tried again")
