"""Without `spec.model.sha256` all pods of a revision run what its first one has fetched, whatever the URI holds."""

from datetime import timedelta
from typing import Any

import pytest

from tidegate_operator import naming
from tidegate_operator.observed import workloads

from .builders import A, Object, a_deployment, a_service
from .operated_cluster import OperatedCluster

FIRST, LATER = "a" * 64, "b" * 64
ROLLOUT = {"steps": [{"weight": 10, "hold": "0s"}], "approval": "Manual", "scaleDownDelay": "1s"}


def a_pod(revision: str, said: str | None, *, name: str = "x", ready: bool = True, second: int = 0) -> Object:
    """A pod whose fetcher ended well with these words."""
    ended = {"exitCode": 0, **({"message": said} if said is not None else {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{revision}-{name}",
            "namespace": "ml",
            "labels": naming.revision_labels("churn", revision),
            "creationTimestamp": f"2026-11-22T10:00:{second:02}Z",
        },
        "status": {
            "phase": "Running",
            "initContainerStatuses": [{"name": "fetch-model", "state": {"terminated": ended}}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def told(sha256: str) -> str:
    return f'{{"sha256": "{sha256}"}}'


def pins(found: OperatedCluster) -> dict[str, str]:
    return {name: item["data"]["sha256"] for name, item in found.cluster.of_kind("ConfigMap").items()}


async def created(found: OperatedCluster, **spec: Any) -> str:
    """A service by its first pass alone; returns the revision."""
    found.cluster.put(a_service({"rollout": ROLLOUT, **spec}))
    await found.operator.look()
    await found.operator.reconcile(found.now)
    await found.operator.reconcile(found.now)
    return found.revision("stable")


async def serve(found: OperatedCluster, revision: str, said: str | None, **pod: Any) -> None:
    """The revision's pod gets ready, and all that follows."""
    found.cluster.put(a_pod(revision, said, **pod))
    await found.settle()


async def test_one_pod_tells_before_there_are_more(operated: OperatedCluster) -> None:
    stable = await created(operated, scaling={"minReplicas": 3, "maxReplicas": 8})
    assert operated.replicas == {stable: 1}
    assert operated.status["stable"]["replicas"] == 1
    assert operated.cluster.of_kind("HorizontalPodAutoscaler") == {}
    await serve(operated, stable, told(FIRST))
    assert pins(operated) == {stable: FIRST}
    assert operated.replicas == {stable: 3}
    assert set(operated.cluster.of_kind("HorizontalPodAutoscaler")) == {stable}


async def test_the_pin_is_there_before_the_pods_that_it_holds(operated: OperatedCluster) -> None:
    stable = await created(operated, scaling={"minReplicas": 3})
    operated.cluster.writes.clear()
    await serve(operated, stable, told(FIRST))
    paths = [write.path for write in operated.cluster.writes if write.verb == "apply"]
    kinds = [path.split("/")[-2] for path in paths]
    assert kinds.index("configmaps") < kinds.index("deployments")


async def test_pods_are_told_by_a_variable_of_their_fetcher(operated: OperatedCluster) -> None:
    stable = await created(operated)
    (fetcher,) = operated.cluster.of_kind("Deployment")[stable]["spec"]["template"]["spec"]["initContainers"]
    reference = {"name": stable, "key": "sha256", "optional": True}
    assert fetcher["env"] == [{"name": "TIDEGATE_FETCH_SHA256", "valueFrom": {"configMapKeyRef": reference}}]


async def test_a_promised_digest_needs_no_pin(operated: OperatedCluster) -> None:
    model = {"uri": "https://models.example/churn.onnx", "sha256": FIRST}
    stable = await created(operated, model=model, scaling={"minReplicas": 3})
    assert operated.replicas == {stable: 3}
    await serve(operated, stable, told(FIRST))
    assert pins(operated) == {}


@pytest.mark.parametrize("said", [None, "", "fetched", "[1]", told("A" * 64), told("a" * 63), '{"sha256": 1}'])
async def test_a_runtime_that_tells_nothing_of_use_holds_up_nobody(operated: OperatedCluster, said: str | None) -> None:
    stable = await created(operated, scaling={"minReplicas": 3})
    await serve(operated, stable, said)
    assert (operated.replicas, pins(operated)) == ({stable: 3}, {})


async def test_a_pin_stays_as_it_is(operated: OperatedCluster) -> None:
    stable = await created(operated)
    await serve(operated, stable, told(FIRST))
    operated.cluster.remove(f"/api/v1/namespaces/ml/pods/{stable}-x")
    await serve(operated, stable, told(LATER), name="y")
    assert pins(operated) == {stable: FIRST}


async def test_a_pin_that_someone_deleted_is_made_anew_by_what_runs(operated: OperatedCluster) -> None:
    stable = await created(operated, scaling={"minReplicas": 3})
    await serve(operated, stable, told(FIRST))
    operated.cluster.remove(f"/api/v1/namespaces/ml/configmaps/{stable}")
    await operated.settle()
    assert (pins(operated), operated.replicas) == ({stable: FIRST}, {stable: 3})


def told_by_status(found: OperatedCluster) -> dict[str, str | None]:
    status = found.status
    known = (status.get("stable"), status.get("canary"), status.get("previous"))
    return {each["revision"]: each.get("modelSha256") for each in known if each}


async def test_the_status_tells_what_each_revision_is_held_to(operated: OperatedCluster) -> None:
    old = await created(operated)
    assert told_by_status(operated) == {old: None}
    await serve(operated, old, told(FIRST))
    assert told_by_status(operated) == {old: FIRST}
    operated.cluster.remove(f"/api/v1/namespaces/ml/pods/{old}-x")
    await serve(operated, old, told(LATER), name="y")
    assert told_by_status(operated) == {old: FIRST}, "the first has said it, whatever another one says"

    operated.change(model={"uri": "https://models.example/churn-2.onnx", "sha256": LATER})
    await operated.settle()
    new = operated.revision("canary")
    assert told_by_status(operated) == {old: FIRST, new: LATER}, "what a spec promises is known before there is a pod"
    operated.ask("Promote", new)
    await operated.settle()
    operated.now += timedelta(minutes=1)
    await operated.settle()
    assert told_by_status(operated) == {new: LATER, old: FIRST}, "a rollback brings back the same"


async def test_the_status_tells_nothing_of_pods_that_are_held_to_nothing(operated: OperatedCluster) -> None:
    """As an earlier release made them, whose fetcher asks nobody what it should be."""
    stable = await created(operated)
    record = operated.cluster.of_kind("ControllerRevision")[stable]
    (fetcher,) = record["data"]["template"]["spec"]["initContainers"]
    del fetcher["env"]
    operated.cluster.put(record)
    await serve(operated, stable, told(FIRST))
    assert (told_by_status(operated), pins(operated)) == ({stable: None}, {})


async def test_a_pin_is_kept_for_a_rollback_and_goes_with_its_record(operated: OperatedCluster) -> None:
    old = await created(operated)
    await serve(operated, old, told(FIRST))
    operated.change(model={"uri": "https://models.example/churn-2.onnx"})
    await operated.settle()
    new = operated.revision("canary")
    await serve(operated, new, told(LATER))
    operated.ask("Promote", new)
    await operated.settle()
    operated.now += timedelta(minutes=1)
    await operated.settle()
    assert old not in operated.replicas
    assert pins(operated) == {old: FIRST, new: LATER}
    for number in (3, 4):
        model = {"uri": f"https://models.example/churn-{number}.onnx"}
        operated.change(model=model, rollout={**ROLLOUT, "historyLimit": 1})
        await operated.settle()
        operated.ask("Promote", operated.revision("canary"), str(number))
        await operated.settle()
    operated.now += timedelta(minutes=1)
    await operated.settle()
    assert pins(operated) == {new: LATER}


def test_the_oldest_ready_pod_tells() -> None:
    pods = [
        a_pod(A, told(LATER), name="a", second=2),
        a_pod(A, told(FIRST), name="b", second=1),
        a_pod(A, told("c" * 64), name="c", ready=False),
    ]
    assert workloads([a_deployment(A, wanted=2, ready=2), *pods])[A].sha256 == FIRST
    assert workloads([a_deployment(A), pods[2]])[A].sha256 is None
