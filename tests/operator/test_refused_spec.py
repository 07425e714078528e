"""A spec that this install doesn't take, under a rollout: what runs goes on, and can still be stopped."""

from collections.abc import Awaitable, Callable

from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

MANUAL = {"steps": [{"weight": 10, "hold": "0s"}], "approval": "Manual", "scaleDownDelay": "5m"}


async def refused_under_a_canary(serving: Serving) -> OperatedCluster:
    found = await serving(rollout=MANUAL)
    found.change(model={"uri": "https://models.example/churn-2.onnx"})
    await found.settle()
    assert found.status["canary"]["weight"] == 10
    found.change(model={"uri": "http://models.example/churn-3.onnx"})
    await found.settle()
    return found


async def test_a_refused_spec_is_told_and_leaves_stable_and_canary_as_they_are(serving: Serving) -> None:
    found = await refused_under_a_canary(serving)
    assert found.condition("Stalled") == ("True", "InvalidSpec")
    assert found.condition("Ready") == ("False", "InvalidSpec")
    assert found.status["canary"]["weight"] == 10
    assert set(found.replicas) == {found.revision("stable"), found.revision("canary")}


async def test_a_canary_can_be_aborted_under_a_refused_spec(serving: Serving) -> None:
    found = await refused_under_a_canary(serving)
    found.ask("Abort", found.revision("canary"))
    await found.settle()
    assert found.status["rollout"]["lastRequest"]["accepted"] is True
    assert "canary" not in found.status
    assert found.status["stable"]["weight"] == 100


async def test_a_canary_that_is_lost_under_a_refused_spec_loses_its_weight(serving: Serving) -> None:
    found = await refused_under_a_canary(serving)
    found.failing.add(found.revision("canary"))
    found.run_pods()
    await found.settle()
    assert found.status["canary"]["weight"] == 0
