"""What pods of stable say of a canary, and what is made of it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.install import Install
from tidegate_operator.kube.store import Store
from tidegate_operator.naming import METRICS_LABEL, NO_METRICS, revision_labels
from tidegate_operator.routing.direct import Direct
from tidegate_operator.routing.provider import Subject

from .builders import A, B, C, Object, a_pod, a_service, a_spec
from .fake_cluster import FakeCluster

TEN = f'tidegate_handover_percent{{canary="{B}"}} 10\n'
SAID = {
    "reaches it": TEN + f'tidegate_handover_reachable_pods{{canary="{B}"}} 2\n',
    "reaches none": TEN + f'tidegate_handover_reachable_pods{{canary="{B}"}} 0\n',
    "has not heard of it": 'tidegate_handover_percent{canary=""} 0\n',
    "hands over to another": f'tidegate_handover_percent{{canary="{C}"}} 10\n',
    "is of an earlier release": "",
}
SILENT = "does not answer"


def a_ready_pod(revision: str, address: str, **metadata: Any) -> Object:
    running = {"restartCount": 0, "state": {"running": {"startedAt": "2026-11-22T09:59:00Z"}}}
    status = {"phase": "Running", "podIP": address, "containerStatuses": [running]}
    pod = a_pod(revision, name=address, conditions=[{"type": "Ready", "status": "True"}], **status)
    own = {"uid": address, "resourceVersion": "1", "labels": revision_labels("churn", revision)}
    pod["metadata"].update({**own, **metadata})
    return pod


def direct(
    *said: str, others: tuple[Object, ...] = (), endpoints: bool = False, **status: Any
) -> tuple[Direct, Subject]:
    """The way, and a service whose pods of stable have said so; whether its own Service has `endpoints`."""
    told = {"stable": {"revision": A}, "canary": {"revision": B}, "routing": {"provider": "Direct"}, **status}
    live = {**a_service(), "status": told}
    store = Store()
    store.put(live)
    pages = {f"10.0.0.{number}": SAID.get(each) for number, each in enumerate(said)}
    for item in (*(a_ready_pod(A, address) for address in pages), *others):
        store.put(item)

    async def fetch(url: str) -> str:
        page = pages[url.removeprefix("http://").partition(":")[0]]
        if page is None:
            raise TimeoutError
        return page

    cluster = FakeCluster()
    if endpoints:
        labels = {"kubernetes.io/service-name": "churn-direct"}
        metadata = {"name": "churn-direct-x", "namespace": "ml", "labels": labels}
        cluster.put({"kind": "EndpointSlice", "metadata": metadata, "endpoints": [{"addresses": ["10.0.0.0"]}]})
    return Direct(Install(), store, cluster, fetch), Subject(live, a_spec(routing={"provider": "Direct"}))


REACHED = [
    (("reaches it",), True),
    (("reaches it", "reaches it"), True),
    (("reaches none",), False),
    (("reaches none", "reaches none"), False),
    (("reaches it", "reaches none"), None),
    (("reaches it", "has not heard of it"), None),
    (("reaches none", "hands over to another"), None),
    (("reaches it", SILENT), None),
    (("reaches none", SILENT), None),
    (("reaches it", "is of an earlier release"), None),
    (("is of an earlier release", "is of an earlier release"), False),
    ((SILENT,), None),
    ((), None),
]


@pytest.mark.parametrize(("said", "expected"), REACHED)
async def test_a_canary_is_reached_where_every_pod_of_stable_says_so(
    said: tuple[str, ...], expected: bool | None
) -> None:
    way, subject = direct(*said)
    outlook = await way.outlook(subject, (A, B, C))
    assert outlook.routable == {A: True, B: expected, C: None}
    assert outlook.obstacle is None


async def test_a_stable_that_is_an_image_of_the_users_own_cant_hand_requests_over() -> None:
    """As after a rollback to one: its pods tell nothing, and aren't asked."""
    own = a_ready_pod(A, "10.0.0.8", labels=revision_labels("churn", A) | {METRICS_LABEL: NO_METRICS})
    way, subject = direct(others=(own,))
    outlook = await way.outlook(subject, (A, B))
    assert outlook.routable == {A: True, B: False}
    assert outlook.canary_obstacle is not None
    assert outlook.canary_obstacle.reason == "StableCantHandOver"
    assert "image of the user's own" in outlook.canary_obstacle.message


async def test_pods_on_their_way_out_and_those_of_others_are_not_asked() -> None:
    leaving = a_ready_pod(A, "10.0.0.8", deletionTimestamp="2026-11-22T10:00:00Z")
    way, subject = direct("reaches it", others=(leaving, a_ready_pod(B, "10.0.0.9")))
    assert (await way.outlook(subject, (A, B))).routable == {A: True, B: True}


@pytest.mark.parametrize(
    ("status", "ready", "expected"),
    [
        ({}, (B,), {B: True}),
        ({"rollout": {"phase": "RollingBack"}}, (A, B), {A: True, B: True}),
        ({"stable": None}, (A, B), {A: None, B: None}),
        ({"canary": None}, (A, C), {A: True, C: None}),
    ],
    ids=["stable has no ready pod", "the other takes over at once", "which is stable isn't known", "no canary"],
)
async def test_nobody_is_asked_where_nothing_is_handed_over(
    status: dict[str, Any], ready: tuple[str, ...], expected: dict[str, bool | None]
) -> None:
    way, subject = direct(SILENT, **status)
    assert (await way.outlook(subject, ready)).routable == expected


COMING: dict[str, Any] = {"canary": None, "routing": {"provider": "Router", "coming": "Direct"}}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("has not heard of it", "reaches it"), True),
        (("has not heard of it", SILENT), None),
        (("has not heard of it", "is of an earlier release"), None),
        ((SILENT,), None),
        ((), None),
    ],
)
async def test_callers_are_sent_to_pods_of_which_all_are_known_to_be_able_to_hand_over(
    said: tuple[str, ...], expected: bool | None
) -> None:
    way, subject = direct(*said, endpoints=True, **COMING)
    outlook = await way.outlook(subject, (A,))
    assert (outlook.routable, outlook.obstacle, outlook.canary_obstacle) == ({A: expected}, None, None)


async def test_a_way_that_comes_is_hindered_by_a_service_without_endpoints_and_by_pods_of_an_earlier_release() -> None:
    way, subject = direct("has not heard of it", **COMING)
    obstacle = (await way.outlook(subject, (A,))).obstacle
    assert obstacle is not None
    assert (obstacle.reason, obstacle.passing) == ("ServicePending", True)
    way, subject = direct("is of an earlier release", endpoints=True, **COMING)
    obstacle = (await way.outlook(subject, (A,))).canary_obstacle
    assert obstacle is not None
    assert (obstacle.reason, obstacle.passing) == ("StableCantHandOver", False)


SHARED = [
    (("reaches it", "reaches none"), {A: 90, B: 10}, True),
    (("reaches it", "has not heard of it"), {A: 90, B: 10}, False),
    (("reaches it",), {A: 50, B: 50}, False),
    (("reaches it",), {A: 100, B: 0}, False),
    (("has not heard of it",), {A: 100, B: 0}, True),
    (("hands over to another",), {A: 90, B: 10}, False),
    (("is of an earlier release",), {A: 90, B: 10}, False),
    (("is of an earlier release",), {A: 100}, True),
    (("reaches it", SILENT), {A: 90, B: 10}, None),
    (("has not heard of it", SILENT), {A: 90, B: 10}, False),
    ((), {A: 90, B: 10}, None),
]


@pytest.mark.parametrize(("said", "weights", "expected"), SHARED)
async def test_a_share_is_in_force_where_every_pod_of_stable_says_so(
    said: tuple[str, ...], weights: dict[str, int], expected: bool | None
) -> None:
    way, _ = direct(*said)
    assert await way.accepted("ml", "churn", weights) is expected


@given(st.lists(st.sampled_from([*SAID, SILENT]), max_size=6))
def test_a_weight_rises_only_where_all_can_hand_over_and_is_taken_only_where_none_can(said: list[str]) -> None:
    way, subject = direct(*said)
    outlook = asyncio.run(way.outlook(subject, (A, B)))
    if outlook.routable[B] is True:
        assert set(said) == {"reaches it"}
    if outlook.routable[B] is False:
        assert not {"reaches it", "has not heard of it", "hands over to another"} & set(said)
    assert outlook.routable[A] is True, "whatever becomes of a canary"
    cant = {"is of an earlier release"} <= set(said) <= {"is of an earlier release", SILENT}
    assert (outlook.canary_obstacle is not None) is cant
