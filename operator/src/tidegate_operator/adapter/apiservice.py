"""The registration of `custom.metrics.k8s.io` with the API server, made by the adapter once it serves.

A chart couldn't: an APIService without a server behind it leaves every deleted namespace Terminating.
"""

import logging
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from tidegate_operator import errors
from tidegate_operator.adapter.names import ADAPTER, MANAGER, METRICS_GROUP, METRICS_VERSIONS, SERVICE_PORT
from tidegate_operator.kube.client import Cluster
from tidegate_operator.naming import MANAGED_BY, MANAGED_BY_LABEL

logger = logging.getLogger(__name__)

_COLLECTION = "/apis/apiregistration.k8s.io/v1/apiservices"
_CLUSTER_ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


async def owner_reference(cluster: Cluster, cluster_role: str) -> dict[str, Any]:
    """The reference that ties what the adapter creates to the install's ClusterRole, so that it goes with it.

    A cluster-scoped object such as an APIService can't belong to a namespaced one. Raises errors.ApiError.
    """
    role = await cluster.get(f"{_CLUSTER_ROLES}/{cluster_role}")
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "name": cluster_role,
        "uid": role["metadata"]["uid"],
    }


async def register(cluster: Cluster, namespace: str, authorities: bytes, owner: Mapping[str, Any]) -> str | None:
    """Make the group's versions this install's; else the description of the provider that has it, left as it is.

    Raises errors.ApiError.
    """
    found: dict[str, Mapping[str, Any] | None] = {}
    for version in METRICS_VERSIONS:
        found[version] = await _read(cluster, version)
    foreign = [provider for api in found.values() if api is not None and (provider := other_provider(api, namespace))]
    if foreign:
        return foreign[0]
    for version, current in found.items():
        wanted = api_service(version, namespace, authorities, owner)
        if current is None:
            try:
                await cluster.create(_COLLECTION, wanted)
            except errors.Conflict:
                continue  # someone was quicker; the next look tells who
            logger.info("metrics API registered", extra={"api_service": wanted["metadata"]["name"]})
        elif not up_to_date(current, wanted):
            await cluster.apply(f"{_COLLECTION}/{wanted['metadata']['name']}", wanted, MANAGER)
            logger.info("metrics API registration updated", extra={"api_service": wanted["metadata"]["name"]})
    return None


def api_service(version: str, namespace: str, authorities: bytes, owner: Mapping[str, Any]) -> dict[str, Any]:
    """The APIService of one version, trusting the authorities in PEM."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {
            "name": f"{version}.{METRICS_GROUP}",
            "labels": {MANAGED_BY_LABEL: MANAGED_BY},
            "ownerReferences": [dict(owner)],
        },
        "spec": {
            "group": METRICS_GROUP,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100 * (len(METRICS_VERSIONS) - METRICS_VERSIONS.index(version)),
            "service": {"name": ADAPTER, "namespace": namespace, "port": SERVICE_PORT},
            "caBundle": b64encode(authorities).decode(),
        },
    }


def other_provider(current: Mapping[str, Any], namespace: str) -> str | None:
    """Who serves an APIService, as `namespace/service`, or None if it is this install."""
    service = current["spec"].get("service")
    if service is None:
        return "the API server itself"
    if (service["namespace"], service["name"]) == (namespace, ADAPTER):
        return None
    return f"{service['namespace']}/{service['name']}"


def up_to_date(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an APIService already trusts the current authorities and belongs to the current owner."""
    owners = [owner["uid"] for owner in current["metadata"].get("ownerReferences") or ()]
    same_owner = owners == [owner["uid"] for owner in wanted["metadata"]["ownerReferences"]]
    return same_owner and current["spec"].get("caBundle") == wanted["spec"]["caBundle"]


async def _read(cluster: Cluster, version: str) -> Mapping[str, Any] | None:
    try:
        return await cluster.get(f"{_COLLECTION}/{version}.{METRICS_GROUP}")
    except errors.NotFound:
        return None
