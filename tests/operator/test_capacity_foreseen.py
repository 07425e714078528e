"""Whether the pods that a service is to have will find a place is told before they wait, and while they do."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tidegate_operator import foresight, naming
from tidegate_operator.api.status import InferenceServiceStatus
from tidegate_operator.due import LOOK_FOR_ROOM_AGAIN
from tidegate_operator.errors import Forbidden
from tidegate_operator.fit import Inventory, forecast
from tidegate_operator.fit.forecast import Forecast
from tidegate_operator.foresight import Foresight
from tidegate_operator.install import Install
from tidegate_operator.kube.census import KEPT_SECONDS, LONG_KEPT_SECONDS
from tidegate_operator.kube.store import Key
from tidegate_operator.observed import Workload
from tidegate_operator.rollout.capacity import Bounds
from tidegate_operator.service import understand

from .builders import A, Object, a_service
from .operated_cluster import KEY, Nodes, OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

GPU = "nvidia.com/gpu"
NEW_MODEL = {"uri": "https://models.example/churn-2.onnx"}


async def test_a_first_revision_without_room_says_what_is_missing(operated: OperatedCluster) -> None:
    assert operated.nodes is not None
    operated.nodes.offer(**{GPU: "0"})
    operated.cluster.put(a_service({}))
    await operated.operator.look()
    await operated.operator.reconcile(operated.now)
    assert operated.condition("CapacityAvailable") == ("False", "NoRoom")
    (told,) = [event for event in operated.cluster.events if event["reason"] == "NoRoom"]
    assert told["type"] == "Warning"
    assert told["message"] == f"{operated.revision('stable')} is to have a pod more than run: no node offers {GPU}"


async def canary_of_a_new_model(found: OperatedCluster) -> str:
    """Its revision, whose Deployment is just made."""
    found.change(model=NEW_MODEL)
    await found.operator.look()
    await found.operator.reconcile(found.now)
    return found.revision("canary")


async def test_a_canary_without_room_says_so_and_goes_on_when_there_is_some(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 2})
    assert found.condition("CapacityAvailable") == ("True", "Fits")
    assert found.nodes is not None
    found.nodes.offer(**{GPU: "0"})
    found.failing.add(await canary_of_a_new_model(found))
    await found.settle()
    assert found.condition("CapacityAvailable") == ("False", "NoRoom")
    assert found.condition("Ready") == ("True", "Serving")
    outcome = await found.operator.reconcile(found.now)
    assert outcome.due is not None
    assert outcome.due > LOOK_FOR_ROOM_AGAIN, "its Deployment asks for them, and they tell when they have a node"
    found.nodes.offer(**{GPU: "1"})
    await found.operator.reconcile(found.now)
    assert found.condition("CapacityAvailable") == ("True", "Fits")


async def test_a_quota_that_refuses_pods_is_looked_at_again_for_nobody_tells_when_it_has_room(serving: Serving) -> None:
    found = await serving()
    assert found.nodes is not None
    quota: Object = {"metadata": {"name": "gpus"}, "status": {"hard": {"pods": "1"}, "used": {"pods": "1"}}}
    found.nodes.quota.append(quota)
    found.refused.add(await canary_of_a_new_model(found))
    await found.settle()
    assert found.condition("CapacityAvailable") == ("False", "NoRoom")
    outcome = await found.operator.reconcile(found.now)
    assert outcome.due == LOOK_FOR_ROOM_AGAIN
    quota["status"]["hard"]["pods"] = "2"
    await found.operator.reconcile(found.now)
    assert found.condition("CapacityAvailable") == ("True", "Fits")


async def test_nodes_are_asked_for_only_while_pods_have_none(serving: Serving) -> None:
    found = await serving()
    assert found.nodes is not None
    asked = found.nodes.asked
    assert asked > 0
    found.change(rollout={"steps": [{"weight": 10, "hold": "1m"}]})
    await found.settle()
    await found.operator.reconcile(found.now)
    assert found.nodes.asked == asked


async def test_nodes_that_cannot_be_listed_are_no_obstacle(operated: OperatedCluster) -> None:
    assert operated.nodes is not None
    operated.nodes.failure = Forbidden("nodes is forbidden", 403)
    operated.cluster.put(a_service({}))
    await operated.operator.look()
    await operated.operator.reconcile(operated.now)
    assert operated.condition("CapacityAvailable") == ("Unknown", "NotSeen")
    await operated.settle()
    assert operated.condition("Ready") == ("True", "Serving")
    assert operated.condition("CapacityAvailable") == ("True", "Fits")


async def test_an_install_for_some_namespaces_says_that_it_does_not_look(operated: OperatedCluster) -> None:
    operated.nodes = None
    operated.operator = operated.new_operator()
    operated.cluster.put(a_service({}))
    await operated.operator.look()
    await operated.operator.reconcile(operated.now)
    (told,) = [c for c in operated.status["conditions"] if c["type"] == "CapacityAvailable"]
    assert (told["status"], told["reason"]) == ("Unknown", "NotSeen")
    assert "some namespaces" in told["message"]


async def test_the_forecast_costs_no_write_of_its_own_where_all_fits(operated: OperatedCluster) -> None:
    operated.cluster.put(a_service({}))
    await operated.settle()
    without = OperatedCluster()
    assert without.nodes is not None
    without.nodes.asked = 0
    without.cluster.put(a_service({}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Foresight, "forecast", _nothing_to_tell)
        await without.settle()
    assert without.nodes.asked == 0
    assert [w.path for w in operated.cluster.writes] == [w.path for w in without.cluster.writes]


async def _nothing_to_tell(*_: Any) -> Forecast:
    return forecast.PLACED


def a_pod(name: str, placed: bool, **metadata: Any) -> Object:
    condition = {"type": "PodScheduled", "status": "True" if placed else "False"}
    labels = {naming.REVISION_LABEL: A}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ml", "labels": labels, **metadata},
        "status": {"conditions": [condition]},
    }


PLACED, WAITING = a_pod("p", True), a_pod("w", False)
GOING = a_pod("g", True, deletionTimestamp="2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("pods", "low", "workload", "offered", "fits"),
    [
        ([], 2, Workload(A), 2, True),
        ([], 2, Workload(A), 1, False),
        ([PLACED], 2, Workload(A, 2), 1, True),
        ([PLACED, WAITING], 2, Workload(A, 2), 0, False),
        ([PLACED, PLACED], 2, Workload(A, 2), 0, True),
        ([PLACED, PLACED], 2, Workload(A, 5), 2, False),  # What the HPA asks for, too.
        ([GOING, PLACED], 2, Workload(A, 2), 0, False),
        ([], 2, Workload(A, 2, ready=2), 0, True),  # Pods that this view hasn't seen yet.
    ],
)
async def test_a_pod_is_missing_until_a_node_has_taken_it(
    pods: list[Object], low: int, workload: Workload, offered: int, fits: bool
) -> None:
    nodes = Nodes()
    nodes.offer(**{GPU: str(offered)})
    service = a_service({})
    service["metadata"].update(uid="u", generation=1)
    understood = understand(service, KEY, InferenceServiceStatus(), tuple(pods), Install(), {})
    bounds = {understood.revision.name: Bounds(low, 9)}
    # The builders' revision and the one of this spec are the same one to this test.
    for pod in pods:
        pod["metadata"]["labels"][naming.REVISION_LABEL] = understood.revision.name
    found = await Foresight(nodes, Install()).forecast(understood, bounds, {understood.revision.name: workload})
    assert found.fits is fits


class Remembering:
    """A census whose older listings tell of other nodes than its new ones."""

    def __init__(self, older: str, newer: str) -> None:
        self.offers = {LONG_KEPT_SECONDS: older, KEPT_SECONDS: newer}
        self.asked: list[float] = []

    async def inventory(self, kept_seconds: float = KEPT_SECONDS) -> Inventory:
        self.asked.append(kept_seconds)
        allocatable = {"cpu": self.offers[kept_seconds], "pods": "10"}
        return Inventory([{"metadata": {"name": "n1"}, "status": {"allocatable": allocatable}}], {})

    async def quotas(self, namespace: str, kept_seconds: float = KEPT_SECONDS) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("awaited", "older", "newer", "fits", "asked"),
    [
        pytest.param(1, "0", "4", False, [LONG_KEPT_SECONDS], id="pods that wait: old news of no room do"),
        pytest.param(1, "4", "0", False, [LONG_KEPT_SECONDS, KEPT_SECONDS], id="old news of room don't"),
        pytest.param(0, "0", "4", True, [KEPT_SECONDS], id="pods that nobody makes yet: only new ones do"),
    ],
)
async def test_only_that_pods_that_wait_find_no_room_may_be_old_news(
    awaited: int, older: str, newer: str, fits: bool, asked: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}
    monkeypatch.setattr(foresight, "_wanted", lambda *_: [forecast.Wanted("churn-aaaaaaaa", pod, 1, 0, awaited)])
    census = Remembering(older, newer)
    service: Any = SimpleNamespace(key=Key("ml", "churn"))
    found = await Foresight(census, Install()).forecast(service, {}, {})
    assert (found.fits, census.asked) == (fits, asked)
