"""Whose requests a canary gets besides its share, and who stays with it, through a real Envoy."""

import math
from collections import Counter
from typing import Any

import pytest

from tidegate_operator.evidence.readings import Calls

pytestmark = pytest.mark.integration

STABLE, CANARY = "churn-aaaaaaaa", "churn-bbbbbbbb"


async def serving(mesh: Any, weight: int, rollout: dict[str, Any], ready: int = 1) -> tuple[Any, Any]:
    stable, canary = await mesh.pod(STABLE), await mesh.pod(CANARY)
    mesh.xds.endpoints(101, STABLE, stable)
    mesh.xds.endpoints(102, CANARY, canary)
    mesh.xds.service(103, stable=STABLE, canary=(CANARY, weight), ready=ready, rollout=rollout)
    await mesh.start()
    await mesh.sees(STABLE, 1)
    await mesh.sees(CANARY, 1)
    return stable, canary


async def changed(mesh: Any, until: Any, version: int, **status: Any) -> None:
    """Tell the router, and return once it has taken it over."""
    before = await mesh.stat("http.data.rds.data.update_success")
    mesh.xds.service(version, **status)

    async def taken() -> Any:
        return await mesh.stat("http.data.rds.data.update_success") > before

    await until(taken, "the router has the new routes")


MATCH = {
    "match": [
        {"header": {"x-model": "canary"}},
        {"cookie": {"tester": "yes"}},
        {"header": {"x-team": "fraud", "x-stage": "beta"}},
    ]
}
REQUESTS = [
    ({}, STABLE),
    ({"x-model": "canary"}, CANARY),
    ({"X-Model": "canary"}, CANARY),
    ({"x-model": "Canary"}, STABLE),
    ({"x-model": "canary2"}, STABLE),
    ({"Cookie": "tester=yes"}, CANARY),
    ({"Cookie": "a=b; tester=yes; c=d"}, CANARY),
    ({"Cookie": "mytester=yes"}, STABLE),
    ({"Cookie": "tester=yes2"}, STABLE),
    ({"x-team": "fraud"}, STABLE),
    ({"x-team": "fraud", "x-stage": "beta"}, CANARY),
]


async def test_matching_requests_go_to_a_canary_without_weight_and_no_others(mesh: Any, controller: Any) -> None:
    stable, canary = await serving(mesh, 0, MATCH)
    load = mesh.load()
    got = [(headers, (await load.once(headers=headers))[1]) for headers, _ in REQUESTS]
    assert got == REQUESTS
    assert {request.headers["x-tidegate-route"] for request in canary.seen} == {"match"}
    assert {request.headers["x-tidegate-route"] for request in stable.seen} == {"weight"}
    counted = await controller.calls("ml", [STABLE, CANARY])
    assert list(counted[CANARY].values()) == [Calls()], "no evidence"
    assert list(counted[STABLE].values()) == [Calls(len(stable.seen))]


async def test_callers_cannot_say_how_they_were_routed(mesh: Any) -> None:
    stable, canary = await serving(mesh, 0, MATCH)
    forged = {"x-tidegate-route": "match"}
    assert await mesh.load().once(headers=forged) == (200, STABLE)
    assert await mesh.load().once(headers={"x-tidegate-route": "weight", "x-model": "canary"}) == (200, CANARY)
    assert stable.seen[0].headers.getall("x-tidegate-route") == ["weight"]
    assert canary.seen[0].headers.getall("x-tidegate-route") == ["match"]


async def test_callers_cannot_keep_their_requests_from_being_copied(mesh: Any) -> None:
    stable, canary = await serving(mesh, 0, MATCH)
    forged = {"x-tidegate-hop": "shadow", "X-Tidegate-HOP": "1"}
    assert await mesh.load().once(headers=forged) == (200, STABLE)
    assert await mesh.load().once(headers={**forged, "x-model": "canary"}) == (200, CANARY)
    assert all("x-tidegate-hop" not in request.headers for request in (*stable.seen, *canary.seen))


async def test_matching_requests_fall_back_to_stable(mesh: Any, controller: Any) -> None:
    stable, canary = await serving(mesh, 0, MATCH)
    canary.ready = False
    await mesh.sees(CANARY, 0)
    assert await mesh.load().once(headers={"x-model": "canary"}) == (200, STABLE)
    counted = await controller.calls("ml", [STABLE, CANARY])
    assert [list(calls.values()) for calls in counted.values()] == [[Calls()], [Calls()]]
    assert stable.seen[0].headers["x-tidegate-route"] == "match"


async def test_matching_requests_are_stables_before_there_is_a_ready_pod_and_after_an_abort(
    mesh: Any, until: Any
) -> None:
    await serving(mesh, 0, MATCH, ready=0)
    ask = {"x-model": "canary"}
    assert await mesh.load().once(headers=ask) == (200, STABLE)
    await changed(mesh, until, 110, stable=STABLE, canary=(CANARY, 0), ready=1, rollout=MATCH)
    assert await mesh.load().once(headers=ask) == (200, CANARY)
    await changed(mesh, until, 111, stable=STABLE, retiring=[CANARY], rollout=MATCH)
    assert await mesh.load().once(headers=ask) == (200, STABLE)


async def test_no_request_is_lost_while_matches_come_and_go(mesh: Any, until: Any) -> None:
    await serving(mesh, 0, {}, ready=1)
    load = mesh.load()
    load._headers["x-model"] = "canary"
    async with load.constant():
        for version, rollout in [(110, MATCH), (111, {}), (112, MATCH)]:
            await changed(mesh, until, version, stable=STABLE, canary=(CANARY, 0), ready=1, rollout=rollout)
            await load.more(200)
        await changed(mesh, until, 113, stable=CANARY, retiring=[STABLE], rollout=MATCH)
        await load.more(200)
    assert set(load.statuses) == {200}
    assert set(load.revisions) == {STABLE, CANARY}


@pytest.mark.parametrize("key", ["header", "cookie"])
async def test_a_caller_with_a_key_stays_with_a_revision_and_a_larger_weight_keeps_its_callers(
    mesh: Any, until: Any, key: str
) -> None:
    sticky = {"sticky": {key: "x-user" if key == "header" else "user"}}
    await serving(mesh, 10, sticky)
    load = mesh.load()

    async def of_callers(count: int = 400) -> set[int]:
        """Those who reached the canary."""
        found = set()
        for user in range(count):
            headers = {"x-user": f"u{user}"} if key == "header" else {"Cookie": f"a=b; user=u{user}"}
            status, revision = await load.once(headers=headers)
            assert status == 200
            if revision == CANARY:
                found.add(user)
        return found

    ten = await of_callers()
    assert await of_callers() == ten
    # 99.9999 % of binomial counts.
    assert abs(len(ten) - 40) <= 4.9 * math.sqrt(400 * 0.1 * 0.9)
    await changed(mesh, until, 110, stable=STABLE, canary=(CANARY, 50), ready=1, rollout=sticky)
    fifty = await of_callers()
    assert ten < fifty
    assert abs(len(fifty) - 200) <= 4.9 * math.sqrt(400 * 0.5 * 0.5)


async def test_requests_without_the_key_are_drawn_each_on_their_own(mesh: Any) -> None:
    await serving(mesh, 50, {"sticky": {"header": "x-user"}})
    revisions: Counter[str] = await mesh.load().send(400)
    assert abs(revisions[CANARY] - 200) <= 4.9 * math.sqrt(400 * 0.5 * 0.5)
