"""Nothing is written by whoever may no longer lead."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tidegate_operator.kube.fence import Fence, Fenced, LostLeadership

from .fake_cluster import FakeCluster

pytestmark = [pytest.mark.looptime]

PATH = "/api/v1/namespaces/ml/services/churn"
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn", "namespace": "ml"}}

WRITES: dict[str, Callable[[Fenced], Awaitable[object]]] = {
    "apply": lambda cluster: cluster.apply(PATH, SERVICE, "m"),
    "create": lambda cluster: cluster.create("/api/v1/namespaces/ml/events", {"kind": "Event"}),
    "replace": lambda cluster: cluster.replace(f"{PATH}/status", {**SERVICE, "status": {}}),
    "delete": lambda cluster: cluster.delete(PATH),
}


@pytest.mark.parametrize("verb", WRITES)
async def test_a_closed_fence_lets_no_write_pass(verb: str) -> None:
    cluster = FakeCluster()
    with pytest.raises(LostLeadership):
        await WRITES[verb](Fenced(cluster, Fence()))
    assert cluster.writes == []


async def test_an_open_fence_lets_writes_pass_until_its_time_is_over() -> None:
    cluster, fence = FakeCluster(), Fence()
    fenced = Fenced(cluster, fence)
    fence.open_until(asyncio.get_running_loop().time() + 5)
    await asyncio.sleep(4.9)
    await fenced.apply(PATH, SERVICE, "m")
    await asyncio.sleep(0.2)
    with pytest.raises(LostLeadership):
        await fenced.apply(PATH, SERVICE, "m")
    assert len(cluster.writes) == 1


async def test_reading_needs_no_lead() -> None:
    cluster = FakeCluster()
    cluster.put(SERVICE)
    assert (await Fenced(cluster, Fence()).get(PATH))["kind"] == "Service"


async def test_an_older_renewal_that_is_answered_late_closes_nothing() -> None:
    fence = Fence()
    fence.open_until(20)
    fence.open_until(10)
    assert fence.until == 20


async def test_that_it_is_closed_is_told_when_it_is() -> None:
    fence, loop = Fence(), asyncio.get_running_loop()
    begun = loop.time()
    fence.open_until(begun + 5)
    loop.call_later(4, fence.open_until, begun + 9)
    await fence.closed()
    assert loop.time() == pytest.approx(begun + 9)
