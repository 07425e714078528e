"""Which kinds Tidegate handles, where the API server has them, and what of an object counts as its content."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate_operator import naming

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
ENDPOINT_SLICE = Kind("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices")

CHILDREN = (DEPLOYMENT, RECORD, SERVICE, AUTOSCALER, BUDGET)
"""What the controller makes for an InferenceService, and removes when it is no longer wanted."""

BY_NAME = {kind.name: kind for kind in (SERVICES, *CHILDREN, POD, ENDPOINT_SLICE)}


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
        "annotations": metadata.get("annotations"),
        "owners": metadata.get("ownerReferences"),
        **{key: value for key, value in item.items() if key not in ("metadata", "status", "kind", "apiVersion")},
    }
    return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()
