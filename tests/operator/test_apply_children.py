"""One apply at a time: what is sent, at which version, and never over somebody else's object."""

from typing import Any

import pytest

from tidegate_operator import errors
from tidegate_operator.kube.apply import Applier, NotOwned
from tidegate_operator.kube.objects import SERVICE
from tidegate_operator.kube.store import Store

from .builders import NOW
from .fake_cluster import FakeCluster

PATH = SERVICE.path("ml", "churn")


def a_manifest(port: int = 80, *, owner: str = "uid-churn") -> dict[str, Any]:
    reference = {"uid": owner, "controller": True}
    metadata = {"name": "churn", "namespace": "ml", "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"port": port}}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def applier(cluster: FakeCluster, store: Store) -> Applier:
    return Applier(cluster, store)


async def test_what_is_there_as_declared_is_not_sent_again(applier: Applier, cluster: FakeCluster) -> None:
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    assert len(cluster.writes) == 1


async def test_a_changed_manifest_is_sent(applier: Applier, cluster: FakeCluster) -> None:
    await applier.apply(a_manifest(80), "m", "uid-churn", NOW)
    await applier.apply(a_manifest(81), "m", "uid-churn", NOW)
    assert cluster.objects[PATH]["spec"] == {"port": 81}


async def test_a_status_that_changed_calls_for_no_apply(applier: Applier, cluster: FakeCluster, store: Store) -> None:
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    store.put(cluster.edit(PATH, lambda item: item.update(status={"loadBalancer": {}})))
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    assert len(cluster.writes) == 1


async def test_an_apply_from_a_stale_view_is_a_conflict(applier: Applier, cluster: FakeCluster) -> None:
    await applier.apply(a_manifest(80), "m", "uid-churn", NOW)
    changed = cluster.edit(PATH, lambda item: item["spec"].update(port=99))
    with pytest.raises(errors.Conflict):
        await applier.apply(a_manifest(81), "m", "uid-churn", NOW)
    assert cluster.objects[PATH] == changed


async def test_an_object_of_ours_that_no_watch_told_of_is_taken(applier: Applier, cluster: FakeCluster) -> None:
    cluster.put(a_manifest(99))
    await applier.apply(a_manifest(80), "m", "uid-churn", NOW)
    assert cluster.objects[PATH]["spec"] == {"port": 80}


async def test_a_new_object_takes_one_call(applier: Applier, cluster: FakeCluster) -> None:
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    assert cluster.calls == [("apply", PATH)]


async def test_what_kubernetes_notes_on_an_object_calls_for_no_apply(
    applier: Applier, cluster: FakeCluster, store: Store
) -> None:
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    noted = {"deployment.kubernetes.io/revision": "1"}
    store.put(cluster.edit(PATH, lambda item: item["metadata"]["annotations"].update(noted)))
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    assert len(cluster.writes) == 1


@pytest.mark.parametrize("known", [True, False], ids=["known", "not known yet"])
async def test_a_process_that_has_just_started_sends_nothing_that_is_there_already(
    applier: Applier, cluster: FakeCluster, known: bool
) -> None:
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    store = Store()
    if known:
        store.put(cluster.objects[PATH])
    await Applier(cluster, store).apply(a_manifest(), "m", "uid-churn", NOW)
    assert [write.verb for write in cluster.writes] == (["apply"] if known else ["apply", "apply"])
    assert cluster.objects[PATH]["metadata"]["resourceVersion"] == "2", "what stands is not written again"


async def test_what_somebody_changed_before_the_start_is_set_back(applier: Applier, cluster: FakeCluster) -> None:
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    store = Store()
    store.put(cluster.edit(PATH, lambda item: item["spec"].update(port=99)))
    await Applier(cluster, store).apply(a_manifest(), "m", "uid-churn", NOW)
    assert cluster.objects[PATH]["spec"] == {"port": 80}


async def test_a_field_that_is_no_longer_declared_goes_though_the_process_is_another(
    applier: Applier, cluster: FakeCluster
) -> None:
    more = {**a_manifest(), "spec": {"port": 80, "externalName": "churn.example"}}
    await applier.apply(more, "m", "uid-churn", NOW)
    store = Store()
    store.put(cluster.objects[PATH])
    await Applier(cluster, store).apply(a_manifest(), "m", "uid-churn", NOW)
    assert cluster.objects[PATH]["spec"] == {"port": 80}


@pytest.mark.parametrize("known", [True, False], ids=["known", "not known yet"])
async def test_somebody_elses_object_is_left_alone(
    applier: Applier, cluster: FakeCluster, store: Store, known: bool
) -> None:
    foreign = cluster.put(a_manifest(99, owner="uid-other"))
    if known:
        store.put(foreign)
    with pytest.raises(NotOwned, match="Service churn exists and isn't owned by this InferenceService"):
        await applier.apply(a_manifest(80), "m", "uid-churn", NOW)
    assert cluster.objects[PATH] == foreign


async def test_deleting_what_is_gone_is_no_error(applier: Applier, cluster: FakeCluster, store: Store) -> None:
    item = cluster.put(a_manifest())
    store.put(item)
    cluster.remove(PATH)
    await applier.delete(item)
    assert len(store) == 0


async def test_deleting_spares_a_namesake(applier: Applier, cluster: FakeCluster) -> None:
    old = cluster.put(a_manifest())
    cluster.remove(PATH)
    namesake = cluster.put(a_manifest())
    with pytest.raises(errors.Conflict):
        await applier.delete(old)
    assert cluster.objects[PATH] == namesake


async def test_a_deleted_object_is_applied_anew(applier: Applier, cluster: FakeCluster, store: Store) -> None:
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    item = cluster.objects[PATH]
    await applier.delete(item)
    store.remove(item)
    await applier.apply(a_manifest(), "m", "uid-churn", NOW)
    assert cluster.objects[PATH]["spec"] == {"port": 80}


async def test_dropping_a_field_resets_it_unless_someone_else_declared_it(cluster: FakeCluster) -> None:
    """What the fake has to get right for the tests on it to mean something, as tried on a real API server."""
    path = "/apis/apps/v1/namespaces/ml/deployments/d"
    base = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "ml"}}
    with_five = {**base, "spec": {"replicas": 5, "paused": False}}
    without = {**base, "spec": {"paused": False}}
    await cluster.apply(path, with_five, "one")
    assert (await cluster.apply(path, without, "one"))["spec"]["replicas"] == 1
    await cluster.apply(path, with_five, "one")
    await cluster.apply(path, {**base, "spec": {"replicas": 5}}, "two")
    assert (await cluster.apply(path, without, "one"))["spec"]["replicas"] == 5
