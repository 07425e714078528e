"""Passes over a service in a cluster that applies as Kubernetes does."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from tidegate_operator import errors, naming
from tidegate_operator.install import Install
from tidegate_operator.kube.objects import AUTOSCALER, BUDGET, DEPLOYMENT, RECORD, SERVICE, Kind
from tidegate_operator.kube.store import reference_of

from .builders import a_service, after
from .fake_cluster import Write
from .operated_cluster import PATH, OperatedCluster, children_of

Serving = Callable[..., Awaitable[OperatedCluster]]

NEW_MODEL = {"uri": "https://models.example/churn-2.onnx"}
CANARY = {"steps": [{"weight": 10, "hold": "1m"}], "approval": "Manual", "scaleDownDelay": "5m"}
ELASTIC = {"minReplicas": 1, "maxReplicas": 8}


async def test_a_new_service_gets_its_objects_and_serves(serving: Serving) -> None:
    found = await serving()
    stable = found.revision("stable")
    assert children_of(found.cluster) == {
        ("ControllerRevision", stable),
        ("Deployment", stable),
        ("Service", stable),
        ("PodDisruptionBudget", stable),
        ("Service", "churn"),
    }
    assert found.condition("Ready") == ("True", "Serving")
    assert found.condition("Reconciling") == ("False", "Settled")
    assert found.status["stable"]["weight"] == 100
    assert found.status["url"] == "http://churn.ml.svc.cluster.local"
    assert "externalUrl" not in found.status


async def test_an_install_with_a_domain_says_where_callers_from_outside_are_answered(
    operated: OperatedCluster,
) -> None:
    operated.install = Install(external_domain="models.example.com")
    operated.operator = operated.new_operator()
    operated.cluster.put(a_service({}))
    await operated.settle()
    assert operated.status["externalUrl"] == "https://churn.ml.models.example.com"


async def test_a_new_service_takes_a_call_for_each_child_and_two_to_tell_of_it(operated: OperatedCluster) -> None:
    operated.cluster.put(a_service())
    await operated.operator.look()
    before = len(operated.cluster.calls)
    await operated.operator.reconcile(operated.now)
    stable = operated.revision("stable")
    # The decision first, and what pods are made from before there are any; all else in any order.
    first, *others = operated.cluster.calls[before:]
    assert first == ("replace", f"{PATH}/status")
    record, deployment = (("apply", kind.path("ml", stable)) for kind in (RECORD, DEPLOYMENT))
    assert others.index(record) < others.index(deployment)
    assert sorted(others) == sorted(
        [
            ("apply", SERVICE.path("ml", "churn")),
            ("apply", SERVICE.path("ml", stable)),
            ("apply", BUDGET.path("ml", stable)),
            ("create", "/api/v1/namespaces/ml/events"),
            record,
            deployment,
        ]
    )


async def test_what_a_new_service_is_to_have_is_told_before_it_is_there(operated: OperatedCluster) -> None:
    model = {"uri": "https://models.example/churn.onnx", "sha256": "a" * 64}
    operated.cluster.put(a_service({"model": model, "scaling": {"minReplicas": 3}, "runtime": {"timeout": "7s"}}))
    await operated.operator.look()
    await operated.operator.reconcile(operated.now)
    told = operated.status["stable"]
    assert (told["replicas"], told["readyReplicas"], told["timeout"]) == (3, 0, "7s")
    await operated.operator.look()
    before = len(operated.cluster.calls)
    await operated.operator.reconcile(operated.now)
    assert operated.cluster.calls[before:] == []


async def test_every_child_is_owned_by_its_service(serving: Serving) -> None:
    found = await serving(scaling=ELASTIC)
    children = [item for item in found.cluster.objects.values() if item["kind"] != naming.KIND]
    assert len(children) == 6
    assert all(item["metadata"]["ownerReferences"][0]["uid"] == "uid-churn" for item in children)


@pytest.mark.parametrize("scaling", [{}, ELASTIC], ids=["fixed", "autoscaled"])
async def test_a_pass_over_a_settled_service_calls_for_no_write(serving: Serving, scaling: dict[str, int]) -> None:
    found = await serving(scaling=scaling)
    found.cluster.writes.clear()
    await found.operator.look()
    await found.operator.reconcile(found.now)
    assert found.cluster.writes == []


async def test_a_restarted_operator_changes_nothing(serving: Serving) -> None:
    found = await serving(scaling=ELASTIC, rollout=CANARY)
    found.change(model=NEW_MODEL)
    await found.settle()
    before = found.cluster.versions()
    found.cluster.writes.clear()
    found.operator = found.new_operator()
    await found.settle()
    assert found.cluster.versions() == before
    assert found.cluster.writes == []


async def test_a_rollout_goes_from_canary_to_promotion(serving: Serving) -> None:
    found = await serving(rollout=CANARY)
    old = found.revision("stable")
    found.change(model=NEW_MODEL)
    await found.settle()
    new = found.revision("canary")
    assert (found.status["stable"]["weight"], found.status["canary"]["weight"]) == (90, 10)
    found.now = after(60)
    await found.settle()
    assert found.condition("Reconciling") == ("False", "AwaitingApproval")
    found.ask("Promote", new)
    await found.settle()
    assert found.revision("stable") == new
    assert "canary" not in found.status
    assert [entry["revision"] for entry in found.status["retiring"]] == [old]
    assert set(found.replicas) == {old, new}
    found.now += timedelta(minutes=5)
    await found.settle()
    assert set(found.replicas) == {new}
    assert set(found.cluster.of_kind("ControllerRevision")) == {old, new}


async def test_an_aborted_canary_is_at_zero_at_once_and_gone_after_its_drain(serving: Serving) -> None:
    found = await serving(rollout=CANARY)
    old = found.revision("stable")
    found.change(model=NEW_MODEL)
    await found.settle()
    new = found.revision("canary")
    found.ask("Abort", new)
    await found.operator.look()
    await found.operator.reconcile(found.now)
    assert "canary" not in found.status
    assert found.status["stable"]["weight"] == 100
    await found.settle()
    assert set(found.replicas) == {old, new}
    found.now = after(31)
    await found.settle()
    assert set(found.replicas) == {old}
    assert found.condition("Ready") == ("True", "Serving")
    assert found.condition("RolloutHealthy") == ("False", "AbortedByRequest")
    assert found.condition("ModelLoaded")[0] == "True"


async def test_a_request_survives_its_answer(serving: Serving) -> None:
    found = await serving(rollout=CANARY)
    found.ask("Abort", "churn-00000000")
    await found.settle()
    assert found.status["rollout"]["request"]["id"] == "1"
    assert found.status["rollout"]["lastRequest"]["accepted"] is False


async def test_a_request_written_while_a_pass_looks_around_is_not_written_over(serving: Serving) -> None:
    found = await serving(rollout=CANARY)
    found.change(model=NEW_MODEL)
    await found.operator.look()

    def someone_asks() -> None:
        found.ask("Abort", "churn-00000000")
        found.operator.store.put(found.service)

    found.routers.when_asked = someone_asks
    with pytest.raises(errors.Conflict):
        await found.operator.reconcile(found.now)
    assert found.status["rollout"]["request"]["id"] == "1"


async def test_a_request_written_while_children_are_refused_is_not_written_over(serving: Serving) -> None:
    found = await serving()

    def someone_asks_and_the_apply_is_refused(write: Write) -> Exception | None:
        if write.verb != "apply":
            return None
        found.ask("Abort", "churn-00000000")
        found.operator.store.put(found.service)
        return errors.Forbidden("exceeded quota", 403)

    found.cluster.remove(BUDGET.path("ml", found.revision("stable")))
    await found.operator.look()
    found.cluster.refuse = someone_asks_and_the_apply_is_refused
    with pytest.raises(errors.Conflict):
        await found.operator.reconcile(found.now)
    assert found.status["rollout"]["request"]["id"] == "1"


async def test_a_pass_with_a_stale_view_writes_nothing(serving: Serving) -> None:
    found = await serving(rollout=CANARY)
    found.change(model=NEW_MODEL)
    former = found.new_operator()
    await former.look()
    await found.settle()
    before = found.cluster.versions()
    with pytest.raises(errors.Conflict):
        await former.reconcile(found.now)
    assert found.cluster.versions() == before


async def test_a_former_leader_does_not_revive_what_was_aborted(serving: Serving) -> None:
    found = await serving(rollout=CANARY, scaling=ELASTIC)
    found.change(model=NEW_MODEL)
    await found.settle()
    former, found.operator = found.operator, found.new_operator()
    found.ask("Abort", found.revision("canary"))
    await found.settle()
    before = found.cluster.versions()
    await former.reconcile(found.now)
    assert found.cluster.versions() == before


@pytest.mark.parametrize("kind", [DEPLOYMENT, SERVICE, BUDGET, AUTOSCALER], ids=lambda kind: str(kind.name))
async def test_a_deleted_child_is_restored(serving: Serving, kind: Kind) -> None:
    found = await serving(scaling=ELASTIC)
    path = kind.path("ml", found.revision("stable"))
    before = found.cluster.content()
    found.cluster.remove(path)
    await found.settle()
    assert found.cluster.content() == before


async def test_a_changed_child_is_changed_back(serving: Serving) -> None:
    found = await serving()
    path = SERVICE.path("ml", found.revision("stable"))
    before = found.cluster.content()
    found.cluster.edit(path, lambda item: item["spec"]["selector"].update({naming.REVISION_LABEL: "other"}))
    await found.settle()
    assert found.cluster.content() == before


async def test_a_child_that_lost_our_labels_gets_them_back_and_keeps_its_pods(serving: Serving) -> None:
    found = await serving(scaling={**ELASTIC, "minReplicas": 2})
    stable = found.revision("stable")
    found.scale(stable, 5)
    await found.settle()
    before = found.cluster.content()
    found.cluster.edit(DEPLOYMENT.path("ml", stable), lambda item: item["metadata"].pop("labels"))
    await found.settle()
    assert found.cluster.content() == before
    assert found.replicas == {stable: 5}


async def test_a_deployment_that_lost_only_its_revision_label_stops_no_pass(serving: Serving) -> None:
    found = await serving()
    before = found.cluster.content()
    path = DEPLOYMENT.path("ml", found.revision("stable"))
    found.cluster.edit(path, lambda item: item["metadata"]["labels"].pop(naming.REVISION_LABEL))
    await found.settle()
    assert found.cluster.content() == before


async def test_a_newer_operator_changes_no_pod_and_no_record(serving: Serving) -> None:
    found = await serving()
    pods, records = found.cluster.of_kind("Deployment"), found.cluster.of_kind("ControllerRevision")
    found.install = Install(runtime_image_cuda="registry.example/runtime-cuda:next")
    found.operator = found.new_operator()
    await found.settle()
    assert found.cluster.of_kind("Deployment") == pods
    assert found.cluster.of_kind("ControllerRevision") == records


async def test_a_stable_revision_whose_record_is_lost_keeps_its_pods(serving: Serving) -> None:
    found = await serving(rollout=CANARY, scaling=ELASTIC)
    old = found.revision("stable")
    found.change(model=NEW_MODEL)
    await found.settle()
    before = found.cluster.content()
    found.cluster.remove(RECORD.path("ml", old))
    await found.settle()
    after_all = found.cluster.content()
    assert after_all == {path: item for path, item in before.items() if path != RECORD.path("ml", old)}


async def test_records_of_old_revisions_are_kept_for_as_many_as_the_history_holds(serving: Serving) -> None:
    steps = [{"weight": 100, "hold": "0s"}]
    judged = {"onNoData": "Pass"}
    found = await serving(rollout={"steps": steps, "scaleDownDelay": "0s", "historyLimit": 5, "analysis": judged})
    for number in range(12):
        found.change(model={"uri": f"https://models.example/churn-{number}.onnx"})
        await found.settle()
        found.now += timedelta(minutes=1)
        await found.settle()
    records = found.cluster.of_kind("ControllerRevision").values()
    assert sorted(record["revision"] for record in records) == list(
        range(7, 14)
    )  # stable, the one before it, and five more


async def test_a_service_that_is_gone_is_no_longer_due(serving: Serving) -> None:
    found = await serving()
    found.cluster.remove(PATH)
    await found.operator.look()
    assert (await found.operator.reconcile(found.now)).gone


async def test_a_canary_that_fails_leaves_stable_alone(serving: Serving) -> None:
    found = await serving(rollout=CANARY)
    found.change(model=NEW_MODEL)
    await found.operator.look()
    await found.operator.reconcile(found.now)
    found.failing.add(found.revision("canary"))
    await found.settle()
    assert found.status["stable"]["weight"] == 100
    assert found.status["canary"]["weight"] == 0
    assert found.condition("Ready") == ("True", "Serving")


async def test_the_answer_to_every_write_is_known_at_once(serving: Serving) -> None:
    found = await serving(scaling=ELASTIC)
    for item in found.cluster.objects.values():
        known = found.operator.store.get(reference_of(item))
        assert known is not None
        if item["kind"] != "Deployment":
            assert known["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]
