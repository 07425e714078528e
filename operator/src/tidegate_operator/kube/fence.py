"""Writes only while the Lease can't have run out, whatever has held this process up since it was renewed.

A process that was stopped, or whose machine slept, goes on where it was: in the midst of a pass, before it could notice
that another one leads by now.
"""

import asyncio
from collections.abc import Mapping

from tidegate_operator import errors
from tidegate_operator.kube.client import Cluster, Manifest
from tidegate_operator.process.ticks import until


class LostLeadership(errors.OperatorError):
    """The Lease could not be renewed in time: another replica may lead by now."""


class Fence:
    """Until when, on the loop's clock, this process may write; closed at first."""

    def __init__(self) -> None:
        self.until = float("-inf")

    def open_until(self, moment: float) -> None:
        """Let writes pass until `moment`; an earlier one than before changes nothing."""
        self.until = max(self.until, moment)

    def check(self) -> None:
        """Raise LostLeadership unless writes may pass now."""
        if asyncio.get_running_loop().time() >= self.until:
            raise LostLeadership("the Lease may have run out since it was renewed last: nothing is written any more")

    async def closed(self) -> None:
        """Return once no write may pass any more."""
        loop = asyncio.get_running_loop()
        while loop.time() < self.until:
            await until(self.until)


class Fenced:
    """`Cluster` whose writes a fence lets pass, or raises LostLeadership for."""

    def __init__(self, cluster: Cluster, fence: Fence) -> None:
        self._cluster = cluster
        self._fence = fence

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Manifest:
        """See `Cluster.get`."""
        return await self._cluster.get(path, query)

    async def apply(self, path: str, manifest: Manifest, manager: str, *, force: bool = True) -> Manifest:
        """See `Cluster.apply`."""
        self._fence.check()
        return await self._cluster.apply(path, manifest, manager, force=force)

    async def create(self, path: str, manifest: Manifest) -> Manifest:
        """See `Cluster.create`."""
        self._fence.check()
        return await self._cluster.create(path, manifest)

    async def replace(self, path: str, manifest: Manifest) -> Manifest:
        """See `Cluster.replace`."""
        self._fence.check()
        return await self._cluster.replace(path, manifest)

    async def delete(self, path: str, uid: str | None = None) -> Manifest:
        """See `Cluster.delete`."""
        self._fence.check()
        return await self._cluster.delete(path, uid)
