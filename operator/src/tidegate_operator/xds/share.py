"""What a revision's pods do with requests besides answering them, as the document of docs/api.md. Pure.

Stable's pods copy some to the canary, and where callers come to pods with nothing between they hand some over to it;
those of a revision that retires hand all over to stable, and connections get only so old.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError

from tidegate_operator.xds.endpoints import Slice, hosts
from tidegate_operator.xds.service import Match, RoutedService, Sticky
from tidegate_operator.xds.versions import Version

DOCUMENT_VERSION = 1

MAX_TARGETS = 256
"""As many as a pod takes; each keeps connections to a few."""

CONNECTION_SECONDS: Final = 300
"""Without a proxy callers are shared out by connections, and would stay where they are when pods are added."""

NOTHING: Final = b'"shadow":null,"handover":null'
"""The `content` for pods that answer all they get, and copy nothing."""


@dataclass(frozen=True)
class Handover:
    """Which requests pods hand over."""

    percent: int
    """The share of those that don't match; 0: pods only see whether they can reach the others."""
    leaving: bool = False
    """Whether callers should come to other pods: each connection ends with its next answer."""
    matches: tuple[Match, ...] = ()
    """Requests that are handed over whatever the share is."""
    sticky: Sticky | None = None
    """By which key the rest is drawn; None: each request on its own."""
    timeout_seconds: float = 30.0
    """What either revision gives a request, the longer of the two."""


@dataclass(frozen=True)
class Share:
    """What the pods of one revision are told."""

    namespace: str
    revision: str
    target: str | None = None
    """The revision whose pods get requests, or copies of them; None: nobody does."""
    copied: float = 0
    """Percent of requests that are copied."""
    handover: Handover | None = None
    connection_seconds: int | None = None
    """About how old connections get; None: as old as callers like."""


class _Shadow(BaseModel):
    # Looser than the CRD's own model: a replica may be a release older than the objects it reads.
    percent: Annotated[float, Field(ge=0, le=100)] = 0


class _Rollout(BaseModel):
    shadow: _Shadow | None = None


def read(manifest: Mapping[str, Any], routed: RoutedService) -> tuple[Share, ...]:
    """What is told to whom of a service that `manifest` describes and that is routed so; mostly nothing to anybody."""
    if routed.stable is None:
        return ()
    shares = []
    copied = _copied(manifest, routed)
    handed = (
        Handover(routed.canary_weight, False, routed.matches, routed.sticky, routed.timeout_seconds)
        if routed.direct
        else None
    )
    age = CONNECTION_SECONDS if routed.unproxied else None
    if routed.canary and (copied or handed):
        shares.append(Share(routed.namespace, routed.stable, routed.canary, copied, handed, age))
    elif age:
        shares.append(Share(routed.namespace, routed.stable, connection_seconds=age))
    if routed.direct:
        leave = Handover(100, leaving=True, timeout_seconds=routed.timeout_seconds)
        gone = [each for each in routed.retiring if each not in (routed.stable, routed.canary)]
        shares += [Share(routed.namespace, each, routed.stable, handover=leave) for each in gone]
    return tuple(shares)


def _copied(manifest: Mapping[str, Any], routed: RoutedService) -> float:
    """Percent of requests that stable's pods copy to the canary.

    None once the canary has a weight: its own requests are the evidence then. None to one that is rolled back to, for
    it is known. Nor any where the spec says it in a way that this release doesn't know, since copies must never be more
    than was asked for.
    """
    if ((manifest.get("status") or {}).get("rollout") or {}).get("phase") == "RollingBack":
        return 0
    try:
        shadow = _Rollout.model_validate((manifest.get("spec") or {}).get("rollout") or {}).shadow
    except ValidationError:
        return 0
    return 0 if shadow is None or routed.canary_weight else shadow.percent


def content(share: Share, slices: Iterable[Slice]) -> bytes:
    """The document's `shadow` and `handover`, as JSON. `slices` are those of the share's target."""
    targets = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in hosts(slices)]
    to = {"revision": share.target, "targets": targets[:MAX_TARGETS]}
    told = {
        "shadow": {"percent": share.copied, **to} if share.copied else None,
        "handover": {**to, **_told(share.handover)} if share.handover else None,
        **({"connectionSeconds": share.connection_seconds} if share.connection_seconds else {}),
    }
    return json.dumps(told, separators=(",", ":")).encode()[1:-1]


def _told(handover: Handover) -> dict[str, Any]:
    sticky = handover.sticky
    return {
        "percent": handover.percent,
        "leaving": handover.leaving,
        "timeoutSeconds": handover.timeout_seconds,
        "match": [{"header": dict(each.headers), "cookie": dict(each.cookies)} for each in handover.matches],
        "sticky": ({"header": sticky.header} if sticky.header else {"cookie": sticky.cookie}) if sticky else None,
    }


def document(version: Version, parts: Iterable[bytes]) -> bytes:
    """The whole, around its `content`."""
    return b'{"version":%d,"revision":"%s",%s}' % (DOCUMENT_VERSION, str(version).encode(), b"".join(parts))
