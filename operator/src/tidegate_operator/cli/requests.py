"""What a command writes into `status.rollout.request`, and what the status says of it afterwards."""

from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from tidegate_operator import naming
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.api.status import Action, AnsweredRequest, Request
from tidegate_operator.cli.exits import Code, Stop
from tidegate_operator.cli.service import Service
from tidegate_operator.cli.words import step_of
from tidegate_operator.revisions import revision_of


@dataclass(frozen=True)
class Wish:
    """What a person wants of a rollout, as the command line says it."""

    action: Action
    revision: str | None = None
    """The revision that is meant; left out, the one that the status suggests."""
    step: int | None = None
    full: bool = False


@dataclass(frozen=True)
class Answer:
    """What the status says of a request."""

    state: Literal["accepted", "refused", "displaced", "waiting"]
    answered: AnsweredRequest | None = None


def compose(service: Service, wish: Wish, identity: str) -> Request:
    """The request for `wish`, as the status of `service` stands; raises Stop if there is nothing to ask.

    A request that couldn't be written is told here in the words of the next step; the API server's own rules and the
    controller hold all the same.
    """
    if service.status.stable is None:
        raise Stop(
            f"{service.name} has no revision yet: the controller hasn't decided on it; kubectl tidegate explain"
            f" {service.name} -n {service.namespace} tells why"
        )
    _not_busy(service, wish)
    return Request(
        action=wish.action,
        revision=wish.revision or meant(service, wish.action),
        step=wish.step,
        full=wish.full or None,
        id=identity,
    )


def meant(service: Service, action: Action) -> str:
    """The revision that `action` is about where none is named; raises Stop if there is none."""
    status, name = service.status, service.name
    match action:
        case "Rollback":
            if status.previous is None:
                raise Stop(
                    f"{name} remembers no revision that was stable before: name one of those that kubectl tidegate"
                    f" history {name} -n {service.namespace} lists with --to",
                    Code.NOT_FOUND,
                )
            return status.previous.revision
        case "Update":
            assert status.stable is not None
            return status.stable.revision
        case "Retry":
            return _given_up(service)
    if status.canary is None:
        stable = status.stable.revision if status.stable else "none"
        raise Stop(f"no rollout of {name} is under way: there is no canary; stable is {stable}")
    return status.canary.revision


def told(service: Service, request: Request) -> str:
    """What is about to be asked, for people: printed before it is written."""
    words = f"{request.action} {request.revision} of {service.namespace}/{service.name}"
    canary, rollout = service.status.canary, service.rollout
    if canary is None or canary.revision != request.revision:
        return words
    at = f", the canary at {canary.weight} %"
    if rollout.step is not None:
        at += f", {step_of(rollout.step, rollout.steps)}"
    return words + at


def answer_to(service: Service, identity: str) -> Answer:
    """What the status says of the request with this id."""
    rollout = service.rollout
    if rollout.last_request and rollout.last_request.id == identity:
        return Answer("accepted" if rollout.last_request.accepted else "refused", rollout.last_request)
    if rollout.request and rollout.request.id == identity:
        return Answer("waiting")
    return Answer("displaced")


def _not_busy(service: Service, wish: Wish) -> None:
    rollout = service.rollout
    waiting = rollout.request
    if waiting is None or wish.action == "Abort" or answer_to(service, waiting.id).state != "waiting":
        return
    raise Stop(
        f"{waiting.action} {waiting.revision} (id {waiting.id}) isn't answered yet, and only an abort may overtake it;"
        f" kubectl tidegate explain {service.name} -n {service.namespace} tells why"
    )


def _given_up(service: Service) -> str:
    rejected = service.rollout.rejected or []
    if not rejected:
        raise Stop(f"no revision of {service.name} was given up: there is nothing to try again")
    try:
        wanted = revision_of(service.name, InferenceServiceSpec.model_validate(service.spec))
    except ValidationError:
        return naming.revision_name(service.name, rejected[-1])
    return wanted.name if wanted.digest in rejected else naming.revision_name(service.name, rejected[-1])
