from collections.abc import Callable
from typing import Any

import pytest

from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.inventory import epoch, p95_target, pod_of, service_of

Body = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({}, None),
        ({"slo": {"p95": "120ms"}}, 0.12),
        ({"slo": {"p95": "2s"}}, 2.0),
        ({"slo": {"p95": "1m"}}, 60.0),
        ({"slo": {"p95": "120ms"}, "metrics": [{"type": "P95", "target": "80ms"}]}, 0.08),
        ({"slo": {"p95": "120ms"}, "metrics": [{"type": "QueueDepth", "target": 8}]}, 0.12),
        ({"metrics": [{"type": "QueueDepth", "target": 8}, {"type": "P95", "target": "80ms"}]}, 0.08),
        ({"slo": {"p95": "soon"}}, None),
        ({"metrics": [{"type": "P95", "target": 8}]}, None),
    ],
    ids=str,
)
def test_p95_target_is_that_of_the_metric_or_else_of_the_objective(
    scaling: dict[str, Any], expected: float | None
) -> None:
    assert p95_target(scaling) == expected


def test_pod_knows_since_when_it_is_ready(pod_body: Body) -> None:
    pod = pod_of(pod_body(since="2026-11-22T10:00:00Z"))
    assert pod is not None
    assert (pod.ready_since, pod.unready_since) == (1795341600.0, None)
    assert (pod.service, pod.address) == ("churn", "10.0.0.1")


def test_pod_that_is_not_ready_counts_from_its_last_change_or_its_creation(pod_body: Body) -> None:
    changed = pod_of(pod_body(ready=False, since="2026-11-22T10:00:00Z"))
    assert changed is not None
    assert (changed.ready_since, changed.unready_since) == (None, epoch("2026-11-22T10:00:00Z"))
    body = pod_body(creationTimestamp="2026-11-22T09:00:00Z")
    body["status"] = {"phase": "Pending"}
    pending = pod_of(body)
    assert pending is not None
    assert (pending.ready_since, pending.unready_since) == (None, epoch("2026-11-22T09:00:00Z"))
    assert pending.address is None


def test_pod_that_tells_no_metrics_is_not_to_be_asked(pod_body: Body) -> None:
    body = pod_body()
    body["metadata"]["labels"]["tidegate.dev/metrics"] = "none"
    pod = pod_of(body)
    assert pod is not None
    assert pod.address is None


@pytest.mark.parametrize("ready", [True, False])
def test_pod_that_is_being_deleted_is_neither_ready_nor_starting(pod_body: Body, ready: bool) -> None:
    pod = pod_of(pod_body(ready=ready, deletionTimestamp="2026-11-22T10:00:00Z"))
    assert pod is not None
    assert (pod.ready_since, pod.unready_since) == (None, None)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_pod_that_has_ended_is_none(pod_body: Body, phase: str) -> None:
    body = pod_body()
    body["status"]["phase"] = phase
    assert pod_of(body) is None


def test_service_without_spec_or_labels_is_read() -> None:
    service = service_of({"metadata": {"name": "churn", "namespace": "ml"}})
    assert (service.labels, service.p95_target) == ({}, None)


def test_fleet_forgets_what_is_deleted_or_has_ended(pod_body: Body, service_body: Body) -> None:
    fleet = Fleet()
    fleet.see_pod(pod_body("a"), deleted=False)
    fleet.see_pod(pod_body("b"), deleted=False)
    fleet.see_service(service_body(), deleted=False)
    fleet.see_pod(pod_body("a"), deleted=True)
    evicted = pod_body("b")
    evicted["status"]["phase"] = "Failed"
    fleet.see_pod(evicted, deleted=False)
    fleet.see_service(service_body(), deleted=True)
    assert fleet.pods() == []
    assert list(fleet.services_in("ml")) == []


def test_fleet_keeps_a_pods_window_when_its_status_changes(pod_body: Body, reading: Callable[..., Any]) -> None:
    fleet = Fleet()
    fleet.see_pod(pod_body(ready=False), deleted=False)
    fleet.record("uid-ml-churn-6f3c9d1a-x", reading(queue=4), 1.0)
    fleet.see_pod(pod_body(ready=True), deleted=False)
    (pod,) = fleet.pods()
    assert fleet.window(pod).mean("tidegate_queue_depth", since=0) == 4.0


def test_fleet_names_what_was_listed_but_not_yet_watched(pod_body: Body, service_body: Body) -> None:
    fleet = Fleet()
    fleet.see_pod(pod_body("a"), deleted=False)
    ended = pod_body("done")
    ended["status"]["phase"] = "Succeeded"
    assert fleet.lacks([pod_body("a"), pod_body("b"), ended], [service_body()]) == ["ml/b", "ml/churn"]
    fleet.see_pod(pod_body("b"), deleted=False)
    fleet.see_service(service_body(), deleted=False)
    assert fleet.lacks([pod_body("a"), pod_body("b"), ended], [service_body()]) == []
