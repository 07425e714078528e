"""Replicas follow the queue, up and down, by the HPA alone."""

from collections.abc import Callable

import pytest

from lab import filetype
from lab.kubectl import Kubectl, Object
from lab.pods import Pods
from lab.service import Service

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

BODY = filetype.request(*[b"#include <stdio.h>\n" * 60] * 8)


def test_replicas_follow_the_queue_up_and_down_again(
    service: Service, pods: Pods, spec: Callable[..., Object], kubectl: Kubectl
) -> None:
    quick = {"stabilizationWindowSeconds": 5, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}
    scaling = {
        "minReplicas": 1,
        "maxReplicas": 2,
        "metrics": [{"type": "QueueDepth", "target": 4}, {"type": "P95", "target": "30s"}],
        "behavior": {"scaleUp": quick, "scaleDown": quick},
    }
    service.apply(spec(scaling=scaling))
    service.until_condition("Ready")
    service.until_condition("ScalingActive", seconds=60)
    with pods.load(service.url, BODY, concurrency=24) as load:
        service.until(lambda status: status["stable"]["readyReplicas"] == 2, "to have 2 replicas under load", 90)
    assert set(load.answers.codes) <= {"200", "429"}, load.answers.failed
    service.until(lambda status: status["stable"]["replicas"] == 1, "to be back at 1 replica", 120)
    revision = service.status["stable"]["revision"]
    deployment = kubectl.get("-n", service.namespace, "deployment", revision, "--show-managed-fields")
    owners = [
        entry["manager"]
        for entry in deployment["metadata"]["managedFields"]
        if "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
    ]
    assert "tidegate-controller" not in owners


def test_an_hpa_reads_both_metrics(service: Service, spec: Callable[..., Object], kubectl: Kubectl) -> None:
    service.apply(spec(scaling={"minReplicas": 1, "maxReplicas": 2, "slo": {"p95": "500ms"}}))
    service.until_condition("Ready")
    status = service.until_condition("ScalingActive", seconds=60)
    revision = status["stable"]["revision"]
    hpa = kubectl.wait(
        lambda found: len(found.get("status", {}).get("currentMetrics", [])) == 2,
        ("-n", service.namespace, "hpa", revision),
        for_what="to have read two metrics",
    )
    kinds = {metric["type"]: metric for metric in hpa["status"]["currentMetrics"]}
    assert kinds["Pods"]["pods"]["current"]["averageValue"] == "0"
    assert kinds["Object"]["object"]["current"]["value"] == "0"
