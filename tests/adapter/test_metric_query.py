from collections.abc import Callable
from typing import Any

import pytest

from tidegate_operator.adapter.documents import metric_values, quantity, resource_list
from tidegate_operator.adapter.exposition import Reading
from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.label_selectors import parse
from tidegate_operator.adapter.query import Value, pod_values, service_values

STABLE, CANARY = "churn-6f3c9d1a", "churn-a81e0213"
NOW = 20.0


@pytest.fixture
def fleet(pod_body: Callable[..., Any], service_body: Callable[..., Any], reading: Callable[..., Reading]) -> Fleet:
    """Two stable pods and a canary of ml/churn, one that can't be reached, and a namesake in another namespace."""
    fleet = Fleet()
    fleet.see_service(service_body(slo={"p95": "120ms"}), deleted=False)
    fleet.see_service(service_body(namespace="other"), deleted=False)
    fleet.see_service(service_body("quiet"), deleted=False)
    pods = [
        pod_body("a", revision=STABLE),
        pod_body("b", revision=STABLE),
        pod_body("c", revision=CANARY),
        pod_body("unreachable", revision=STABLE),
        pod_body("a", namespace="other", revision=STABLE),
    ]
    for body in pods:
        fleet.see_pod(body, deleted=False)
    for uid, upper, queue in [("ml-a", 0.1, 2), ("ml-b", 0.1, 4), ("ml-c", 0.2, 9), ("other-a", 0.4, 50)]:
        for number in range(11):
            fleet.record(f"uid-{uid}", reading({upper: 100 * number}, queue=queue), 2.0 * number)
    return fleet


@pytest.mark.parametrize(
    ("name", "selector", "expected"),
    [
        ("*", "", {"a": 2.0, "b": 4.0, "c": 9.0}),
        ("*", f"tidegate.dev/service=churn,tidegate.dev/revision={STABLE}", {"a": 2.0, "b": 4.0}),
        ("*", "tidegate.dev/service=fraud", {}),
        ("c", "", {"c": 9.0}),
        ("unreachable", "", {}),
        ("nobody", "", {}),
    ],
)
def test_pod_metric_is_each_matching_and_reachable_pods_mean(
    fleet: Fleet, name: str, selector: str, expected: dict[str, float]
) -> None:
    values = pod_values(fleet, "ml", name, "tidegate_queue_depth", parse(selector), NOW)
    assert {value.name: value.value for value in values} == expected
    assert all((value.kind, value.namespace, value.window) == ("Pod", "ml", 15.0) for value in values)


@pytest.mark.parametrize(
    ("name", "selector", "metric_selector", "expected"),
    [
        # rank 95 of 100 in (0, 0.1] s and in (0.1, 0.2] s, told in ms
        ("churn", "", f"tidegate.dev/revision={STABLE}", {"churn": 95}),
        ("churn", "", f"tidegate.dev/revision={CANARY}", {"churn": 195}),
        # rank 2,850 of 3,000 over both: 850 of 1,000 into (0.1, 0.2]
        ("churn", "", "", {"churn": 185}),
        ("churn", "", "tidegate.dev/revision=churn-0", {}),
        ("churn", "ignored=for-a-named-object", f"tidegate.dev/revision={STABLE}", {"churn": 95}),
        ("*", "team=growth", f"tidegate.dev/revision={STABLE}", {"churn": 95}),
        ("*", "team=risk", "", {}),
        ("quiet", "", "", {}),
        ("nobody", "", "", {}),
    ],
)
def test_service_metric_is_the_p95_of_the_revisions_pods(
    fleet: Fleet, name: str, selector: str, metric_selector: str, expected: dict[str, float]
) -> None:
    values = service_values(fleet, "ml", name, parse(selector), parse(metric_selector), NOW)
    assert {value.name: value.value for value in values} == pytest.approx(expected)


def test_namespaces_do_not_see_each_other(fleet: Fleet) -> None:
    (value,) = service_values(fleet, "other", "churn", (), (), NOW)
    assert value.value == pytest.approx(390)
    assert pod_values(fleet, "none", "*", "tidegate_queue_depth", (), NOW) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0m"),
        (3.5, "3500m"),
        (0.12, "120m"),
        (0.0021, "2m"),
        (0.0029, "3m"),
        (7.533333, "7533m"),
        (1e6, "1000000000m"),
    ],
)
def test_quantity_is_in_whole_thousandths(value: float, expected: str) -> None:
    assert quantity(value) == expected


VALUE = Value("v1", "Pod", "ml", "a", 3.5, 15.0)
DESCRIBED = {"kind": "Pod", "namespace": "ml", "name": "a", "apiVersion": "v1"}


def test_v1beta2_has_metric_and_window_seconds() -> None:
    document = metric_values("v1beta2", "tidegate_queue_depth", parse("a=b"), [VALUE], 1795341600.9)
    assert document == {
        "kind": "MetricValueList",
        "apiVersion": "custom.metrics.k8s.io/v1beta2",
        "metadata": {},
        "items": [
            {
                "describedObject": DESCRIBED,
                "metric": {
                    "name": "tidegate_queue_depth",
                    "selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
                },
                "timestamp": "2026-11-22T10:00:00Z",
                "windowSeconds": 15,
                "value": "3500m",
            }
        ],
    }


def test_v1beta1_has_metric_name_and_window() -> None:
    document = metric_values("v1beta1", "tidegate_queue_depth", (), [VALUE], 1795341600.0)
    assert document["apiVersion"] == "custom.metrics.k8s.io/v1beta1"
    assert document["items"] == [
        {
            "describedObject": DESCRIBED,
            "metricName": "tidegate_queue_depth",
            "selector": None,
            "timestamp": "2026-11-22T10:00:00Z",
            "window": 15,
            "value": "3500m",
        }
    ]


def test_discovery_names_every_metric_with_its_resource() -> None:
    document = resource_list("v1beta2")
    assert document["groupVersion"] == "custom.metrics.k8s.io/v1beta2"
    assert [resource["name"] for resource in document["resources"]] == [
        "pods/tidegate_queue_depth",
        "pods/tidegate_inflight",
        "inferenceservices.tidegate.dev/tidegate_p95_milliseconds",
    ]
