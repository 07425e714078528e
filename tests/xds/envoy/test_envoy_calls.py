"""What the controller learns from a real Envoy of what callers saw; docs/routing.md has the same table."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tidegate_operator.evidence.readings import Calls

pytestmark = pytest.mark.integration

STABLE, CANARY = "churn-aaaaaaaa", "churn-bbbbbbbb"
SENT = 20


async def serving(mesh: Any, weight: int, **more: Any) -> tuple[Any, Any]:
    stable, canary = await mesh.pod(STABLE), await mesh.pod(CANARY)
    mesh.xds.endpoints(101, STABLE, stable)
    mesh.xds.endpoints(102, CANARY, canary)
    mesh.xds.service(103, stable=STABLE, canary=(CANARY, weight), ready=1, **more)
    await mesh.start()
    await mesh.sees(STABLE, 1)
    await mesh.sees(CANARY, 1)
    return stable, canary


async def seen(controller: Any) -> dict[str, Calls]:
    """What the one router counted, by revision."""
    found = await controller.calls("ml", [STABLE, CANARY])
    return {revision: sum_of(calls) for revision, calls in found.items()}


def sum_of(calls: dict[str, Calls]) -> Calls:
    (only,) = calls.values()
    return only


async def statuses(mesh: Any, count: int = SENT) -> dict[int, int]:
    load = mesh.load()
    got: dict[int, int] = {}
    for _ in range(count):
        async with mesh.session.get(f"{mesh.router.url}/v2", headers=load._headers) as response:
            got[response.status] = got.get(response.status, 0) + 1
    return got


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        (200, Calls(SENT)),
        (429, Calls()),
        *((status, Calls(SENT, SENT)) for status in (400, 404, 413, 500, 503, 504)),
    ],
)
async def test_an_answer_fails_unless_it_is_good_and_a_refusal_for_load_is_none(
    mesh: Any, controller: Any, status: int, counted: Calls
) -> None:
    _, canary = await serving(mesh, 100)
    canary.status = status
    assert await statuses(mesh) == {status: SENT}
    assert await seen(controller) == {STABLE: Calls(), CANARY: counted}


async def test_a_pod_that_is_killed_with_its_request_is_a_failure(mesh: Any, controller: Any) -> None:
    _, canary = await serving(mesh, 100)
    canary.hangs_up = True
    assert await statuses(mesh) == {503: SENT}
    assert (await seen(controller))[CANARY] == Calls(SENT, SENT)


async def test_a_pod_that_hangs_is_a_failure_when_time_is_out(mesh: Any, controller: Any) -> None:
    _, canary = await serving(mesh, 100, timeout="1ms")
    canary.gate.clear()
    load = mesh.load()

    async def one() -> int:
        async with mesh.session.get(f"{mesh.router.url}/v2", headers=load._headers) as response:
            return int(response.status)

    assert await asyncio.gather(*(one() for _ in range(SENT))) == [504] * SENT
    canary.gate.set()
    assert (await seen(controller))[CANARY] == Calls(SENT, SENT)


async def test_a_request_that_another_pod_answered_after_a_refused_connection_is_none(
    mesh: Any, controller: Any
) -> None:
    pods = await mesh.pods(STABLE, 2)
    mesh.xds.endpoints(101, STABLE, *pods)
    mesh.xds.service(102, stable=STABLE)
    await mesh.start()
    await mesh.sees(STABLE, 2)
    await pods[1].stop()
    assert await statuses(mesh) == {200: SENT}
    assert await mesh.stat(f"cluster.ml/{STABLE}/pods.upstream_cx_connect_fail") > 0
    assert (await seen(controller))[STABLE] == Calls(SENT, 0)


async def test_a_canary_that_refuses_connections_is_charged_and_stable_in_its_stead_is_not(
    mesh: Any, controller: Any
) -> None:
    _, canary = await serving(mesh, 100)
    await canary.stop()
    got: Counter[int] = Counter()
    async with asyncio.timeout(15):
        # Until its health checks have failed thrice.
        while not got[200]:
            got += Counter(await statuses(mesh, 1))
    assert set(got) == {200, 503}
    assert await seen(controller) == {STABLE: Calls(), CANARY: Calls(got.total(), got.total())}


async def test_a_canary_without_a_healthy_pod_is_charged_though_callers_got_their_answers(
    mesh: Any, controller: Any
) -> None:
    _, canary = await serving(mesh, 50)
    assert await statuses(mesh, 40) == {200: 40}
    canary.ready = False
    await mesh.sees(CANARY, 0)
    before = await seen(controller)
    assert await statuses(mesh, 100) == {200: 100}
    after = await seen(controller)
    assert before[CANARY].failures == 0
    charged = after[CANARY].requests - before[CANARY].requests
    assert (after[CANARY].failures, after[STABLE].failures) == (charged, 0)
    assert after[STABLE].requests - before[STABLE].requests == 100 - charged
    assert 0 < charged < 100


async def test_no_healthy_pod_at_all_is_a_failure(mesh: Any, controller: Any) -> None:
    mesh.xds.service(103, stable=STABLE)
    await mesh.start()
    assert await statuses(mesh) == {503: SENT}
    assert (await seen(controller))[STABLE] == Calls(SENT, SENT)


async def test_what_was_counted_stays_when_a_canary_becomes_stable(mesh: Any, controller: Any, until: Any) -> None:
    _, canary = await serving(mesh, 100)
    canary.ready = False
    await mesh.sees(CANARY, 0)
    assert await statuses(mesh) == {200: SENT}
    assert (await seen(controller))[CANARY] == Calls(SENT, SENT)
    canary.ready = True
    await mesh.sees(CANARY, 1)
    mesh.xds.service(110, stable=CANARY, retiring=[STABLE])

    async def promoted() -> Any:
        accepted = await controller.accepted("ml", "churn", {CANARY: 100})
        return accepted and await mesh.stat("cluster_manager.cluster_removed") >= 2

    await until(promoted, "the router has the new weights, and the canary's cluster anew")
    assert await statuses(mesh, 5) == {200: 5}
    assert (await seen(controller))[CANARY] == Calls(SENT + 5, SENT)


async def test_a_router_that_was_started_again_is_another_source(mesh: Any, controller: Any, until: Any) -> None:
    await serving(mesh, 0)
    assert await statuses(mesh) == {200: SENT}
    (before,) = (await controller.calls("ml", [STABLE]))[STABLE]

    async def old_enough() -> Any:
        return await mesh.stat("server.uptime") >= 5

    await until(old_enough, "the router has told its uptime")
    assert list((await controller.calls("ml", [STABLE]))[STABLE]) == [before]
    mesh.router.stop()
    assert (await controller.calls("ml", [STABLE]))[STABLE] == {}
    mesh.router.start()
    await until(mesh.is_ready, "the router is back")
    ((after, calls),) = (await controller.calls("ml", [STABLE]))[STABLE].items()
    assert (after != before, calls) == (True, Calls())


async def test_a_router_tells_by_which_weights_it_goes(mesh: Any, controller: Any, until: Any) -> None:
    await serving(mesh, 10)
    ten: dict[str, int] = {STABLE: 90, CANARY: 10}
    assert await controller.accepted("ml", "churn", ten) is True
    assert await controller.accepted("ml", "churn", {STABLE: 50, CANARY: 50}) is False
    assert await controller.accepted("ml", "unknown", {STABLE: 100}) is False
    mesh.xds.service(110, stable=STABLE, canary=(CANARY, 0))

    async def aborted() -> Any:
        return await controller.accepted("ml", "churn", {STABLE: 100, CANARY: 0})

    await until(aborted, "the router has the new weights")
    assert await controller.accepted("ml", "churn", ten) is False
    headers = {"Host": "churn.ml", "x-tidegate-uid": "uid-of-churn"}
    async with mesh.session.get(f"{mesh.router.url}/.well-known/tidegate/weights", headers=headers) as response:
        assert (response.content_type, await response.json()) == ("application/json", {STABLE: 100})
    mesh.router.stop()
    assert await controller.accepted("ml", "churn", ten) is None
