"""`status` of an InferenceService: what is true now, and the memory of the rollout."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidegate_operator.api.schema import ApiModel, rules

Action = Literal["Promote", "Abort"]
Phase = Literal["Initial", "Stable", "Preparing", "Progressing", "AwaitingApproval", "Promoting", "Aborted"]
Revision = Annotated[str, Field(max_length=63)]


class StatusModel(ApiModel):
    """A part of the status; fields that a newer release wrote are passed over."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusModel):
    """One fact about the service, as `metav1.Condition` has it."""

    type: Annotated[str, Field(max_length=64)]
    """Which fact."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(max_length=128)]
    """Why, in one CamelCase word; API."""
    message: Annotated[str, Field(max_length=4096)]
    """Why, for people, with the next step."""
    last_transition_time: datetime
    """When status changed last."""
    observed_generation: int
    """The generation of the spec that this was seen for."""


class RoutedRevision(StatusModel):
    """A revision that requests may reach."""

    revision: Revision
    """Its name."""
    weight: Annotated[int, Field(ge=0, le=100)]
    """Its share of requests in percent."""
    replicas: int = 0
    """Pods wanted."""
    ready_replicas: int = 0
    """Pods ready."""
    timeout: Annotated[str, Field(max_length=16)] | None = None
    """How long its pods take for a request at most; the routers wait a little longer."""


class RetiringRevision(StatusModel):
    """A revision that no request is sent to any more."""

    revision: Revision
    """Its name."""
    until: datetime
    """When its pods are removed."""


class Request(StatusModel):
    """What a person or a pipeline asks of the rollout; written by them, never changed by the controller."""

    action: Action
    """Promote: go to the next step, or after the last one to all requests. Abort: no more requests to the canary."""
    revision: Revision
    """The canary that is meant; another one's request is refused."""
    step: Annotated[int, Field(ge=0, le=20)] | None = None
    """The step that is meant, from 0; one already passed is refused."""
    id: Annotated[str, Field(min_length=1, max_length=128)]
    """Tells this request from the one before."""


class AnsweredRequest(StatusModel):
    """What became of the latest request."""

    id: str
    """The request's."""
    action: Action
    """The request's."""
    revision: Revision
    """The request's."""
    accepted: bool
    """Whether it was carried out."""
    message: str
    """What was done, or why not."""
    time: datetime
    """When it was answered."""


class RolloutStatus(StatusModel):
    """Where the rollout stands."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(oldSelf.request) || !has(self.request) || self.request == oldSelf.request"
                " || self.request.action == 'Abort'"
                " || (has(oldSelf.lastRequest) && oldSelf.lastRequest.id == oldSelf.request.id)",
                "the request before is not answered yet: wait until lastRequest.id equals its id (Abort needn't wait)",
            ),
            (
                "!has(self.request) || (has(oldSelf.request) && self.request == oldSelf.request)"
                " || !has(oldSelf.lastRequest) || self.request.id != oldSelf.lastRequest.id",
                "request.id was used for the request before: a new request needs an id of its own",
            ),
        )
    )

    phase: Phase | None = None
    """Where the rollout stands, in one word."""
    step: int | None = None
    """The current step, from 0."""
    steps: int | None = None
    """How many steps there are."""
    since: datetime | None = None
    """When the current phase, or step, began."""
    message: str | None = None
    """What it waits for."""
    request: Request | None = None
    """Write here: what the rollout should do."""
    last_request: AnsweredRequest | None = None
    """What became of the latest request."""
    rejected: Annotated[list[str], Field(max_length=20)] | None = None
    """Hashes of revisions that were aborted; not tried again until the spec changes."""


class InferenceServiceStatus(StatusModel):
    """What is true now."""

    observed_generation: int | None = None
    """The generation of the spec that this status is about."""
    url: str | None = None
    """Where the service answers."""
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ]
    """What holds: Ready, Reconciling, Stalled, ModelLoaded, TrafficRouted, RolloutHealthy, ScalingActive."""
    stable: RoutedRevision | None = None
    """The revision that callers rely on."""
    canary: RoutedRevision | None = None
    """The revision on trial."""
    retiring: Annotated[list[RetiringRevision], Field(max_length=20)] | None = None
    """Revisions without requests whose pods are still there."""
    rollout: RolloutStatus | None = None
    """Where the rollout stands."""
