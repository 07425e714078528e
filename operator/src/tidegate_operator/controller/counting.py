"""Counts what is written, by kind and verb."""

from collections.abc import Mapping

from prometheus_client import Counter

from tidegate_operator.kube.client import Cluster, Manifest
from tidegate_operator.kube.objects import kind_at


class Counted:
    """`Cluster` whose writes are counted, whatever comes of them."""

    def __init__(self, cluster: Cluster, writes: Counter) -> None:
        self._cluster = cluster
        self._writes = writes

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Manifest:
        """See `Cluster.get`."""
        return await self._cluster.get(path, query)

    async def apply(self, path: str, manifest: Manifest, manager: str, *, force: bool = True) -> Manifest:
        """See `Cluster.apply`."""
        self._writes.labels(kind_at(path), "apply").inc()
        return await self._cluster.apply(path, manifest, manager, force=force)

    async def create(self, path: str, manifest: Manifest) -> Manifest:
        """See `Cluster.create`."""
        self._writes.labels(kind_at(path), "create").inc()
        return await self._cluster.create(path, manifest)

    async def replace(self, path: str, manifest: Manifest) -> Manifest:
        """See `Cluster.replace`."""
        self._writes.labels(kind_at(path), "replace").inc()
        return await self._cluster.replace(path, manifest)

    async def delete(self, path: str, uid: str | None = None) -> Manifest:
        """See `Cluster.delete`."""
        self._writes.labels(kind_at(path), "delete").inc()
        return await self._cluster.delete(path, uid)
