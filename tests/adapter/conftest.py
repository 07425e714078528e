import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tidegate_operator import errors
from tidegate_operator.adapter.exposition import Reading
from tidegate_operator.adapter.percentile import Bucket

# Else pytest-asyncio makes a loop while it looks for one to put back after the first test, and nobody closes it.
asyncio.set_event_loop(None)

BOUNDS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, float("inf"))


@pytest.fixture
def reading() -> Callable[..., Reading]:
    """A reading with `{upper bound in seconds: requests answered since the process started}`."""

    def build(answered: Mapping[float, int] | None = None, queue: float = 0.0) -> Reading:
        counts = {Bucket(upper, BOUNDS[BOUNDS.index(upper) - 1]): n for upper, n in (answered or {}).items()}
        return Reading(gauges={"tidegate_queue_depth": queue, "tidegate_inflight": queue + 1}, answered=counts)

    return build


@pytest.fixture
def pod_body() -> Callable[..., dict[str, Any]]:
    """A runtime pod as the API server has it."""

    def build(
        name: str = "churn-6f3c9d1a-x",
        *,
        namespace: str = "ml",
        service: str = "churn",
        revision: str = "churn-6f3c9d1a",
        address: str | None = "10.0.0.1",
        ready: bool = True,
        since: str = "1970-01-01T00:00:00Z",
        **metadata: Any,
    ) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "uid": f"uid-{namespace}-{name}",
                "name": name,
                "namespace": namespace,
                "creationTimestamp": "1970-01-01T00:00:00Z",
                "labels": {"tidegate.dev/service": service, "tidegate.dev/revision": revision},
                **metadata,
            },
            "status": {
                "phase": "Running",
                "podIP": address,
                "conditions": [
                    {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since},
                ],
            },
        }

    return build


@pytest.fixture
def service_body() -> Callable[..., dict[str, Any]]:
    """An InferenceService as the API server has it."""

    def build(name: str = "churn", namespace: str = "ml", **scaling: Any) -> dict[str, Any]:
        return {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "InferenceService",
            "metadata": {"name": name, "namespace": namespace, "labels": {"team": "growth"}},
            "spec": {"scaling": scaling},
        }

    return build


class MemoryCluster:
    """An API server's objects by path, with its rules for creating and replacing.

    `before` is called ahead of a write."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.writes: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda verb, path: None
        self._version = 0

    def put(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self._version += 1
        metadata = {**manifest["metadata"], "resourceVersion": str(self._version)}
        self.objects[path] = {**manifest, "metadata": metadata}
        return self.objects[path]

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        if path not in self.objects:
            raise errors.NotFound(f"{path} not found", 404)
        return self.objects[path]

    async def create(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        named = f"{path}/{manifest['metadata']['name']}"
        self._write("create", named)
        if named in self.objects:
            raise errors.Conflict(f"{named} already exists", 409)
        return self.put(named, manifest)

    async def replace(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self._write("replace", path)
        if self.objects[path]["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise errors.Conflict(f"{path} has been modified", 409)
        return self.put(path, manifest)

    async def apply(
        self, path: str, manifest: Mapping[str, Any], manager: str, *, force: bool = True
    ) -> dict[str, Any]:
        self._write(f"apply by {manager}", path)
        return self.put(path, manifest)

    async def delete(self, path: str, uid: str | None = None) -> dict[str, Any]:
        return self.objects.pop(path)

    def _write(self, verb: str, path: str) -> None:
        self.before(verb, path)
        self.writes.append((verb, path))


@pytest.fixture
def cluster() -> MemoryCluster:
    """A cluster with what an install and a front proxy need."""
    memory = MemoryCluster()
    memory.put(
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/tidegate-metrics-adapter",
        {"metadata": {"name": "tidegate-metrics-adapter", "uid": "role-uid"}},
    )
    return memory
