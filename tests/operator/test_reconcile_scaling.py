"""Who writes a Deployment's replicas: the HPA where there is one, and the operator where there is none."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from tidegate_operator import naming
from tidegate_operator.kube.objects import AUTOSCALER

from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

NEW_MODEL = {"uri": "https://models.example/churn-2.onnx"}
STEPS = {"steps": [{"weight": 50, "hold": "1m"}], "scaleDownDelay": "5m", "analysis": {"onNoData": "Pass"}}


def replicas_writes(found: OperatedCluster) -> list[str]:
    return [write.path for write in found.cluster.writes if write.manager == naming.REPLICAS_MANAGER]


async def test_a_fixed_service_has_its_replicas_and_no_hpa(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 3})
    assert list(found.replicas.values()) == [3]
    assert found.cluster.of_kind("HorizontalPodAutoscaler") == {}
    assert found.condition("ScalingActive") == ("False", "FixedReplicas")


async def test_a_fixed_service_that_someone_scaled_is_scaled_back(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 3})
    found.scale(found.revision("stable"), 7)
    await found.settle()
    assert list(found.replicas.values()) == [3]


async def test_an_autoscaled_service_starts_at_its_floor(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 2, "maxReplicas": 8})
    assert list(found.replicas.values()) == [2]
    (hpa,) = found.cluster.of_kind("HorizontalPodAutoscaler").values()
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 8)


async def test_replicas_are_never_written_under_an_hpa(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 2, "maxReplicas": 8})
    stable = found.revision("stable")
    found.scale(stable, 5)
    found.cluster.writes.clear()
    await found.settle()
    found.operator = found.new_operator()
    found.change(scaling={"minReplicas": 1, "maxReplicas": 9})
    await found.settle()
    assert found.replicas == {stable: 5}
    assert replicas_writes(found) == []


@pytest.mark.parametrize("pods", [4, 8], ids=["below maxReplicas", "at maxReplicas"])
async def test_a_rollout_leaves_the_hpa_in_charge_of_stable(serving: Serving, pods: int) -> None:
    found = await serving(scaling={"minReplicas": 1, "maxReplicas": 8}, rollout=STEPS)
    stable = found.revision("stable")
    found.scale(stable, pods)
    hpa = found.cluster.of_kind("HorizontalPodAutoscaler")[stable]
    found.change(model=NEW_MODEL)
    await found.settle()
    assert found.cluster.of_kind("HorizontalPodAutoscaler")[stable]["metadata"]["uid"] == hpa["metadata"]["uid"]
    assert stable not in " ".join(replicas_writes(found)[1:])
    assert found.replicas == {stable: pods, found.revision("canary"): pods // 2}


async def test_handing_over_to_an_hpa_keeps_the_pods(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 5})
    found.change(scaling={"minReplicas": 1, "maxReplicas": 8})
    await found.settle()
    assert list(found.replicas.values()) == [5]
    assert len(found.cluster.of_kind("HorizontalPodAutoscaler")) == 1


async def test_taking_over_from_an_hpa_sets_the_number(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 1, "maxReplicas": 8})
    found.scale(found.revision("stable"), 5)
    found.change(scaling={"minReplicas": 3})
    await found.settle()
    assert list(found.replicas.values()) == [3]
    assert found.cluster.of_kind("HorizontalPodAutoscaler") == {}


async def test_a_deleted_hpa_comes_back_without_touching_the_pods(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 1, "maxReplicas": 8})
    stable = found.revision("stable")
    found.scale(stable, 5)
    await found.settle()
    found.cluster.remove(AUTOSCALER.path("ml", stable))
    await found.settle()
    assert found.replicas == {stable: 5}
    assert list(found.cluster.of_kind("HorizontalPodAutoscaler")) == [stable]


async def test_a_canary_without_room_has_no_pods_until_there_is_some(serving: Serving) -> None:
    """An HPA leaves a Deployment at 0 alone, so the operator has to raise it."""
    found = await serving(scaling={"minReplicas": 1, "maxReplicas": 2}, rollout={**STEPS, "surge": 0})
    stable = found.revision("stable")
    found.scale(stable, 2)
    found.change(model=NEW_MODEL)
    await found.settle()
    canary = found.revision("canary")
    assert found.replicas == {stable: 2, canary: 0}
    assert found.condition("Stalled") == ("True", "CapacityExceeded")
    assert list(found.cluster.of_kind("HorizontalPodAutoscaler")) == [stable]
    found.change(rollout={**STEPS, "surge": 2})
    await found.settle()
    assert found.replicas == {stable: 2, canary: 1}
    assert set(found.cluster.of_kind("HorizontalPodAutoscaler")) == {stable, canary}
    assert found.condition("Stalled") == ("False", "Progressing")


async def test_a_retiring_revision_keeps_its_pods_and_has_no_hpa(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 1, "maxReplicas": 8}, rollout=STEPS)
    old = found.revision("stable")
    found.scale(old, 2)
    found.change(model=NEW_MODEL)
    await found.settle()
    new = found.revision("canary")
    found.now += timedelta(minutes=1)
    await found.settle()
    found.scale(new, 2)
    await found.settle()
    assert found.revision("stable") == new
    assert found.replicas == {old: 2, new: 2}
    assert list(found.cluster.of_kind("HorizontalPodAutoscaler")) == [new]


async def test_an_hpa_that_cannot_read_its_metrics_is_told(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 1, "maxReplicas": 8})
    assert found.condition("ScalingActive") == ("Unknown", "Pending")
    condition = {"type": "ScalingActive", "status": "False", "reason": "FailedGetPodsMetric", "message": "no metrics"}
    path = AUTOSCALER.path("ml", found.revision("stable"))
    found.cluster.edit(path, lambda item: item.update(status={"conditions": [condition]}))
    await found.settle()
    assert found.condition("ScalingActive") == ("False", "FailedGetPodsMetric")


FRUGAL = {**STEPS, "surge": 0, "whenFull": "Yield"}


async def test_stable_gives_a_pod_up_when_its_autoscaler_can_and_gets_it_back_after_an_abort(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 1, "maxReplicas": 4}, rollout=FRUGAL)
    stable = found.revision("stable")
    found.scale(stable, 4)
    found.change(model=NEW_MODEL)
    await found.settle()
    canary = found.revision("canary")
    assert found.replicas == {stable: 4, canary: 0}
    assert found.condition("RolloutHealthy") == ("Unknown", "StableBusy")
    hpa = found.cluster.of_kind("HorizontalPodAutoscaler")[stable]
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 4)
    found.scale(stable, 2)
    await found.settle()
    assert found.replicas == {stable: 2, canary: 1}
    assert found.status["canary"]["weight"] == 50
    found.scale(stable, 1)
    await found.settle()
    found.ask("Abort", canary)
    await found.settle()
    hpa = found.cluster.of_kind("HorizontalPodAutoscaler")[stable]
    assert (hpa["spec"]["minReplicas"], found.status["rollout"]["whole"]) == (2, 2)
    found.scale(stable, 2)
    await found.settle()
    hpa = found.cluster.of_kind("HorizontalPodAutoscaler")[stable]
    assert (hpa["spec"]["minReplicas"], "whole" in found.status["rollout"]) == (1, False)


async def test_a_fixed_service_rolls_out_by_one_gpu_pod_more_than_it_has(serving: Serving) -> None:
    gpus = {"gpu": {"count": 2}}
    rollout = {**STEPS, "surgeGpus": 2, "whenFull": "Yield"}
    found = await serving(scaling={"minReplicas": 4}, resources=gpus, rollout=rollout)
    old = found.revision("stable")
    found.change(model=NEW_MODEL)
    most = 0
    for _ in range(10):
        await found.flow(30)
        serving_now = [found.status[role]["replicas"] for role in ("stable", "canary") if role in found.status]
        most = max(most, 2 * sum(serving_now))
    assert found.revision("stable") != old
    assert found.replicas[found.revision("stable")] == 4
    assert most == 10


async def test_a_new_revision_that_holds_more_gpus_is_counted_by_its_own(serving: Serving) -> None:
    rollout = {**STEPS, "surgeGpus": 2}
    found = await serving(scaling={"minReplicas": 2}, resources={"gpu": {"count": 2}}, rollout=rollout)
    found.change(resources={"gpu": {"count": 4}})
    await found.settle()
    assert found.condition("Stalled") == ("True", "CapacityExceeded")
    assert found.status["rollout"]["message"].endswith("allow 6: raise rollout.surgeGpus to 4")
    found.change(rollout={**STEPS, "surgeGpus": 4})
    await found.settle()
    assert found.status["canary"]["weight"] == 50


async def test_a_stable_whose_autoscaler_wants_its_pod_back_gets_it_before_the_canary_serves(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 1, "maxReplicas": 4}, rollout=FRUGAL)
    stable = found.revision("stable")
    found.scale(stable, 3)
    found.routers.answer = False
    found.change(model=NEW_MODEL)
    await found.settle()
    canary = found.revision("canary")
    assert found.replicas == {stable: 3, canary: 1}
    conditions = [
        {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": ""},
        {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": ""},
    ]
    path = AUTOSCALER.path("ml", stable)
    found.cluster.edit(path, lambda item: item.update(status={"conditions": conditions}))
    await found.settle()
    assert found.replicas == {stable: 3, canary: 0}
    hpa = found.cluster.of_kind("HorizontalPodAutoscaler")[stable]
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (4, 4)
