"""What the routers need to know of an InferenceService: parts of its `status`, and of its `spec.rollout`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from tidegate_operator.api.schema import seconds
from tidegate_operator.errors import InvalidSpec
from tidegate_operator.xds import names

_Label = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
# What the routers take, and no more: a name or value that they refuse would cost every service its update.
_Name = Annotated[str, Field(max_length=64, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
_Value = Annotated[str, Field(max_length=256, pattern=r"^[ -~]+$")]
_Path = Annotated[str, Field(max_length=256, pattern=r"^/[!-~]*$")]
_DEFAULT_TIMEOUT = "30s"


@dataclass(frozen=True)
class Match:
    """Requests with all of these headers and cookies, by name."""

    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Sticky:
    """What tells one caller from another: a header's or a cookie's name."""

    header: str | None = None
    cookie: str | None = None


@dataclass(frozen=True)
class RoutedService:
    """A service as the routers see it; `canary_weight` is percent of its requests, the rest are stable's.

    `timeout_seconds` is the longer of the two revisions': a weight is drawn after the time-out is set, and a
    canary that gives up sooner must not take stable's requests along. `matches` are requests for the canary
    whatever its weight, and `canary_ready` says whether it has pods for them. `grpc` says whether callers may come
    by gRPC, too, `by_router` whether any come by the routers at all, `direct` whether any come to stable's pods,
    which then hand the canary's share over, `unproxied` whether any come to pods with nothing between. `unread`
    says why parts of the spec aren't followed.
    """

    namespace: str
    name: str
    uid: str
    timeout_seconds: float
    stable: str | None
    canary: str | None
    canary_weight: int
    retiring: tuple[str, ...]
    canary_ready: bool = False
    matches: tuple[Match, ...] = ()
    sticky: Sticky | None = None
    grpc: bool = False
    by_router: bool = True
    direct: bool = False
    unproxied: bool = False
    unread: str | None = None
    health_paths: Mapping[str, str] = field(default_factory=dict)
    """Where pods of images of the user's own tell that they serve, by revision."""

    @property
    def wires(self) -> tuple[names.Wire, ...]:
        """The protocols by which it is reached."""
        return (names.REST, names.GRPC) if self.grpc else (names.REST,)


class _Metadata(BaseModel):
    name: _Label
    namespace: _Label
    uid: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]


class _Revision(BaseModel):
    revision: _Label
    weight: Annotated[int, Field(ge=0, le=100)] = 0
    timeout: str = _DEFAULT_TIMEOUT
    ready_replicas: Annotated[int, Field(alias="readyReplicas")] = 0
    health_path: Annotated[_Path | None, Field(alias="healthPath")] = None


class _Status(BaseModel):
    stable: _Revision | None = None
    canary: _Revision | None = None
    retiring: list[_Revision] | None = None


class _Match(BaseModel, extra="forbid"):
    header: dict[_Name, _Value] = {}
    cookie: dict[_Name, _Value] = {}

    @model_validator(mode="after")
    def _not_everything(self) -> Self:
        if not self.header and not self.cookie:
            raise ValueError("a match without a header or cookie would take all requests")
        return self


class _Sticky(BaseModel, extra="forbid"):
    header: _Name | None = None
    cookie: _Name | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.header is None) == (self.cookie is None):
            raise ValueError("sticky goes by either a header or a cookie")
        return self


class _Rollout(BaseModel):
    match: Annotated[list[_Match], Field(max_length=100)] = []
    sticky: _Sticky | None = None


class _InferenceService(BaseModel):
    # Deliberately looser than the CRD's own model: a replica may be a release older than the objects it reads.
    metadata: _Metadata
    status: _Status = _Status()


def read(manifest: Mapping[str, Any]) -> RoutedService:
    """The service that `manifest` describes.

    What the spec says in a way that this release doesn't know is left out: requests then go by weight, and an abort,
    which is the status's to say, still reaches the routers.

    Raises InvalidSpec: one unusable object must not reach the routers, who refuse a whole update for it.
    """
    try:
        parsed = _InferenceService.model_validate(manifest)
        status = parsed.status
        canary = status.canary if status.stable else None
        timeouts = [seconds(revision.timeout) for revision in (status.stable, canary) if revision]
    except (ValidationError, ValueError) as error:
        raise InvalidSpec(f"InferenceService can't be routed: {error}") from error
    rollout, unread = _rollout(manifest)
    known = [each for each in (status.stable, canary, *(status.retiring or ())) if each]
    return RoutedService(
        namespace=parsed.metadata.namespace,
        name=parsed.metadata.name,
        uid=parsed.metadata.uid,
        timeout_seconds=max(timeouts, default=seconds(_DEFAULT_TIMEOUT)),
        stable=status.stable.revision if status.stable else None,
        canary=canary.revision if canary else None,
        canary_weight=canary.weight if canary else 0,
        retiring=tuple(revision.revision for revision in status.retiring or ()),
        canary_ready=canary is not None and canary.ready_replicas > 0,
        matches=tuple(Match(tuple(each.header.items()), tuple(each.cookie.items())) for each in rollout.match),
        sticky=Sticky(rollout.sticky.header, rollout.sticky.cookie) if rollout.sticky else None,
        by_router=_by_router(manifest),
        direct=_comes_by(manifest, "Direct"),
        unproxied=_comes_by(manifest, "Direct", "Service"),
        grpc=((manifest.get("spec") or {}).get("routing") or {}).get("grpc") is True,
        unread=unread,
        health_paths={each.revision: each.health_path for each in known if each.health_path},
    )


def _rollout(manifest: Mapping[str, Any]) -> tuple[_Rollout, str | None]:
    """What the spec says of routing during a rollout, and why it can't be followed, if it can't."""
    try:
        return _Rollout.model_validate((manifest.get("spec") or {}).get("rollout") or {}), None
    except ValidationError as error:
        return _Rollout(), f"spec.rollout.match and sticky can't be followed: {error}"


def _by_router(manifest: Mapping[str, Any]) -> bool:
    """Whether callers may come by the routers: not once all of them go to the pods themselves, and are to stay."""
    wanted, present = _ways(manifest)
    return not present or {wanted, *present} - {"Service", "Direct"} != set()


def _comes_by(manifest: Mapping[str, Any], *ways: str) -> bool:
    """Whether callers may come by one of these ways: of a service that never had a way, if they are to."""
    wanted, present = _ways(manifest)
    return not (present or {wanted}).isdisjoint(ways)


def _ways(manifest: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The way that the spec asks for, and those that the status says are there; none of the routers alone."""
    wanted = ((manifest.get("spec") or {}).get("routing") or {}).get("provider", "Router")
    routing = (manifest.get("status") or {}).get("routing") or {}
    return wanted, {way for name in ("provider", "coming", "leaving") if (way := routing.get(name))}
