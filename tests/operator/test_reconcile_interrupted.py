"""An operator killed between any two writes: the next one ends where an undisturbed one does."""

from datetime import timedelta

import pytest

from tidegate_operator import errors

from .builders import Object, a_service
from .operated_cluster import OperatedCluster, children_of

SPEC = {
    "scaling": {"minReplicas": 2, "maxReplicas": 8},
    "rollout": {"steps": [{"weight": 10, "hold": "1m"}], "approval": "Manual", "scaleDownDelay": "5m"},
}


async def story(operated: OperatedCluster) -> list[Object]:
    """Installed, changed, promoted, changed again, aborted, fixed in number; returns the contents along the way."""
    contents = []

    async def rest() -> None:
        await operated.settle()
        contents.append(operated.cluster.content())

    operated.cluster.put(a_service(SPEC))
    await rest()
    operated.change(model={"uri": "https://models.example/churn-2.onnx"})
    await rest()
    operated.now += timedelta(minutes=1)
    await rest()
    operated.ask("Promote", operated.revision("canary"), "1")
    await rest()
    operated.now += timedelta(minutes=5)
    await rest()
    operated.change(model={"uri": "https://models.example/churn-3.onnx"})
    await rest()
    operated.ask("Abort", operated.revision("canary"), "2")
    await rest()
    operated.now += timedelta(minutes=1)
    operated.change(scaling={"minReplicas": 3})
    await rest()
    return contents


async def test_killed_before_any_write_the_story_stays_the_same() -> None:
    undisturbed = OperatedCluster()
    expected = await story(undisturbed)
    writes = len(undisturbed.cluster.writes)
    assert writes > 40, "a story that short tells little"
    for write in range(writes):
        killed = OperatedCluster()
        killed.cluster.kill_at = write
        assert await story(killed) == expected, f"killed before write {write}, {undisturbed.cluster.writes[write]}"
        assert killed.cluster.kill_at is None, "the operator was never killed"


async def test_a_decision_that_came_too_late_leaves_a_record_at_most() -> None:
    operated = OperatedCluster()
    operated.cluster.put(a_service(SPEC))
    operated.cluster.refuse = lambda write: errors.Conflict("stale", 409) if write.path.endswith("/status") else None
    await operated.operator.look()
    with pytest.raises(errors.Conflict):
        await operated.operator.reconcile(operated.now)
    assert {kind for kind, _ in children_of(operated.cluster)} == {"ControllerRevision"}


async def test_no_pods_are_made_of_a_revision_that_cannot_be_recorded() -> None:
    operated = OperatedCluster()
    operated.cluster.put(a_service(SPEC))
    refusal = errors.Forbidden("no quota for records", 403)
    operated.cluster.refuse = lambda write: refusal if "controllerrevisions" in write.path else None
    await operated.operator.look()
    with pytest.raises(errors.Forbidden):
        await operated.operator.reconcile(operated.now)
    assert children_of(operated.cluster) == set()
    assert operated.condition("Ready") == ("False", "ChildRefused")
