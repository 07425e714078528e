"""Leadership by a Lease, with the official client's election, whose calls are bounded in time here.

A leader that can't renew in time ends its process: the only way to be sure that it writes nothing more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration, V1Lease, V1ObjectMeta
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from tidegate_operator import errors
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.fence import Fence, LostLeadership

logger = logging.getLogger(__name__)

LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 15, 10, 2
_CALL_SECONDS = 3


FENCE_SECONDS = LEASE_SECONDS - _CALL_SECONDS
"""How long after a renewal was asked for writes may begin: whoever succeeds waits longer, from when it saw that one."""


class _PromptLock(LeaseLock):
    """A LeaseLock whose calls end in time, and fail only as the election expects; what it is given opens the fence."""

    def __init__(self, name: str, namespace: str, identity: str, client: ApiClient, fence: Fence) -> None:
        super().__init__(name, namespace, identity, client)
        self._fence = fence

    async def get(self, name: str, namespace: str) -> Any:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await super().get(name, namespace)
        except (TimeoutError, aiohttp.ClientError) as error:
            return False, ApiException(status=0, reason=str(error) or "time-out")

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        # The library's own passes pretty=True where its API takes a string, and fails on every call (37.0.2).
        lease = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        asked_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self.api_instance.create_namespaced_lease(namespace, lease)
        except (TimeoutError, aiohttp.ClientError, ApiException):
            return False
        self._fence.open_until(asked_at + FENCE_SECONDS)
        return True

    async def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        asked_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                held = bool(await super().update(name, namespace, updated_record))
        except (TimeoutError, aiohttp.ClientError):
            return False
        if held:
            self._fence.open_until(asked_at + FENCE_SECONDS)
        return held


async def lead(
    configuration: Configuration,
    namespace: str,
    name: str,
    identity: str,
    work: Callable[[], Awaitable[None]],
    fence: Fence,
) -> None:
    """Wait for the Lease, then run `work` for as long as it is held; returns, or raises, when `work` does.

    `fence` is open while the Lease can't have run out. Raises LostLeadership when the Lease no longer is held. Once
    this is over, `work` is too.
    """
    leading = asyncio.Event()

    async def begin() -> None:
        leading.set()

    async def work_when_leading() -> None:
        # Not as the election's own task: that isn't looked at when it fails, and outlives the election's.
        await leading.wait()
        logger.info("leads", extra={"lease": f"{namespace}/{name}", "identity": identity})
        await work()

    async def time_is_up() -> None:
        # The election tries for a while before it gives up; after this process was stopped there is none left.
        await leading.wait()
        await fence.closed()

    async def renewals_fail() -> None:
        """Nothing more: that the election returns says it."""

    async with ApiClient(configuration) as client:
        lock = _PromptLock(name, namespace, identity, client, fence)
        config = Config(
            lock,
            lease_duration=LEASE_SECONDS,
            renew_deadline=RENEW_SECONDS,
            retry_period=RETRY_SECONDS,
            onstarted_leading=begin,
            onstopped_leading=renewals_fail,
        )
        election = asyncio.create_task(LeaderElection(config).run(), name="lease")
        working = asyncio.create_task(work_when_leading(), name="leader's work")
        expiry = asyncio.create_task(time_is_up(), name="the lease's expiry")
        try:
            await asyncio.wait((election, working, expiry), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if election.done():
                election.result()
        finally:
            for task in (election, working, expiry):
                task.cancel()
            await asyncio.gather(election, working, expiry, return_exceptions=True)
    raise LostLeadership(f"{namespace}/{name} could not be renewed in time")


async def release(cluster: Cluster, namespace: str, name: str, identity: str) -> None:
    """Give the Lease up, if `identity` holds it, so that the next leader needn't wait for it to run out."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
    try:
        lease = await cluster.get(path)
        if lease["spec"].get("holderIdentity") == identity:
            await cluster.replace(path, {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
    except errors.ApiError as error:
        logger.warning("the lease was not released", extra={"error": str(error)})
