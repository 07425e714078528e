"""What the routers' objects are called. Pure."""

from typing import Final, NamedTuple

from tidegate_operator import naming
from tidegate_operator.naming import (
    ADMIN_PORT,
    DATA_PORT,
    GRPC_PORT,
    HOP_HEADER,
    REVISION_LABEL,
    ROUTE_HEADER,
    UID_HEADER,
    WEIGHTS_PATH,
    XDS_PORT,
    external_host,
    service_of,
)

__all__ = [
    "ADMIN_PORT",
    "DATA_PORT",
    "GRPC_PORT",
    "HOP_HEADER",
    "REVISION_LABEL",
    "ROUTE_HEADER",
    "UID_HEADER",
    "WEIGHTS_PATH",
    "XDS_PORT",
]

XDS_CLUSTER = "xds"
"""The cluster in the routers' static bootstrap that leads to this process."""

LISTENER = "data"
ROUTES = "data"
REVISION_HEADER = "x-tidegate-revision"
METADATA = "tidegate"
"""The namespace of the metadata that an endpoint carries: the revision it belongs to."""


class Wire(NamedTuple):
    """A protocol that pods speak on a port of their own, and so one that has clusters of its own."""

    suffix: str
    port: int


REST: Final = Wire("", DATA_PORT)
GRPC: Final = Wire("/grpc", GRPC_PORT)


def pods_cluster(namespace: str, revision: str, wire: Wire = REST) -> str:
    """The cluster of a revision's pods, told by EDS."""
    return f"{namespace}/{revision}{wire.suffix}/pods"


def dns_cluster(namespace: str, revision: str, wire: Wire = REST) -> str:
    """The cluster of the same pods as the cluster's DNS knows them."""
    return f"{namespace}/{revision}{wire.suffix}/dns"


def fallback_cluster(namespace: str, canary: str, wire: Wire = REST) -> str:
    """The cluster of stable's pods for requests that `canary` was to answer: Envoy counts by cluster."""
    return f"{namespace}/{canary}{wire.suffix}/fallback"


def revision_cluster(namespace: str, revision: str, wire: Wire = REST) -> str:
    """The aggregate cluster that routes name."""
    return f"{namespace}/{revision}{wire.suffix}"


def match_cluster(namespace: str, service: str, wire: Wire = REST) -> str:
    """The aggregate cluster for requests that go to the canary whatever its weight."""
    return f"{namespace}/{service}{wire.suffix}/match"


def health_path(revision: str) -> str:
    """What a pod is asked to tell whether it serves this very revision.

    An address that went from a removed pod to another service's pod within a check's interval fails it.
    """
    return f"/v2/models/{service_of(revision)}/versions/{revision}/ready"


def virtual_host(namespace: str, service: str) -> str:
    """The virtual host of a service."""
    return f"{namespace}/{service}"


def hosts(namespace: str, service: str, domain: str, external: str = "") -> list[str]:
    """The names by which callers reach a service; ports are stripped before they are compared.

    `external` is the domain by which callers from outside the cluster do; none: they don't.
    """
    inside = naming.hosts(service, namespace, domain)
    return [*inside, external_host(service, namespace, external)] if external else inside


def headless_host(namespace: str, revision: str, domain: str) -> str:
    """A revision's headless Service in DNS, absolute, so that no search domain is tried."""
    return f"{revision}.{namespace}.svc.{domain}."
