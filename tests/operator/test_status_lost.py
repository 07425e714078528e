"""Restoring a backup drops the status of custom resources; what runs must not notice."""

from collections.abc import Awaitable, Callable

import pytest

from .operated_cluster import PATH, OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

MANUAL = {"steps": [{"weight": 10, "hold": "1m"}], "approval": "Manual", "scaleDownDelay": "5m"}


async def lose_status(found: OperatedCluster) -> None:
    found.cluster.edit(PATH, lambda item: item.pop("status"))
    await found.settle()


async def test_a_lost_status_comes_back_as_it_was(serving: Serving) -> None:
    found = await serving()
    stable, replicas = found.revision("stable"), found.replicas
    await lose_status(found)
    assert (found.revision("stable"), found.replicas) == (stable, replicas)
    assert found.condition("Ready") == ("True", "Serving")


async def test_a_live_stable_stays_stable_though_the_spec_asks_for_another_revision(serving: Serving) -> None:
    found = await serving(rollout=MANUAL)
    stable = found.revision("stable")
    found.cluster.edit(PATH, lambda item: item["spec"].update(model={"uri": "https://models.example/churn-2.onnx"}))
    await lose_status(found)
    assert found.revision("stable") == stable
    assert found.revision("canary") != stable
    assert set(found.replicas) == {stable, found.revision("canary")}


async def test_of_two_live_revisions_the_one_with_the_most_ready_pods_is_stable(serving: Serving) -> None:
    found = await serving(scaling={"minReplicas": 3}, rollout=MANUAL)
    stable = found.revision("stable")
    found.change(model={"uri": "https://models.example/churn-2.onnx"})
    await found.settle()
    canary = found.revision("canary")
    await lose_status(found)
    assert (found.revision("stable"), found.revision("canary")) == (stable, canary)


@pytest.mark.parametrize("number", range(2, 6))
async def test_of_two_live_revisions_with_equal_pods_the_one_that_the_spec_does_not_ask_for_is_stable(
    number: int, serving: Serving
) -> None:
    found = await serving(rollout=MANUAL)
    stable = found.revision("stable")
    found.change(model={"uri": f"https://models.example/churn-{number}.onnx"})
    await found.settle()
    canary = found.revision("canary")
    await lose_status(found)
    assert (found.revision("stable"), found.revision("canary")) == (stable, canary)
