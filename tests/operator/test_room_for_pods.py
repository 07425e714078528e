"""Whether one more pod of a revision fits, and what is told where it doesn't."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.desired.pod import pod_template
from tidegate_operator.fit import Inventory, Room
from tidegate_operator.fit import room as rooms
from tidegate_operator.fit.forecast import Wanted, forecast
from tidegate_operator.fit.nodes import used_by
from tidegate_operator.fit.requests import limits, requests
from tidegate_operator.install import Install

from .builders import A, Object, a_spec

GPU = "nvidia.com/gpu"
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}


def a_node(name: str = "n1", *, labels: Any = None, taints: Any = (), **offered: Any) -> Object:
    allocatable = {"cpu": "8", "memory": "32Gi", "pods": "110", GPU: "8", **offered}
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": allocatable},
    }


def placed(count: int = 1, *, node: str = "n1", phase: str = "Running", **requests: str) -> list[Object]:
    resources = {"requests": requests}
    pod = {"spec": {"nodeName": node, "containers": [{"resources": resources}]}, "status": {"phase": phase}}
    return [pod] * count


def gpus(count: int, **more: Any) -> list[Object]:
    return placed(count, **{GPU: "1"}, **more)


def a_quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> Object:
    return {"metadata": {"name": "team"}, "spec": spec, "status": {"hard": hard, "used": used or {}}}


def room(pod: Object, nodes: list[Object], pods: list[Object], quotas: Any = (), made: int = 0) -> Room:
    return rooms.room(pod, Inventory(nodes, used_by(pods)), quotas, made)


def of_spec(**parts: Any) -> Object:
    pod: Object = pod_template("churn", A, a_spec(**parts), Install())["spec"]
    return pod


PLAIN = of_spec()
"""1 processor, 2Gi and 1 nvidia.com/gpu."""
ON_CPU = of_spec(runtime={"device": "cpu"})
ON_A100 = of_spec(placement={"nodeSelector": {"gpu": "a100"}})
TOLERANT = of_spec(placement={"tolerations": [{"key": GPU, "operator": "Exists"}]})

FITS: dict[str, tuple[Object, list[Object], list[Object], int]] = {
    "an empty node, by its GPUs": (PLAIN, [a_node()], [], 8),
    "one GPU is left": (PLAIN, [a_node()], gpus(7), 1),
    "by its processors": (PLAIN, [a_node(cpu="2500m")], [], 2),
    "by its memory": (PLAIN, [a_node(memory="7Gi")], [], 3),
    "by its places for pods": (PLAIN, [a_node(pods="3")], placed(2), 1),
    "several nodes together": (PLAIN, [a_node(), a_node("n2")], [*gpus(6), *gpus(7, node="n2")], 3),
    "a GPU isn't needed on cpu": (ON_CPU, [a_node()], gpus(8), 8),
    "pods that have ended take nothing": (
        PLAIN,
        [a_node()],
        [*gpus(8, phase="Succeeded"), *gpus(7, phase="Failed")],
        8,
    ),
    "pods without a node take nothing": (PLAIN, [a_node()], gpus(8, node=""), 8),
    "the node that is chosen": (ON_A100, [a_node(labels={"gpu": "a100"}), a_node("n2")], [], 8),
    "a taint that is tolerated": (TOLERANT, [a_node(taints=[TAINT])], [], 8),
    "a taint that only discourages": (PLAIN, [a_node(taints=[{**TAINT, "effect": "PreferNoSchedule"}])], [], 8),
}


@pytest.mark.parametrize(("pod", "nodes", "pods", "count"), FITS.values(), ids=FITS.keys())
def test_more_pods_fit(pod: Object, nodes: list[Object], pods: list[Object], count: int) -> None:
    assert room(pod, nodes, pods) == Room(count)


FULL: dict[str, tuple[Object, list[Object], list[Object], str]] = {
    "every GPU in use": (PLAIN, [a_node()], gpus(8), f"no node has 1 free {GPU} (8 of 8 in use on 1 node)"),
    "two GPUs, but on two nodes": (
        of_spec(resources={"gpu": {"count": 2}}),
        [a_node(), a_node("n2")],
        [*gpus(7), *gpus(7, node="n2")],
        f"no node has 2 free {GPU} (14 of 16 in use on 2 nodes)",
    ),
    "no such GPU": (
        of_spec(resources={"gpu": {"resource": "nvidia.com/mig-1g.10gb"}}),
        [a_node()],
        [],
        "no node offers nvidia.com/mig-1g.10gb",
    ),
    "no memory": (
        of_spec(resources={"requests": {"memory": "40Gi"}}),
        [a_node()],
        placed(memory="512Mi"),
        "no node has 40Gi free memory (512Mi of 32Gi in use on 1 node)",
    ),
    "no processor and no GPU": (
        PLAIN,
        [a_node()],
        [*gpus(8), *placed(cpu="7500m")],
        f"no node has 1 free cpu (7.5 of 8 in use on 1 node) and no node has 1 free {GPU} (8 of 8 in use on 1 node)",
    ),
    "each on another node": (
        PLAIN,
        [a_node(), a_node("n2", **{GPU: "0"})],
        placed(cpu="8"),
        f"no node has free at once 1 cpu, 2Gi memory, 1 {GPU}",
    ),
    "no node": (PLAIN, [], [], "no node takes the pod: there is none"),
    "a cordoned node": (
        PLAIN,
        [{**a_node(), "spec": {"unschedulable": True}}],
        [],
        "no node takes the pod: 1 cordoned",
    ),
    "labels that no node has": (
        ON_A100,
        [a_node(), a_node("n2", labels={"gpu": "t4"}), a_node("n3", labels={"gpu": "a100"}, taints=[TAINT])],
        [],
        f"no node takes the pod: 1 with the taint {GPU}=present:NoSchedule, 2 without the label gpu=a100",
    ),
    "a full node beside a tainted one": (
        PLAIN,
        [a_node(), a_node("n2", taints=[TAINT])],
        gpus(8),
        f"no node has 1 free {GPU} (8 of 8 in use on 1 node);"
        f" nodes that don't take the pod: 1 with the taint {GPU}=present:NoSchedule",
    ),
}


@pytest.mark.parametrize(("pod", "nodes", "pods", "message"), FULL.values(), ids=FULL.keys())
def test_no_pod_fits(pod: Object, nodes: list[Object], pods: list[Object], message: str) -> None:
    assert room(pod, nodes, pods) == Room(0, message)


QUOTAS: dict[str, tuple[Object, int]] = {
    "GPUs": (a_quota({f"requests.{GPU}": "4"}, {f"requests.{GPU}": "2"}), 2),
    "processors by their short name": (a_quota({"cpu": "3"}), 3),
    "the limits of memory": (a_quota({"limits.memory": "5Gi"}), 2),
    "the tightest of several": (a_quota({"requests.cpu": "5", "pods": "1"}), 1),
    "what the pod doesn't ask for": (a_quota({"limits.cpu": "0", "services": "0", "requests.amd.com/gpu": "0"}), 8),
    "pods that ask for nothing": (a_quota({"pods": "0"}, scopes=["BestEffort"]), 8),
    "pods that end": (a_quota({"pods": "0"}, scopes=["Terminating"]), 8),
    "pods that don't end": (a_quota({"pods": "1"}, scopes=["NotTerminating", "NotBestEffort"]), 1),
}


@pytest.mark.parametrize(("quota", "count"), QUOTAS.values(), ids=QUOTAS.keys())
def test_a_quota_leaves_room_by(quota: Object, count: int) -> None:
    assert room(PLAIN, [a_node()], [], [quota]) == Room(count)


def test_a_quota_counts_a_pod_that_waits_for_its_node_once() -> None:
    spent = a_quota({"pods": "2"}, {"pods": "2"})
    assert room(PLAIN, [a_node()], [], [spent], made=1) == Room(1)
    assert room(PLAIN, [a_node()], [], [spent]).pods == 0


@pytest.mark.parametrize(
    ("operator", "values", "of_high", "of_none"),
    [
        ("In", ["high"], True, False),
        ("NotIn", ["high"], False, True),
        ("Exists", [], True, False),
        ("DoesNotExist", [], False, True),
    ],
)
def test_a_quota_of_a_priority_counts_pods_of_it(
    operator: str, values: list[str], of_high: bool, of_none: bool
) -> None:
    expression = {"scopeName": "PriorityClass", "operator": operator, "values": values}
    quota = a_quota({"pods": "0"}, scopeSelector={"matchExpressions": [expression]})
    high = of_spec(placement={"priorityClass": "high"})
    assert [room(pod, [a_node()], [], [quota]).pods == 0 for pod in (high, PLAIN)] == [of_high, of_none]


def test_a_spent_quota_is_told_beside_full_nodes() -> None:
    quota = a_quota({f"requests.{GPU}": "2", "requests.memory": "4Gi"}, {f"requests.{GPU}": "2"})
    assert room(PLAIN, [a_node()], gpus(8), [quota]) == Room(
        0,
        f"no node has 1 free {GPU} (8 of 8 in use on 1 node);"
        f" quota team: 2 of 2 requests.{GPU} in use, one more pod takes 1",
    )


def test_a_pod_asks_for_its_containers_or_for_an_init_container_that_needs_more() -> None:
    def container(cpu: str, **more: str) -> Object:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    pod = {
        "initContainers": [container("5"), container("1", restartPolicy="Always"), container("5")],
        "containers": [container("2"), container("500m")],
        "overhead": {"cpu": "250m"},
    }
    # 6 = 5 beside the sidecar that started before it; the containers with the sidecar are 3.5.
    assert requests(pod) == {"cpu": 6.25}
    assert limits(pod) == {"cpu": 0.25}
    assert requests({**pod, "resources": {"requests": {"cpu": "4"}}}) == {"cpu": 4.25}


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 4))
def test_a_pod_fits_as_long_as_its_number_says_so(offered: int, used: int, each: int) -> None:
    pod = of_spec(resources={"gpu": {"count": each}, "requests": {"cpu": "1m", "memory": "64Mi"}})
    node = a_node(**{GPU: str(offered)})
    found = room(pod, [node], gpus(used))
    # As many pods as there is room for can be added, and then there is no room.
    assert found.pods == max(0, (offered - used) // each)
    assert bool(found.message) is (found.pods == 0)
    assert room(pod, [node], gpus(used + found.pods * each)).pods == 0


@pytest.mark.parametrize(("awaited", "told"), [((1, 2), True), ((1, 1), False), ((0, 2), False)])
def test_only_pods_that_are_there_or_asked_for_are_told_of_when_they_get_a_node(
    awaited: tuple[int, int], told: bool
) -> None:
    pod = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}
    wanted = [Wanted("a", pod, 1, 0, awaited[0]), Wanted("b", pod, 2, 0, awaited[1])]
    found = forecast(wanted, Inventory([], {}), [])
    assert (found.fits, found.told) == (False, told)
