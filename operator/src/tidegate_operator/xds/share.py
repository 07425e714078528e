"""What share of their requests a stable revision's pods copy to the canary, as the document of docs/api.md. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from tidegate_operator.xds.endpoints import Slice, hosts
from tidegate_operator.xds.service import RoutedService
from tidegate_operator.xds.versions import Version

DOCUMENT_VERSION = 1

MAX_TARGETS = 256
"""As many as a pod takes; each sends its copies to a few."""


@dataclass(frozen=True)
class ShadowedService:
    """A service whose stable revision copies `percent` of its requests to the canary."""

    namespace: str
    stable: str
    canary: str
    percent: float


class _Shadow(BaseModel):
    # Looser than the CRD's own model: a replica may be a release older than the objects it reads.
    percent: Annotated[float, Field(ge=0, le=100)] = 0


class _Rollout(BaseModel):
    shadow: _Shadow | None = None


def read(manifest: Mapping[str, Any], routed: RoutedService) -> ShadowedService | None:
    """What is copied of a service that `manifest` describes and that is routed so; None: nothing.

    Nothing is once the canary has a weight: its own requests are the evidence then. Nor is anything where the spec says
    it in a way that this release doesn't know, since copies must never be more than was asked for.
    """
    try:
        shadow = _Rollout.model_validate((manifest.get("spec") or {}).get("rollout") or {}).shadow
    except ValidationError:
        return None
    if shadow is None or not shadow.percent or routed.stable is None or routed.canary is None or routed.canary_weight:
        return None
    return ShadowedService(routed.namespace, routed.stable, routed.canary, shadow.percent)


def content(shadowed: ShadowedService | None, slices: Iterable[Slice]) -> bytes:
    """The document's `shadow`, as JSON. `slices` are those of the canary."""
    if shadowed is None:
        return b"null"
    targets = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in hosts(slices)]
    told = {"percent": shadowed.percent, "revision": shadowed.canary, "targets": targets[:MAX_TARGETS]}
    return json.dumps(told, separators=(",", ":")).encode()


def document(version: Version, parts: Iterable[bytes]) -> bytes:
    """The whole, around its `content`."""
    return b'{"version":%d,"revision":"%s","shadow":%s}' % (DOCUMENT_VERSION, str(version).encode(), b"".join(parts))
