"""`status` of an InferenceService: what is true now, and the memory of the rollout."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidegate_operator.api.analysis_status import AnalysisStatus
from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.api.schema import StatusModel, rules

Action = Literal["Promote", "Abort", "Pause", "Resume", "Rollback", "Update", "Retry"]
Phase = Literal[
    "Initial",
    "Stable",
    "Preparing",
    "Blocked",
    "Progressing",
    "AwaitingApproval",
    "Paused",
    "Promoting",
    "RollingBack",
    "Aborted",
]
MESSAGE_LENGTH = 1024
"""What a message about routes may have of characters."""
Revision = Annotated[str, Field(max_length=63)]
ModelDigest = Annotated[str, Field(max_length=64)]


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
    health_path: Annotated[str, Field(max_length=256)] | None = None
    """Where the routers ask its pods whether they serve; only of an image of the user's own."""
    model_sha256: ModelDigest | None = None
    """The SHA-256 that its model has to have in each pod: the spec's, else that of what the first of them has fetched;
    left out until it is known."""
    observed_weight: float | None = None
    """The share of requests in percent that it was seen to answer in the current step, to a tenth."""
    p95_ms: int | None = None
    """The 95th percentile of its requests' times in milliseconds, in the current step."""
    preview_url: Annotated[str, Field(max_length=512)] | None = None
    """Where its pods answer, whatever its share is; of a canary alone."""


class RetiringRevision(StatusModel):
    """A revision that no request is sent to any more."""

    revision: Revision
    """Its name."""
    until: datetime
    """When its pods are removed."""
    health_path: Annotated[str, Field(max_length=256)] | None = None
    """As above."""


class PreviousRevision(StatusModel):
    """The revision that was stable before."""

    revision: Revision
    """Its name."""
    model_sha256: ModelDigest | None = None
    """As above: what a rollback brings back."""


class Request(StatusModel):
    """What a person or a pipeline asks of the rollout; written by them, never changed by the controller."""

    action: Action
    """Promote: go to the next step, or after the last one to all requests. Abort: no more requests to the canary, which
    isn't tried again. Pause, Resume: stop the canary where it is, and let it go on. Rollback: make a revision that was
    stable before stable again. Update: bring the stable revision to what this release of Tidegate makes of it, by a
    canary. Retry: try a revision again that was aborted."""
    revision: Revision
    """The revision that is meant: for Promote, Abort, Pause and Resume the canary, for Rollback the one to go back to,
    for Update the stable one, for Retry the aborted one. Another one's request is refused."""
    step: Annotated[int, Field(ge=0, le=20)] | None = None
    """Promote: the step that is meant, from 0; one already passed is refused."""
    full: bool | None = None
    """Promote: whether to skip the steps that are left."""
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
    reason: Annotated[str, Field(max_length=64)] | None = None
    """Why the revision that the spec asks for was given up, in one CamelCase word; API."""
    paused: bool | None = None
    """Whether a request paused it."""
    whole: int | None = None
    """Pods that carried all requests before stable gave some up to the canary; until it has them again."""
    analysis: AnalysisStatus | None = None
    """What the canary is judged on."""
    request: Request | None = None
    """Write here: what the rollout should do."""
    last_request: AnsweredRequest | None = None
    """What became of the latest request."""
    rejected: Annotated[list[str], Field(max_length=20)] | None = None
    """Hashes of revisions that were aborted; not tried again until the spec changes."""


class RoutingStatus(StatusModel):
    """By which way callers come, where that isn't the bundled router, or wasn't lately."""

    provider: ProviderName
    """The way by which callers are sent."""
    weights: Literal["Exact", "Approximate"]
    """Whether a revision's share of requests is its weight, or follows its part of the pods."""
    message: Annotated[str, Field(max_length=MESSAGE_LENGTH)] | None = None
    """The same for people."""
    coming: ProviderName | None = None
    """The way that is built beside it, to go over to."""
    coming_since: datetime | None = None
    """Since when that is seen to work."""
    leaving: ProviderName | None = None
    """The way before, which stays for callers who still use it."""
    leaving_until: datetime | None = None
    """Until when."""


class InferenceServiceStatus(StatusModel):
    """What is true now."""

    observed_generation: int | None = None
    """The generation of the spec that this status is about."""
    url: str | None = None
    """Where the service answers."""
    external_url: Annotated[str, Field(max_length=512)] | None = None
    """Where it answers callers from outside the cluster, if the install has a domain for them."""
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ]
    """What holds: Ready, Reconciling, Stalled, ModelLoaded, TrafficRouted, RolloutHealthy, ScalingActive,
    CapacityAvailable, PlatformUpdateAvailable."""
    stable: RoutedRevision | None = None
    """The revision that callers rely on."""
    canary: RoutedRevision | None = None
    """The revision on trial."""
    previous: PreviousRevision | None = None
    """The revision that was stable before; kept, to be rolled back to."""
    retiring: Annotated[list[RetiringRevision], Field(max_length=20)] | None = None
    """Revisions without requests whose pods are still there."""
    rollout: RolloutStatus | None = None
    """Where the rollout stands."""
    routing: RoutingStatus | None = None
    """By which way callers come; left out for the bundled router alone."""
