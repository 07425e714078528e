"""Back to a revision that served before: its pods as they were rendered then, whatever the spec and the release are."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

MANUAL = {"steps": [{"weight": 10, "hold": "0s"}], "approval": "Manual", "scaleDownDelay": "5m"}
NEW_MODEL = {"uri": "https://models.example/churn-2.onnx"}


async def promoted(serving: Serving) -> tuple[OperatedCluster, str, str]:
    """A service whose second revision was promoted; the names of the first and of the second."""
    found = await serving(scaling={"minReplicas": 2}, rollout=MANUAL)
    old = found.revision("stable")
    found.change(model=NEW_MODEL)
    await found.settle()
    new = found.revision("canary")
    found.ask("Promote", new)
    await found.settle()
    assert found.revision("stable") == new
    return found, old, new


async def test_a_rollback_to_pods_that_are_still_warm_takes_one_look(serving: Serving) -> None:
    found, old, new = await promoted(serving)
    found.ask("Rollback", old, "2")
    await found.operator.look()
    await found.operator.reconcile(found.now)
    await found.operator.reconcile(found.now)
    assert found.status["stable"]["revision"] == old
    await found.settle()
    assert found.status["previous"]["revision"] == new
    assert found.status["rollout"]["phase"] == "Aborted"
    assert found.condition("RolloutHealthy") == ("False", "RolledBack")
    assert found.condition("Ready") == ("True", "Serving")


async def test_a_rollback_brings_pods_back_as_they_were_rendered(serving: Serving) -> None:
    found, old, _ = await promoted(serving)
    template = found.cluster.of_kind("Deployment")[old]["spec"]["template"]
    found.now += timedelta(minutes=6)
    await found.settle()
    assert old not in found.replicas
    found.ask("Rollback", old, "2")
    await found.settle()
    assert found.revision("stable") == old
    assert found.cluster.of_kind("Deployment")[old]["spec"]["template"] == template
    assert found.replicas[old] == 2


async def test_what_was_rolled_back_from_is_not_tried_again_until_it_is_asked_for(serving: Serving) -> None:
    found, old, new = await promoted(serving)
    found.ask("Rollback", old, "2")
    await found.settle()
    found.operator = found.new_operator()
    await found.settle()
    assert (found.revision("stable"), "canary" in found.status) == (old, False)
    found.ask("Retry", new, "3")
    await found.settle()
    assert found.revision("canary") == new


async def test_a_spec_that_is_brought_back_after_a_rollback_makes_no_new_revision(serving: Serving) -> None:
    found, old, _ = await promoted(serving)
    found.ask("Rollback", old, "2")
    await found.settle()
    found.change(model={"uri": "https://models.example/churn.onnx"})
    await found.settle()
    assert (found.revision("stable"), found.status["rollout"]["phase"]) == (old, "Stable")
    assert "rejected" not in found.status["rollout"]


async def test_the_revision_before_is_remembered_though_the_history_is_short(serving: Serving) -> None:
    found, old, new = await promoted(serving)
    found.change(rollout={**MANUAL, "historyLimit": 1})
    for number in range(3):
        found.change(model={"uri": f"https://models.example/tried-{number}.onnx"})
        await found.settle()
        found.ask("Abort", found.revision("canary"), f"tried-{number}")
        await found.settle()
        found.now += timedelta(minutes=6)
        await found.settle()
    assert {old, new} <= set(found.cluster.of_kind("ControllerRevision"))
    assert len(found.cluster.of_kind("ControllerRevision")) == 3
    assert found.status["previous"]["revision"] == old
