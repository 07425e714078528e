"""What the routers need to know of an InferenceService: parts of its `status`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from tidegate_operator.api.schema import seconds
from tidegate_operator.errors import InvalidSpec

_Label = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
_DEFAULT_TIMEOUT = "30s"


@dataclass(frozen=True)
class RoutedService:
    """A service as the routers see it; `canary_weight` is percent of its requests, the rest are stable's.

    `timeout_seconds` is the longer of the two revisions': a weight is drawn after the time-out is set, and a canary
    that gives up sooner must not take stable's requests along.
    """

    namespace: str
    name: str
    timeout_seconds: float
    stable: str | None
    canary: str | None
    canary_weight: int
    retiring: tuple[str, ...]


class _Metadata(BaseModel):
    name: _Label
    namespace: _Label


class _Revision(BaseModel):
    revision: _Label
    weight: Annotated[int, Field(ge=0, le=100)] = 0
    timeout: str = _DEFAULT_TIMEOUT


class _Status(BaseModel):
    stable: _Revision | None = None
    canary: _Revision | None = None
    retiring: list[_Revision] | None = None


class _InferenceService(BaseModel):
    # Deliberately looser than the CRD's own model: a replica may be a release older than the objects it reads.
    metadata: _Metadata
    status: _Status = _Status()


def read(manifest: Mapping[str, Any]) -> RoutedService:
    """The service that `manifest` describes.

    Raises InvalidSpec: one unusable object must not reach the routers, who refuse a whole update for it.
    """
    try:
        parsed = _InferenceService.model_validate(manifest)
        status = parsed.status
        canary = status.canary if status.stable else None
        timeouts = [seconds(revision.timeout) for revision in (status.stable, canary) if revision]
    except (ValidationError, ValueError) as error:
        raise InvalidSpec(f"InferenceService can't be routed: {error}") from error
    return RoutedService(
        namespace=parsed.metadata.namespace,
        name=parsed.metadata.name,
        timeout_seconds=max(timeouts, default=seconds(_DEFAULT_TIMEOUT)),
        stable=status.stable.revision if status.stable else None,
        canary=canary.revision if canary else None,
        canary_weight=canary.weight if canary else 0,
        retiring=tuple(revision.revision for revision in status.retiring or ()),
    )
