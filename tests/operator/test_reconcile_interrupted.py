"""An operator killed between any two writes: the next one ends where an undisturbed one does."""

from datetime import timedelta

from .builders import Object, a_service
from .operated_cluster import OperatedCluster

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
