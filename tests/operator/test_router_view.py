"""The bundled router's provider: what its pods say, asked over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tidegate_operator import naming
from tidegate_operator.desired.entrance import entrance
from tidegate_operator.evidence.readings import Calls
from tidegate_operator.install import Install
from tidegate_operator.kube.store import Store
from tidegate_operator.routing import router as routing
from tidegate_operator.routing.figures import FILTER
from tidegate_operator.routing.provider import Subject
from tidegate_operator.routing.router import Look, Router, View, healthy_everywhere, router_addresses

from .builders import NOW, A, B, a_service, a_spec

VIEWS: list[tuple[str, list[dict[str, int]], bool, bool | None]] = [
    ("every router sees a pod", [{"ml/r": 1}, {"ml/r": 3}], True, True),
    ("one router sees none", [{"ml/r": 1}, {"ml/r": 0}], True, False),
    ("one router doesn't know the revision", [{"ml/r": 1}, {}], True, False),
    ("one router can't be asked", [{"ml/r": 1}], False, None),
    ("no router was asked", [], False, None),
]


@pytest.mark.parametrize(
    ("views", "complete", "expected"), [case[1:] for case in VIEWS], ids=[case[0] for case in VIEWS]
)
def test_a_revision_is_routable_if(views: list[dict[str, int]], complete: bool, expected: bool | None) -> None:
    look = Look({str(number): View(view) for number, view in enumerate(views)}, complete)
    assert healthy_everywhere(look, "ml/r") is expected


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
        self.stats = {f"cluster.ml/{A}/pods.membership_healthy": 1, "server.uptime": 100}
        self.weights: Any = {A: 90, B: 10}
        self.uids: list[str | None] = []
        self.answer: Callable[[], Awaitable[web.StreamResponse]] = self.statistics

    async def statistics(self) -> web.StreamResponse:
        return web.json_response({"stats": [{"name": name, "value": n} for name, n in self.stats.items()]})

    async def tell_weights(self, request: web.Request) -> web.StreamResponse:
        self.uids.append(request.headers.get("x-tidegate-uid"))
        if request.host != "churn.ml":
            return web.json_response({"error": "no InferenceService answers"}, status=404)
        return web.json_response(self.weights)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        return await self.answer()


@pytest.fixture
async def envoy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Envoy]:
    found = Envoy()
    application = web.Application()
    application.router.add_get("/stats", found.serve)
    application.router.add_get("/.well-known/tidegate/weights", found.tell_weights)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    for port in ("ADMIN_PORT", "DATA_PORT"):
        monkeypatch.setattr(naming, port, runner.addresses[0][1])
    yield found
    await runner.cleanup()


@pytest.fixture
def store() -> Store:
    found = Store()
    found.put(a_slice(("127.0.0.1", True)))
    return found


@pytest.fixture
async def router(envoy: Envoy, store: Store) -> AsyncIterator[Router]:
    async with aiohttp.ClientSession() as session:
        yield Router(Install(), store, session, lambda: NOW)


async def test_routable_is_what_the_routers_see(router: Router, envoy: Envoy) -> None:
    assert await router.routable("ml", [A, B]) == {A: True, B: False}
    (query,) = envoy.queries
    assert (query["format"], query["filter"]) == ("json", FILTER)


async def test_one_look_serves_all_who_ask_at_a_time(router: Router, envoy: Envoy) -> None:
    await asyncio.gather(*(router.routable("ml", [A]) for _ in range(20)), router.calls("ml", [A]))
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


async def test_an_answer_without_end_is_not_read_to_its_end(
    router: Router, envoy: Envoy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "MAX_ANSWER_BYTES", 50)
    assert await router.routable("ml", [A]) == {A: None}
    assert await router.calls("ml", [A]) == {A: {}}


async def test_nothing_is_known_without_routers() -> None:
    async with aiohttp.ClientSession() as session:
        router = Router(Install(), Store(), session)
        assert await router.routable("ml", [A]) == {A: None}
        assert await router.calls("ml", [A]) == {A: {}}
        assert await router.accepted("ml", "churn", {A: 100}) is None


@pytest.fixture
async def one_of_two(envoy: Envoy) -> AsyncIterator[Router]:
    """A router of which another one can't be reached."""
    store = Store()
    store.put(a_slice(("127.0.0.1", True), ("127.0.0.2", True)))
    async with aiohttp.ClientSession() as session:
        yield Router(Install(), store, session, lambda: NOW)


async def test_one_router_that_is_gone_leaves_unknown_whether_all_see_a_pod(one_of_two: Router) -> None:
    assert await one_of_two.routable("ml", [A]) == {A: None}


async def test_one_router_that_is_gone_leaves_out_its_calls_alone(one_of_two: Router, envoy: Envoy) -> None:
    envoy.stats[f"cluster.ml/{A}.upstream_rq_completed"] = 7
    assert list((await one_of_two.calls("ml", [A]))[A].values()) == [Calls(7)]


async def test_one_router_that_is_gone_leaves_unknown_whether_all_took_the_weights(one_of_two: Router) -> None:
    assert await one_of_two.accepted("ml", "churn", {A: 90, B: 10}) is None
    assert await one_of_two.accepted("ml", "churn", {A: 50, B: 50}) is False, "one has others, whatever the rest do"


async def test_calls_are_by_router_and_its_start(router: Router, envoy: Envoy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "FRESH_SECONDS", -1)
    envoy.stats |= {f"cluster.ml/{A}.upstream_rq_completed": 7, f"cluster.ml/{A}.upstream_rq_5xx": 2}
    first = "127.0.0.1 since 2026-11-22T09:58:20Z"
    assert await router.calls("ml", [A, B]) == {A: {first: Calls(7, 2)}, B: {first: Calls()}}
    envoy.stats |= {f"cluster.ml/{A}.upstream_rq_completed": 9, "server.uptime": 101}
    assert await router.calls("ml", [A]) == {A: {first: Calls(9, 2)}}
    envoy.stats = {"server.uptime": 4, f"cluster.ml/{A}.upstream_rq_completed": 1}
    assert await router.calls("ml", [A]) == {A: {"127.0.0.1 since 2026-11-22T09:59:56Z": Calls(1)}}


WEIGHTS: list[tuple[dict[str, int], bool]] = [
    ({A: 90, B: 10}, True),
    ({B: 10, A: 90, "churn-cccccccc": 0}, True),
    ({A: 10, B: 90}, False),
    ({A: 100}, False),
]


@pytest.mark.parametrize(("weights", "expected"), WEIGHTS)
async def test_weights_are_accepted_when_every_router_says_them(
    router: Router, weights: dict[str, int], expected: bool
) -> None:
    assert await router.accepted("ml", "churn", weights) is expected


async def test_a_router_is_asked_in_the_name_of_the_very_service(router: Router, envoy: Envoy, store: Store) -> None:
    """Where callers from outside reach the routers, these tell their weights to nobody else."""
    await router.accepted("ml", "churn", {A: 100})
    for version, uid in ((2, "6f3c9d1a"), (3, "made anew")):
        metadata = {"namespace": "ml", "name": "churn", "uid": uid, "resourceVersion": str(version)}
        store.put({"kind": naming.KIND, "metadata": metadata})
        await router.accepted("ml", "churn", {A: 100})
    assert envoy.uids == [None, "6f3c9d1a", "made anew"]


async def test_a_router_that_does_not_know_the_service_has_not_accepted_its_weights(router: Router) -> None:
    assert await router.accepted("ml", "other", {A: 100}) is False


async def test_a_cancelled_look_does_not_spoil_it_for_others(router: Router) -> None:
    first = asyncio.create_task(router.routable("ml", [A]))
    second = asyncio.create_task(router.routable("ml", [A]))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == {A: True}


async def test_the_services_name_stands_for_the_installs_router(router: Router) -> None:
    front = entrance(a_service(), router.host(Subject(a_service(), a_spec())))
    assert front["metadata"]["name"] == "churn"
    assert front["spec"]["type"] == "ExternalName"
    assert front["spec"]["externalName"] == "tidegate-router.tidegate-system.svc.cluster.local"
