"""The bundled router's provider: what its pods say, asked over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tidegate_operator import naming
from tidegate_operator.install import Install
from tidegate_operator.kube.store import Store
from tidegate_operator.routing.router import Router, healthy_everywhere, router_addresses, view_of

from .builders import A, B, a_service

VIEWS = [
    ("every router sees a pod", [{"ml/r": 1}, {"ml/r": 3}], True),
    ("one router sees none", [{"ml/r": 1}, {"ml/r": 0}], False),
    ("one router doesn't know the revision", [{"ml/r": 1}, {}], False),
    ("no router was asked", [], None),
]


@pytest.mark.parametrize(("views", "expected"), [case[1:] for case in VIEWS], ids=[case[0] for case in VIEWS])
def test_a_revision_is_routable_if(views: list[dict[str, int]], expected: bool | None) -> None:
    assert healthy_everywhere(views, "ml/r") is expected


def test_a_view_is_read_from_the_statistics_of_the_pods_clusters_alone() -> None:
    stats = {
        "stats": [
            {"name": f"cluster.ml/{A}/pods.membership_healthy", "value": 2},
            {"name": f"cluster.ml/{A}/dns.membership_healthy", "value": 9},
            {"name": "cluster.xds.membership_healthy", "value": 1},
            {"name": f"listener.ml/{A}/pods.membership_healthy", "value": 9},
            {"histograms": {"computed_quantiles": []}},
        ]
    }
    assert view_of(stats) == {f"ml/{A}": 2}


@pytest.mark.parametrize(
    "stats",
    [{}, [], {"stats": None}, {"stats": ["text"]}, {"stats": [{"name": "cluster.a/b/pods.membership_healthy"}]}],
)
def test_what_is_no_statistics_is_a_value_error(stats: Any) -> None:
    with pytest.raises(ValueError, match="no statistics of Envoy"):
        view_of(stats)


def a_slice(*endpoints: tuple[str, bool], namespace: str = "tidegate-system", version: int = 1) -> dict[str, Any]:
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": "tidegate-router-x", "namespace": namespace, "resourceVersion": str(version)},
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address, ready in endpoints],
    }


def test_only_ready_routers_of_the_install_are_asked() -> None:
    slices = [
        a_slice(("10.0.0.1", True), ("10.0.0.2", False)),
        a_slice(("10.0.0.3", True), namespace="elsewhere"),
        {**a_slice(), "endpoints": None},
    ]
    assert router_addresses(slices, "tidegate-system") == {"10.0.0.1"}


class Envoy:
    """A router's administration port that answers as told."""

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []
        self.healthy = {f"ml/{A}": 1}
        self.answer: Callable[[], Awaitable[web.StreamResponse]] = self.statistics

    async def statistics(self) -> web.StreamResponse:
        stats = [{"name": f"cluster.{name}/pods.membership_healthy", "value": n} for name, n in self.healthy.items()]
        return web.json_response({"stats": stats})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        return await self.answer()


@pytest.fixture
async def envoy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Envoy]:
    found = Envoy()
    application = web.Application()
    application.router.add_get("/stats", found.serve)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    monkeypatch.setattr(naming, "ADMIN_PORT", runner.addresses[0][1])
    yield found
    await runner.cleanup()


@pytest.fixture
async def router(envoy: Envoy) -> AsyncIterator[Router]:
    store = Store()
    store.put(a_slice(("127.0.0.1", True)))
    async with aiohttp.ClientSession() as session:
        yield Router(Install(), store, session)


async def test_routable_is_what_the_routers_see(router: Router, envoy: Envoy) -> None:
    assert await router.routable("ml", [A, B]) == {A: True, B: False}
    (query,) = envoy.queries
    assert (query["format"], query["filter"]) == ("json", "membership_healthy$")


async def test_one_look_serves_all_who_ask_at_a_time(router: Router, envoy: Envoy) -> None:
    await asyncio.gather(*(router.routable("ml", [A]) for _ in range(20)))
    assert len(envoy.queries) == 1


async def bad_gateway() -> web.StreamResponse:
    return web.Response(status=502)


async def no_json() -> web.StreamResponse:
    return web.Response(text="<html>")


async def something_else() -> web.StreamResponse:
    return web.json_response({"message": "hello"})


@pytest.mark.parametrize("answer", [bad_gateway, no_json, something_else])
async def test_nothing_is_known_of_a_router_that_answers_badly(
    router: Router, envoy: Envoy, answer: Callable[[], Awaitable[web.StreamResponse]]
) -> None:
    envoy.answer = answer
    assert await router.routable("ml", [A]) == {A: None}


async def test_nothing_is_known_without_routers() -> None:
    async with aiohttp.ClientSession() as session:
        assert await Router(Install(), Store(), session).routable("ml", [A]) == {A: None}


async def test_one_router_that_is_gone_leaves_nothing_known(envoy: Envoy) -> None:
    store = Store()
    store.put(a_slice(("127.0.0.1", True), ("127.0.0.2", True)))
    async with aiohttp.ClientSession() as session:
        assert await Router(Install(), store, session).routable("ml", [A]) == {A: None}


async def test_a_cancelled_look_does_not_spoil_it_for_others(router: Router) -> None:
    first = asyncio.create_task(router.routable("ml", [A]))
    second = asyncio.create_task(router.routable("ml", [A]))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == {A: True}


async def test_the_entrance_leads_to_the_installs_router(router: Router) -> None:
    (entrance,) = router.entrance(a_service())
    assert entrance["metadata"]["name"] == "churn"
    assert entrance["spec"]["type"] == "ExternalName"
    assert entrance["spec"]["externalName"] == "tidegate-router.tidegate-system.svc.cluster.local"
