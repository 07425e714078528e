"""What happens to requests when parts of the control plane, or pods, go away, through a real Envoy."""

import asyncio
import io
from typing import Any

import pytest

from .name_server import Resolver

pytestmark = pytest.mark.integration

STABLE, CANARY = "churn-aaaaaaaa", "churn-bbbbbbbb"


async def _serving(mesh: Any, count: int = 2) -> list[Any]:
    pods: list[Any] = await mesh.pods(STABLE, count)
    mesh.xds.endpoints(101, STABLE, *pods)
    mesh.xds.service(102, stable=STABLE)
    await mesh.start()
    await mesh.sees(STABLE, count)
    return pods


async def _main_stat(mesh: Any, name: str) -> Any:
    """From the administration itself, which answers before the router is ready."""
    async with mesh.session.get(f"{mesh.router.admin}/stats", params={"format": "json", "filter": name}) as response:
        return sum(stat["value"] for stat in (await response.json())["stats"])


async def test_a_router_is_not_ready_without_xds_and_ready_with_it(mesh: Any, until: Any) -> None:
    mesh.xds.endpoints(101, STABLE, await mesh.pod(STABLE))
    mesh.xds.service(102, stable=STABLE)
    mesh.router.start()

    async def refused(times: int) -> Any:
        try:
            return await _main_stat(mesh, "^cluster_manager.cds.update_failure$") >= times
        except OSError:
            return False

    await until(lambda: refused(3), "three questions without an answer")
    assert not await mesh.is_ready()
    mesh.xds.discovery.ready = False
    await mesh.xds.start(mesh.router.xds_port)
    await until(lambda: mesh.xds.answers("clusters", "unready") >= 3, "three questions before the first listing")
    assert not await mesh.is_ready()
    mesh.xds.discovery.ready = True
    await until(mesh.is_ready, "the router is ready")
    await mesh.sees(STABLE, 1)
    assert await mesh.load().once() == (200, STABLE)


async def test_a_running_router_keeps_serving_when_xds_is_gone(mesh: Any, until: Any) -> None:
    await _serving(mesh)
    async with mesh.load().constant() as load:
        await mesh.xds.stop()

        async def failing() -> Any:
            return await mesh.stat("cluster_manager.cds.update_failure") >= 3

        await until(failing, "xds is away")
        await load.more(500)
    assert set(load.statuses) == {200}
    assert await mesh.is_ready()


async def test_a_replica_that_lags_cannot_restore_an_aborted_weight(mesh: Any, until: Any) -> None:
    stable, canary = await mesh.pod(STABLE), await mesh.pod(CANARY)
    lagging = await mesh.replica()
    for replica in (mesh.xds, lagging):
        replica.endpoints(101, STABLE, stable)
        replica.endpoints(102, CANARY, canary)
        replica.service(110, stable=STABLE, canary=(CANARY, 50))
    mesh.xds.service(120, stable=STABLE, canary=(CANARY, 0))
    await mesh.start()
    await mesh.sees(CANARY, 1)
    await mesh.xds.stop()
    await lagging.start(mesh.router.xds_port)
    await asyncio.wait_for(lagging.behind.wait(), 10)
    load = mesh.load()
    assert await load.send(300) == {STABLE: 300}
    lagging.service(130, stable=STABLE, canary=(CANARY, 100))

    async def taken() -> Any:
        return (await load.once())[1] == CANARY

    await until(taken, "the replica has caught up and is believed")


async def test_an_endpoint_removed_while_in_use_loses_no_request(mesh: Any, until: Any) -> None:
    staying, going = await _serving(mesh)
    async with mesh.load().constant() as load:
        await until(lambda: going.served > 0, "the pod is in use")
        mesh.xds.endpoints(110, STABLE, staying)
        going.ready = False

        async def removed() -> Any:
            return await mesh.stat(f"cluster.ml/{STABLE}/pods.membership_total") == 1

        await until(removed, "the router has let go of the pod")
        await load.more(100)
        await going.stop()
        await load.more(300)
    assert set(load.statuses) == {200}


async def test_an_endpoint_that_is_no_longer_told_is_used_while_it_is_healthy(mesh: Any, until: Any) -> None:
    (pod,) = await _serving(mesh, 1)
    mesh.xds.endpoints(110, STABLE)

    async def taken() -> Any:
        return await mesh.stat(f"cluster.ml/{STABLE}/pods.update_success") >= 2

    await until(taken, "the empty endpoints have arrived")
    assert await mesh.load().send(100) == {STABLE: 100}
    assert pod.served == 100


async def test_requests_for_a_pod_that_refuses_connections_are_answered_by_another(mesh: Any) -> None:
    _, crashed = await _serving(mesh)
    await crashed.stop()
    assert await mesh.load().send(100, workers=8) == {STABLE: 100}
    assert await mesh.stat(f"cluster.ml/{STABLE}/pods.upstream_cx_connect_fail") > 0


async def test_bodies_too_large_to_be_kept_survive_a_pod_that_refuses_connections(mesh: Any) -> None:
    _, crashed = await _serving(mesh)
    await crashed.stop()

    async def send() -> int:
        body = io.BytesIO(bytes(12 * 2**20))
        async with mesh.session.post(f"{mesh.router.url}/v2", data=body, headers={"Host": "churn.ml"}) as response:
            return int(response.status)

    assert await asyncio.gather(*(send() for _ in range(12))) == [200] * 12
    assert await mesh.stat(f"cluster.ml/{STABLE}/pods.upstream_cx_connect_fail") > 0


@pytest.mark.parametrize("status", [429, 503])
async def test_a_pod_that_refuses_for_load_is_never_taken_out(mesh: Any, status: int) -> None:
    pods = await _serving(mesh)
    load = mesh.load()
    for pod in pods:
        pod.status = status
    assert {(await load.once())[0] for _ in range(40)} == {status}
    assert sum(pod.served for pod in pods) == 40, "tried again elsewhere, which is more load"
    for pod in pods:
        pod.status = 200
    assert await load.send(100) == {STABLE: 100}
    assert all(pod.served > 45 for pod in pods)


async def test_dns_leads_to_new_pods_while_xds_is_away(mesh: Any, until: Any) -> None:
    await mesh.xds.stop()
    told = await mesh.pod(STABLE)
    resolver = await Resolver.start({f"{STABLE}.ml.svc.cluster.test": "127.86.31.7"})
    mesh.router.resolver = resolver.address
    server = await mesh.replica()
    server.endpoints(101, STABLE, told)
    server.service(102, stable=STABLE)
    mesh.xds = server
    await mesh.start()
    await mesh.sees(STABLE, 1)
    await server.stop()
    unknown = await mesh.pod(STABLE, address="127.86.31.7", port=8080)

    async def healthy() -> Any:
        return await mesh.stat(f"cluster.ml/{STABLE}/dns.membership_healthy") == 1

    await until(healthy, "the pod behind the DNS name is healthy")
    async with mesh.load().constant() as load:
        assert unknown.served == 0, "DNS is the second choice"
        told.ready = False
        await mesh.sees(STABLE, 0)
        await until(lambda: unknown.served > 100, "the pod that only DNS knows answers")
    assert set(load.statuses) == {200}
    resolver.close()


async def test_no_request_is_lost_while_a_service_leaves_the_router_and_comes_back(mesh: Any, until: Any) -> None:
    """Callers who don't know yet still come by the router; those who do aren't its concern."""
    mesh.xds.endpoints(101, STABLE, await mesh.pod(STABLE))
    mesh.xds.service(102, stable=STABLE)
    await mesh.start()
    await mesh.sees(STABLE, 1)
    coming = {"provider": "Router", "coming": "Service"}
    leaving = {"provider": "Service", "leaving": "Router"}
    async with mesh.load().constant() as load:
        for version, provider, routing in [
            (110, "Service", coming),
            (111, "Service", leaving),
            (112, "Router", leaving),
            (113, "Router", {"provider": "Router", "leaving": "Service"}),
            (114, "Router", None),
        ]:
            mesh.xds.service(version, stable=STABLE, provider=provider, routing=routing)
            await load.more(200)
    assert set(load.statuses) == {200}
    mesh.xds.service(120, stable=STABLE, provider="Service", routing={"provider": "Service"})
    await mesh.sees(STABLE, 0)
    mesh.xds.service(121, stable=STABLE, routing={"provider": "Service", "coming": "Router"})
    await mesh.sees(STABLE, 1)

    async def answers() -> Any:
        return await mesh.load().once() == (200, STABLE)

    await until(answers, "the router leads there again")
