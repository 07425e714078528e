"""Everything that should exist for a service, as manifests."""

import json
from typing import Any

import pytest

from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired.children import Children, Plan, build, kept_records
from tidegate_operator.install import Install
from tidegate_operator.revisions import revision_of
from tidegate_operator.rollout.capacity import Bounds
from tidegate_operator.rollout.state import Retiring, RolloutState

from .builders import A, B, Object, a_service, a_spec, a_state, after

ELASTIC = {"minReplicas": 1, "maxReplicas": 8}
TARGET = revision_of("churn", a_spec())


def a_record(revision: str, number: int = 1, template: Object | None = None) -> Object:
    return {"metadata": {"name": revision}, "revision": number, "data": {"template": template or {}}}


def a_build(
    spec: InferenceServiceSpec,
    state: RolloutState,
    records: dict[str, Object] | None = None,
    scaled: frozenset[str] = frozenset(),
    **bounds: Bounds,
) -> Children:
    running = {"stable": state.stable, "canary": state.canary}
    by_name = {running[role] or "": bound for role, bound in bounds.items()}
    return build(a_service(), spec, Plan(TARGET, state, by_name), records or {}, scaled, Install())


def of_kind(found: Children, kind: str) -> list[Object]:
    return [item for item in (*found.manifests, *found.autoscalers) if item["kind"] == kind]


def test_the_target_is_rendered_and_recorded_once() -> None:
    found = a_build(a_spec(), a_state(stable=TARGET.name), stable=Bounds(1, 1))
    (record,) = found.records
    (deployment,) = of_kind(found, "Deployment")
    assert record["metadata"]["name"] == TARGET.name
    assert deployment["spec"]["template"] == record["data"]["template"]
    assert record["data"]["content"] == {"model": {"uri": "https://models.example/churn.onnx"}}


def test_a_recorded_template_is_applied_verbatim() -> None:
    template = {"spec": {"containers": [{"name": "runtime", "image": "of another release"}]}}
    records = {TARGET.name: a_record(TARGET.name, template=template)}
    found = a_build(a_spec(), a_state(stable=TARGET.name), records, stable=Bounds(1, 1))
    assert found.records == ()
    assert of_kind(found, "Deployment")[0]["spec"]["template"] == template


def test_pods_are_the_same_bytes_before_their_record_was_read_and_after() -> None:
    state = a_state(phase="Initial", stable=TARGET.name)
    (record,) = a_build(a_spec(), state, {}).records
    first, then = (
        next(each for each in a_build(a_spec(), state, records).manifests if each["kind"] == "Deployment")
        # The API server tells an object's keys in their order.
        for records in ({}, {TARGET.name: json.loads(json.dumps(record, sort_keys=True))})
    )
    assert json.dumps(first) == json.dumps(then)


def test_records_are_numbered_on() -> None:
    records = {A: a_record(A, 4), B: a_record(B, 7)}
    found = a_build(a_spec(), a_state(canary=TARGET.name, phase="Preparing"), records)
    assert [record["revision"] for record in found.records] == [8]


def test_a_revision_without_a_record_is_not_touched() -> None:
    found = a_build(a_spec(), a_state(stable=A, canary=TARGET.name, phase="Preparing"), stable=Bounds(1, 1))
    assert found.untouched == {A}
    assert A not in {item["metadata"]["name"] for item in (*found.manifests, *found.replicas)}


def test_every_selector_includes_the_revision() -> None:
    found = a_build(a_spec(), a_state(stable=TARGET.name), stable=Bounds(1, 1))
    selector = {"tidegate.dev/service": "churn", "tidegate.dev/revision": TARGET.name}
    (service,), (deployment,) = of_kind(found, "Service"), of_kind(found, "Deployment")
    (budget,) = of_kind(found, "PodDisruptionBudget")
    assert service["spec"]["selector"] == selector
    assert deployment["spec"]["selector"] == budget["spec"]["selector"] == {"matchLabels": selector}
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("scaling", [{}, ELASTIC], ids=["fixed", "autoscaled"])
def test_a_deployment_never_names_its_replicas(scaling: dict[str, int]) -> None:
    found = a_build(a_spec(scaling=scaling), a_state(stable=TARGET.name), stable=Bounds(2, 8))
    assert all("replicas" not in deployment["spec"] for deployment in of_kind(found, "Deployment"))


def test_the_replicas_manager_declares_nothing_else() -> None:
    found = a_build(a_spec(), a_state(stable=TARGET.name), stable=Bounds(3, 3))
    (manifest,) = found.replicas
    assert manifest == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": TARGET.name, "namespace": "ml"},
        "spec": {"replicas": 3},
    }


def test_a_rolling_update_never_takes_a_pod_before_another_one_is_ready() -> None:
    (deployment,) = of_kind(a_build(a_spec(), a_state(stable=TARGET.name)), "Deployment")
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_new_hpa_comes_with_its_floor_and_an_old_one_without() -> None:
    spec, state = a_spec(scaling=ELASTIC), a_state(stable=TARGET.name)
    new = a_build(spec, state, stable=Bounds(2, 8))
    old = a_build(spec, state, scaled=frozenset({TARGET.name}), stable=Bounds(2, 8))
    assert [floor["spec"]["replicas"] for floor in new.floors] == [2]
    assert old.floors == old.replicas == ()
    assert new.autoscalers == old.autoscalers


def test_an_hpa_stays_where_its_bounds_meet() -> None:
    found = a_build(a_spec(scaling=ELASTIC), a_state(stable=TARGET.name), stable=Bounds(8, 8))
    assert len(found.autoscalers) == 1
    assert found.replicas == ()


def test_a_revision_without_room_has_no_hpa_which_could_not_have_a_minimum_of_0() -> None:
    state = a_state(stable=A, canary=TARGET.name, phase="Preparing")
    found = a_build(a_spec(scaling=ELASTIC), state, {A: a_record(A)}, stable=Bounds(8, 8), canary=Bounds(0, 0))
    assert [hpa["metadata"]["name"] for hpa in found.autoscalers] == [A]
    assert [manifest["spec"]["replicas"] for manifest in found.replicas] == [0]


def test_a_retiring_revision_keeps_all_but_its_hpa() -> None:
    state = a_state(stable=TARGET.name, retiring=(Retiring(A, after(60)),))
    found = a_build(a_spec(scaling=ELASTIC), state, {A: a_record(A)}, frozenset({A}), stable=Bounds(1, 8))
    assert {item["kind"] for item in found.manifests if item["metadata"]["name"] == A} == {
        "Service",
        "Deployment",
        "PodDisruptionBudget",
    }
    assert [hpa["metadata"]["name"] for hpa in found.autoscalers] == [TARGET.name]
    assert [floor["metadata"]["name"] for floor in found.floors] == [TARGET.name]


def metrics_of(**scaling: Any) -> list[Object]:
    found = a_build(a_spec(scaling={**ELASTIC, **scaling}), a_state(stable=TARGET.name), stable=Bounds(1, 8))
    (hpa,) = found.autoscalers
    metrics: list[Object] = hpa["spec"]["metrics"]
    return metrics


def test_an_hpa_scales_on_the_queue_of_each_pod() -> None:
    assert metrics_of() == [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "tidegate_queue_depth"},
                "target": {"type": "AverageValue", "averageValue": "8"},
            },
        }
    ]


def test_an_hpa_scales_on_the_p95_of_its_own_revision() -> None:
    (metric,) = metrics_of(metrics=[{"type": "P95", "target": "120ms"}])
    assert metric["type"] == "Object"
    assert metric["object"]["describedObject"] == {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceService",
        "name": "churn",
    }
    assert metric["object"]["metric"]["name"] == "tidegate_p95_milliseconds"
    assert metric["object"]["target"] == {"type": "Value", "value": "120"}
    assert metric["object"]["metric"]["selector"] == {"matchLabels": {"tidegate.dev/revision": TARGET.name}}


def test_metrics_follow_from_the_promise_where_none_are_named() -> None:
    assert [metric["type"] for metric in metrics_of(slo={"p95": "2s"})] == ["Pods", "Object"]
    assert metrics_of(slo={"p95": "2s"})[1] == metrics_of(metrics=[{"type": "P95", "target": "2s"}])[0]


def test_behavior_is_passed_through_whole() -> None:
    behavior = {
        "scaleDown": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 9}]}
    }
    found = a_build(a_spec(scaling={**ELASTIC, "behavior": behavior}), a_state(stable=TARGET.name), stable=Bounds(1, 8))
    (hpa,) = found.autoscalers
    assert hpa["spec"]["behavior"] == behavior
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (1, 8)
    assert hpa["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": TARGET.name}


def test_records_that_run_stay_beside_the_newest() -> None:
    records = {f"churn-{number:08x}": a_record("", number) for number in range(5)}
    kept = kept_records(records, frozenset({"churn-00000000"}), history=2)
    assert kept == {"churn-00000000", "churn-00000003", "churn-00000004"}


def test_the_headless_service_leads_to_grpc_only_where_the_spec_asks_and_the_pods_stay_as_they_are() -> None:
    state, bounds = a_state(stable=TARGET.name), Bounds(1, 1)
    plain, asked = (a_build(a_spec(routing={"grpc": grpc}), state, stable=bounds) for grpc in (False, True))
    ports = [[port["targetPort"] for port in of_kind(each, "Service")[0]["spec"]["ports"]] for each in (plain, asked)]
    assert ports == [["http"], ["http", 8081]]
    assert plain.records == asked.records
