"""Which kinds Tidegate handles, where the API server has them, and what of an object counts as its content."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate_operator import naming
from tidegate_operator.observed import settled

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of object and its place in the API."""

    name: str
    group: str
    version: str
    plural: str

    @property
    def api_version(self) -> str:
        """`apiVersion` as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def collection(self, namespace: str | None = None) -> str:
        """The path of all objects of this kind, in `namespace` or everywhere."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"

    def collections(self, namespaces: Iterable[str] = ()) -> list[str]:
        """The paths of all objects of this kind in `namespaces`; everywhere, if there are none."""
        return [self.collection(namespace) for namespace in namespaces] or [self.collection()]

    def path(self, namespace: str, name: str) -> str:
        """The path of one object."""
        return f"{self.collection(namespace)}/{name}"


SERVICES = Kind(naming.KIND, naming.GROUP, naming.VERSION, naming.PLURAL)
DEPLOYMENT = Kind("Deployment", "apps", "v1", "deployments")
RECORD = Kind("ControllerRevision", "apps", "v1", "controllerrevisions")
SERVICE = Kind("Service", "", "v1", "services")
AUTOSCALER = Kind("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers")
BUDGET = Kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets")
POD = Kind("Pod", "", "v1", "pods")
NODE = Kind("Node", "", "v1", "nodes")
QUOTA = Kind("ResourceQuota", "", "v1", "resourcequotas")
CONFIG_MAP = Kind("ConfigMap", "", "v1", "configmaps")
ENDPOINT_SLICE = Kind("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices")

HTTP_ROUTE = Kind("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes")
GRPC_ROUTE = Kind("GRPCRoute", "gateway.networking.k8s.io", "v1", "grpcroutes")

CHILDREN = (DEPLOYMENT, RECORD, SERVICE, AUTOSCALER, BUDGET, CONFIG_MAP)
"""What the controller makes for an InferenceService, and removes when it is no longer wanted."""
ROUTES = (HTTP_ROUTE, GRPC_ROUTE)
"""The same, where a cluster has the Gateway API; nobody watches them."""

BY_NAME = {kind.name: kind for kind in (SERVICES, *CHILDREN, *ROUTES, POD, ENDPOINT_SLICE)}


_BY_PLURAL = {kind.plural: kind.name for kind in (*BY_NAME.values(), Kind("Event", "", "v1", "events"))}

_UNREAD_STATUS = frozenset({RECORD.name, SERVICE.name, BUDGET.name})
"""Kinds of whose status no decision reads anything."""
_BOOKKEEPING = frozenset({"resourceVersion", "managedFields", "annotations"})
"""Metadata that changes with what others do to an object."""
_THEIR_ANNOTATION = "deployment.kubernetes.io/revision"
"""Written by Kubernetes' own controller to every Deployment."""


def kind_at(path: str) -> str:
    """The kind of the object, or the collection, at a path of the API; the kind's plural where it is none of ours."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    plural = rest[2] if rest[0] == "namespaces" and len(rest) > 2 else rest[0]
    return _BY_PLURAL.get(plural, plural)


def matters(before: Object | None, after: Object) -> bool:
    """Whether a pass may come to something else by `after` than by `before`, an older version of the same object."""
    return before is None or _telling(before) != _telling(after)


def _telling(item: Object) -> dict[str, Any]:
    """What decisions, and applies, look at."""
    kind, status = item["kind"], item.get("status", {})
    told = {key: value for key, value in item.items() if key not in ("metadata", "status")}
    told["metadata"] = {key: value for key, value in item["metadata"].items() if key not in _BOOKKEEPING}
    told["annotations"] = _annotations(item)
    if kind == DEPLOYMENT.name:
        conditions = [c for c in status.get("conditions", []) if c["type"] == "ReplicaFailure"]
        told["status"] = [conditions, status.get("readyReplicas"), settled(item)]
    elif kind == AUTOSCALER.name:
        told["status"] = [c for c in status.get("conditions", []) if c["type"] == "ScalingActive"]
    elif kind not in _UNREAD_STATUS:
        told["status"] = status
    return told


def version_of(item: Object) -> int:
    """The object's resourceVersion, which grows with every change of a kind's objects (KEP-5504)."""
    return int(item["metadata"]["resourceVersion"])


def owned_by(item: Object, uid: str) -> bool:
    """Whether the InferenceService with `uid` is the controller of `item`."""
    references = item["metadata"].get("ownerReferences", [])
    return any(reference.get("controller") and reference["uid"] == uid for reference in references)


def fingerprint(item: Object) -> str:
    """A digest of what people and controllers declare in `item`; status and bookkeeping don't change it."""
    metadata = item["metadata"]
    declared = {
        "labels": metadata.get("labels"),
        "annotations": _annotations(item),
        "owners": metadata.get("ownerReferences"),
        **{key: value for key, value in item.items() if key not in ("metadata", "status", "kind", "apiVersion")},
    }
    return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()


def _annotations(item: Object) -> dict[str, str]:
    found = item["metadata"].get("annotations") or {}
    return {key: value for key, value in found.items() if key != _THEIR_ANNOTATION}
