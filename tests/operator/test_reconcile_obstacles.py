"""What can't be done is told once, stays told, and is no longer told once it can be done."""

from collections.abc import Awaitable, Callable

import pytest

from tidegate_operator.kube.apply import NotOwned
from tidegate_operator.kube.objects import SERVICE

from .builders import a_service
from .operated_cluster import OperatedCluster, children_of

Serving = Callable[..., Awaitable[OperatedCluster]]


async def test_a_service_of_somebody_elses_is_left_alone_and_told(operated: OperatedCluster) -> None:
    foreign = operated.cluster.put(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn", "namespace": "ml"}, "spec": {}}
    )
    operated.cluster.put(a_service())
    for _ in range(4):
        await operated.operator.look()
        with pytest.raises(NotOwned):
            await operated.operator.reconcile(operated.now)
        operated.run_pods()
    assert operated.cluster.objects[SERVICE.path("ml", "churn")] == foreign
    assert operated.condition("Stalled") == ("True", "NotOwned")
    assert operated.condition("Ready") == ("False", "NotOwned")
    assert operated.condition("Reconciling") == ("False", "NotOwned")
    before, told = operated.cluster.versions(), len(operated.cluster.events)
    with pytest.raises(NotOwned):
        await operated.operator.reconcile(operated.now)
    assert operated.cluster.versions() == before
    assert len(operated.cluster.events) == told


async def test_an_obstacle_that_is_gone_is_no_longer_told(operated: OperatedCluster) -> None:
    operated.cluster.put(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn", "namespace": "ml"}, "spec": {}}
    )
    operated.cluster.put(a_service())
    await operated.operator.look()
    with pytest.raises(NotOwned):
        await operated.operator.reconcile(operated.now)
    operated.cluster.remove(SERVICE.path("ml", "churn"))
    await operated.settle()
    assert operated.condition("Stalled") == ("False", "Progressing")
    assert operated.condition("Ready") == ("True", "Serving")


async def test_a_spec_that_the_install_does_not_allow_is_told_and_starts_nothing(operated: OperatedCluster) -> None:
    operated.cluster.put(a_service({"model": {"uri": "http://models.example/churn.onnx"}}))
    await operated.settle()
    assert operated.condition("Stalled") == ("True", "InvalidSpec")
    assert children_of(operated.cluster) == set()


async def test_a_spec_that_is_no_longer_allowed_leaves_running_what_runs(serving: Serving) -> None:
    found = await serving()
    before = found.replicas
    found.change(model={"uri": "http://models.example/churn.onnx"})
    await found.settle()
    assert found.replicas == before
    assert found.condition("Ready") == ("False", "InvalidSpec")
