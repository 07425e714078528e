"""EndpointSlices → the endpoints of a revision. Pure.

Only `ready` endpoints are told. A pod that terminates still answers (`serving`), but Envoy keeps a host that is no
longer told as long as its health check passes, so nothing is lost by leaving it out, and a router that starts now
doesn't meet it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate_operator.xds import names
from tidegate_operator.xds.clusters import Resource, endpoint, load_assignment

_ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_FAMILIES = ("IPv4", "IPv6")


@dataclass(frozen=True)
class Slice:
    """The ready addresses of one EndpointSlice."""

    namespace: str
    revision: str
    family: str
    port: int
    addresses: frozenset[str]


def read(manifest: Mapping[str, Any]) -> Slice | None:
    """What an EndpointSlice tells; None if it belongs to no revision or its addresses are no IP addresses."""
    metadata = manifest["metadata"]
    revision = (metadata.get("labels") or {}).get(names.REVISION_LABEL)
    family = manifest.get("addressType")
    if not revision or family not in _FAMILIES:
        return None
    return Slice(
        namespace=metadata["namespace"],
        revision=revision,
        family=family,
        port=_port(manifest.get("ports") or ()),
        addresses=frozenset(
            # The API says that an endpoint's addresses are interchangeable, and that clients should use the first.
            each["addresses"][0]
            for each in manifest.get("endpoints") or ()
            if _ready(each) and each.get("addresses")
        ),
    )


def hosts(slices: Iterable[Slice]) -> list[tuple[str, int]]:
    """Addresses and ports, each once, in a fixed order; of a dual-stack Service, those of one family."""
    told = [each for each in slices if each.addresses]
    family = next((f for f in _FAMILIES if any(each.family == f for each in told)), None)
    return sorted({(address, each.port) for each in told if each.family == family for address in each.addresses})


def assignment(namespace: str, revision: str, slices: Iterable[Slice]) -> Resource:
    """The endpoints of a revision."""
    return {
        "@type": _ASSIGNMENT,
        **load_assignment(
            names.pods_cluster(namespace, revision),
            [endpoint(address, port, revision) for address, port in hosts(slices)],
        ),
    }


def _ready(each: Mapping[str, Any]) -> bool:
    """An absent or null condition means ready (EndpointConditions)."""
    return (each.get("conditions") or {}).get("ready") is not False


def _port(ports: Iterable[Mapping[str, Any]]) -> int:
    by_name = {port.get("name"): port.get("port") for port in ports}
    return by_name.get("http") or names.DATA_PORT
