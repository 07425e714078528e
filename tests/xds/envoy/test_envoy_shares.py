"""Which revision a request reaches, through a real Envoy."""

import asyncio
import math
from typing import Any

import pytest

pytestmark = pytest.mark.integration

STABLE, CANARY = "churn-aaaaaaaa", "churn-bbbbbbbb"


def interval(share: float, count: int) -> tuple[float, float]:
    """Where 99.9999 % of binomial counts lie (normal approximation, z = 4.9)."""
    spread = 4.9 * math.sqrt(count * share * (1 - share))
    return count * share - spread, count * share + spread


async def with_canary(mesh: Any, weight: int) -> None:
    stable, canary = await mesh.pod(STABLE), await mesh.pod(CANARY)
    mesh.xds.endpoints(101, STABLE, stable)
    mesh.xds.endpoints(102, CANARY, canary)
    mesh.xds.service(103, stable=STABLE, canary=(CANARY, weight))
    await mesh.start()
    await mesh.sees(STABLE, 1)
    await mesh.sees(CANARY, 1)


async def test_shares_follow_the_weights_of_the_status(mesh: Any, until: Any) -> None:
    await with_canary(mesh, 0)
    load = mesh.load()
    assert await load.send(500) == {STABLE: 500}
    for version, weight, count in [(110, 10, 2500), (111, 50, 2000)]:
        updates = await mesh.stat("http.data.rds.data.update_success")
        mesh.xds.service(version, stable=STABLE, canary=(CANARY, weight))
        await until(lambda before=updates: _updated(mesh, before), "the weight has arrived")
        low, high = interval(weight / 100, count)
        assert low <= (await load.send(count))[CANARY] <= high
    updates = await mesh.stat("http.data.rds.data.update_success")
    mesh.xds.service(112, stable=STABLE, canary=(CANARY, 100))
    await until(lambda: _updated(mesh, updates), "the weight has arrived")
    assert await load.send(500) == {CANARY: 500}


async def _updated(mesh: Any, before: int) -> Any:
    return await mesh.stat("http.data.rds.data.update_success") > before


@pytest.mark.alone
async def test_a_weight_is_seen_by_callers_and_an_abort_ends_it_within_a_second(mesh: Any, until: Any) -> None:
    await with_canary(mesh, 0)
    async with mesh.load().constant() as load:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        mesh.xds.service(110, stable=STABLE, canary=(CANARY, 50))
        await until(lambda: load.revisions[CANARY] > 0, "the canary answers")
        assert loop.time() - begun < 1.0
        begun = loop.time()
        mesh.xds.service(111, stable=STABLE, canary=(CANARY, 0))
        await until(lambda: _none_of(load, 200), "200 answers in a row are stable's")
        assert load.last[CANARY] - begun < 1.0
        await load.more(500)
    assert set(load.statuses) == {200}


async def _none_of(load: Any, count: int) -> Any:
    before = load.revisions[CANARY]
    await load.more(count)
    return load.revisions[CANARY] == before


async def test_a_canary_without_endpoints_loses_no_request_to_its_weight(mesh: Any) -> None:
    mesh.xds.endpoints(101, STABLE, await mesh.pod(STABLE))
    mesh.xds.service(103, stable=STABLE, canary=(CANARY, 50))
    await mesh.start()
    await mesh.sees(STABLE, 1)
    assert await mesh.load().send(500) == {STABLE: 500}


async def test_a_canary_that_loses_its_last_pod_falls_back_without_a_failed_request(mesh: Any, until: Any) -> None:
    await with_canary(mesh, 50)
    async with mesh.load().constant() as load:
        await until(lambda: load.revisions[CANARY] > 0, "the canary answers")
        canary = mesh._pods[1]
        canary.ready = False
        await mesh.sees(CANARY, 0)
        await until(lambda: _none_of(load, 200), "200 answers in a row are stable's")
    assert set(load.statuses) == {200}


async def test_one_healthy_pod_of_many_keeps_the_canarys_whole_share(mesh: Any) -> None:
    stable, canaries = await mesh.pod(STABLE), await mesh.pods(CANARY, 4)
    for pod in canaries[1:]:
        pod.ready = False
    mesh.xds.endpoints(101, STABLE, stable)
    mesh.xds.endpoints(102, CANARY, *canaries)
    mesh.xds.service(103, stable=STABLE, canary=(CANARY, 50))
    await mesh.start()
    await mesh.sees(CANARY, 1)
    low, high = interval(0.5, 2000)
    assert low <= (await mesh.load().send(2000))[CANARY] <= high
