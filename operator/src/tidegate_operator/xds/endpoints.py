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
    grpc_port: int | None
    """Where the pods speak gRPC; None if the Service doesn't lead there."""
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
        port=_ports(manifest).get("http") or names.DATA_PORT,
        grpc_port=_ports(manifest).get("grpc"),
        addresses=frozenset(
            # The API says that an endpoint's addresses are interchangeable, and that clients should use the first.
            each["addresses"][0]
            for each in manifest.get("endpoints") or ()
            if _ready(each) and each.get("addresses")
        ),
    )


def hosts(slices: Iterable[Slice]) -> list[tuple[str, int]]:
    """Addresses and ports, each once, in a fixed order; of a dual-stack Service, those of one family."""
    return sorted({(address, each.port) for each in _of_one_family(slices) for address in each.addresses})


def _of_one_family(slices: Iterable[Slice]) -> list[Slice]:
    told = [each for each in slices if each.addresses]
    family = next((f for f in _FAMILIES if any(each.family == f for each in told)), None)
    return [each for each in told if each.family == family]


def assignment(namespace: str, revision: str, slices: Iterable[Slice], wire: names.Wire = names.REST) -> Resource:
    """The endpoints of a revision by `wire`, each once and in order; of a dual-stack Service, those of one family."""
    if wire == names.REST:
        found = [(address, port, 0) for address, port in hosts(slices)]
    else:
        own = [(each, port) for each in _of_one_family(slices) if (port := each.grpc_port)]
        found = sorted({(address, port, each.port) for each, port in own for address in each.addresses})
    return {
        "@type": _ASSIGNMENT,
        **load_assignment(
            names.pods_cluster(namespace, revision, wire),
            [endpoint(address, port, revision, health_port) for address, port, health_port in found],
        ),
    }


def _ready(each: Mapping[str, Any]) -> bool:
    """An absent or null condition means ready (EndpointConditions)."""
    return (each.get("conditions") or {}).get("ready") is not False


def _ports(manifest: Mapping[str, Any]) -> dict[str, int]:
    """The ports that a slice tells, by name."""
    return {each["name"]: each["port"] for each in manifest.get("ports") or () if each.get("name") and each.get("port")}
