"""Which changes of an object call for a pass."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tidegate_operator.kube.objects import kind_at, matters

Object = dict[str, Any]


def an_object(kind: str, **parts: Any) -> Object:
    metadata = {"name": "churn", "namespace": "ml", "uid": "u", "resourceVersion": "1", "labels": {"a": "b"}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {"replicas": 1}, **parts}


def changed(item: Object, change: Callable[[Object], Any]) -> Object:
    after = copy.deepcopy(item)
    after["metadata"]["resourceVersion"] = "2"
    change(after)
    return after


EVERY_KIND = ("InferenceService", "Deployment", "ControllerRevision", "Service", "PodDisruptionBudget", "Pod")


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_new_object_matters(kind: str) -> None:
    assert matters(None, an_object(kind))


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_new_version_of_the_same_does_not_matter(kind: str) -> None:
    item = an_object(kind, status={"phase": "x"})
    managed = changed(item, lambda after: after["metadata"].update(managedFields=[{"manager": "m"}]))
    assert not matters(item, managed)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_labels_and_a_deletion_matter(kind: str) -> None:
    item = an_object(kind)
    assert matters(item, changed(item, lambda after: after["metadata"]["labels"].update(a="c")))
    assert matters(
        item, changed(item, lambda after: after["metadata"].update(deletionTimestamp="2026-11-22T10:00:00Z"))
    )


STATUSES = [
    ("InferenceService", {"rollout": {"request": {"action": "Abort"}}}, True),
    ("Deployment", {"readyReplicas": 1}, True),
    ("Deployment", {"replicas": 1, "updatedReplicas": 1}, False),
    ("Deployment", {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}, True),
    ("Deployment", {"conditions": [{"type": "ReplicaFailure", "status": "True"}]}, True),
    ("Deployment", {"conditions": [{"type": "Progressing", "status": "True"}]}, False),
    ("Deployment", {"unavailableReplicas": 1}, False),
    ("HorizontalPodAutoscaler", {"conditions": [{"type": "ScalingActive", "status": "True"}]}, True),
    ("HorizontalPodAutoscaler", {"currentReplicas": 3, "lastScaleTime": "t"}, False),
    ("PodDisruptionBudget", {"disruptionsAllowed": 1}, False),
    ("Service", {"loadBalancer": {}}, False),
    ("Pod", {"phase": "Running"}, True),
]


@pytest.mark.parametrize(("kind", "status", "expected"), STATUSES)
def test_of_a_status_what_decisions_read_matters(kind: str, status: Object, expected: bool) -> None:
    item = an_object(kind)
    assert matters(item, changed(item, lambda after: after.update(status=status))) is expected


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"])
def test_what_somebody_changed_by_hand_matters(kind: str) -> None:
    item = an_object(kind)
    assert matters(item, changed(item, lambda after: after["spec"].update(replicas=5)))


@pytest.mark.parametrize(
    ("annotation", "expected"), [("deployment.kubernetes.io/revision", False), ("example.com/note", True)]
)
def test_what_kubernetes_notes_on_every_deployment_does_not_matter(annotation: str, expected: bool) -> None:
    item = an_object("Deployment")
    assert (
        matters(item, changed(item, lambda after: after["metadata"].update(annotations={annotation: "1"}))) is expected
    )


PATHS = [
    ("/apis/apps/v1/namespaces/ml/deployments/churn-aaaaaaaa", "Deployment"),
    ("/apis/tidegate.dev/v1alpha1/namespaces/ml/inferenceservices/churn/status", "InferenceService"),
    ("/api/v1/namespaces/ml/events", "Event"),
    ("/api/v1/namespaces/services/services/pods", "Service"),
    ("/api/v1/nodes/n", "nodes"),
]


@pytest.mark.parametrize(("path", "kind"), PATHS)
def test_a_path_tells_the_kind(path: str, kind: str) -> None:
    assert kind_at(path) == kind
