"""Leadership, in virtual time: work runs while the Lease is held, and is over when leading is."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.client import Configuration, V1Lease, V1LeaseSpec
from kubernetes.aio.client.exceptions import ApiException

from tidegate_operator import errors
from tidegate_operator.kube import lease
from tidegate_operator.kube.fence import Fence, LostLeadership
from tidegate_operator.process.ticks import ticks

from .fake_cluster import FakeCluster

pytestmark = [pytest.mark.looptime]


class Leases:
    """The API's Leases, at the official client's seam: one Lease, which calls may be kept from."""

    def __init__(self) -> None:
        self.lease: V1Lease | None = None
        self.failing: Callable[[], bool] = lambda: False
        self.asked = 0
        self.asked_twice = asyncio.Event()

    @property
    def holder(self) -> str | None:
        assert self.lease is not None
        assert self.lease.spec is not None
        holder: str | None = self.lease.spec.holder_identity
        return holder

    async def read_namespaced_lease(self, name: str, namespace: str) -> V1Lease:
        self._call()
        self.asked += 1
        if self.asked > 1:
            self.asked_twice.set()
        if self.lease is None:
            error = ApiException(status=404, reason="Not Found")
            error.body = '{"code": 404}'
            raise error
        return self.lease

    async def create_namespaced_lease(self, namespace: str, body: V1Lease, **_: Any) -> None:
        self._call()
        self._store(body)

    async def replace_namespaced_lease(self, name: str, namespace: str, body: V1Lease) -> None:
        self._call()
        self._store(body)

    def _store(self, body: V1Lease) -> None:
        for field in ("acquire_time", "renew_time"):
            text = getattr(body.spec, field)
            if isinstance(text, str):
                setattr(body.spec, field, datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC))
        self.lease = body

    def _call(self) -> None:
        if self.failing():
            raise ApiException(status=500, reason="etcd is unwell")


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> Leases:
    found = Leases()
    monkeypatch.setattr("kubernetes.aio.client.CoordinationV1Api", lambda api_client: found)
    clock = SimpleNamespace(time=lambda: 1e9 + 0.5 + asyncio.get_running_loop().time())
    monkeypatch.setattr("kubernetes.aio.leaderelection.leaderelection.time", clock)
    return found


async def lead(work: Callable[[], Any], fence: Fence | None = None) -> None:
    async with asyncio.timeout(60):
        await lease.lead(Configuration(), "tidegate-system", "tidegate-controller", "me", work, fence or Fence())


async def test_work_begins_once_the_lease_is_held(leases: Leases) -> None:
    holders = []

    async def work() -> None:
        holders.append(leases.holder)

    await lead(work)
    assert holders == ["me"]


async def test_work_that_crashes_ends_leading(leases: Leases) -> None:
    async def work() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        await lead(work)


async def test_a_lease_that_can_not_be_renewed_ends_leading_and_the_work(leases: Leases) -> None:
    stopped = asyncio.Event()

    async def work() -> None:
        leases.failing = lambda: True
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(LostLeadership, match="tidegate-system/tidegate-controller"):
        await lead(work)
    assert stopped.is_set()


async def test_writes_pass_while_the_lease_can_not_have_run_out(leases: Leases) -> None:
    fence, loop = Fence(), asyncio.get_running_loop()
    passed: list[float] = []

    async def work() -> None:
        leases.failing = lambda: True
        begun = loop.time()
        async for now in ticks(1):
            fence.check()
            passed.append(now - begun)

    with pytest.raises(LostLeadership):
        fence.check()
    with pytest.raises(LostLeadership):
        await lead(work, fence)
    assert lease.FENCE_SECONDS - 1 <= passed[-1] <= lease.FENCE_SECONDS < lease.LEASE_SECONDS


async def test_whoever_was_held_up_longer_than_the_lease_lasts_leads_no_more_at_once(leases: Leases) -> None:
    fence, loop = Fence(), asyncio.get_running_loop()
    begun = loop.time()

    async def work() -> None:
        # What a process that is stopped and continued finds: the fence's time is over before any renewal could fail.
        fence.until = loop.time()
        await asyncio.Event().wait()

    with pytest.raises(LostLeadership):
        await lead(work, fence)
    assert loop.time() - begun < lease.RENEW_SECONDS


async def test_when_leading_is_cancelled_the_work_is_over_too(leases: Leases) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    leading = asyncio.create_task(lead(work))
    await asyncio.wait_for(begun.wait(), 60)
    leading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leading
    assert stopped.is_set()


async def test_no_work_begins_while_someone_else_holds_the_lease(leases: Leases) -> None:
    now = datetime.now(UTC)
    leases.lease = V1Lease(
        spec=V1LeaseSpec(holder_identity="other", lease_duration_seconds=60, acquire_time=now, renew_time=now)
    )

    async def work() -> None:
        raise AssertionError("two leaders")

    leading = asyncio.create_task(lead(work))
    await asyncio.wait_for(leases.asked_twice.wait(), 60)
    assert leases.holder == "other"
    leading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leading


class Released(FakeCluster):
    """A Lease that can be given up."""

    def __init__(self, holder: str) -> None:
        super().__init__()
        self.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": holder}}
        self.error: errors.ApiError | None = None

    async def get(self, path: str, query: Any = None) -> dict[str, Any]:
        assert path == "/apis/coordination.k8s.io/v1/namespaces/tidegate-system/leases/tidegate-controller"
        return self.lease

    async def replace(self, path: str, manifest: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        self.lease = dict(manifest)
        return self.lease


@pytest.mark.parametrize(("holder", "left"), [("me", ""), ("other", "other")], ids=["ours", "somebody else's"])
async def test_only_a_lease_of_ours_is_given_up(holder: str, left: str) -> None:
    cluster = Released(holder)
    await lease.release(cluster, "tidegate-system", "tidegate-controller", "me")
    assert cluster.lease["spec"] == {"holderIdentity": left}


async def test_a_lease_that_can_not_be_given_up_stops_nothing() -> None:
    cluster = Released("me")
    cluster.error = errors.Conflict("changed", 409)
    await lease.release(cluster, "tidegate-system", "tidegate-controller", "me")
