"""What raw Deployments and pods say of a revision: tables of objects as the API server has them."""

import json
from typing import Any

import pytest

from tidegate_operator.observed import Failure, Scaling, Workload, scaling_of, workloads

from .builders import A, B, Object, a_deployment, a_pod


def init(**state: Any) -> Object:
    return {"initContainerStatuses": [{"name": "fetch-model", **state}]}


def main(**state: Any) -> Object:
    return {"containerStatuses": [{"name": "runtime", **state}]}


def terminated(code: int = 1, reason: str = "Error", message: str = "") -> Object:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
}
MISMATCH = json.dumps({"reason": "DigestMismatch", "message": "expected 9f0c, got 77aa: correct spec.model.sha256"})
REFUSED = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: gpus"}

POD_FAILURES = {
    "what the fetcher said comes before its back-off": (
        init(state=waiting("CrashLoopBackOff", "back-off 20s"), lastState=terminated(message=MISMATCH)),
        Failure("DigestMismatch", "expected 9f0c, got 77aa: correct spec.model.sha256"),
    ),
    "what the runtime said as it ended": (
        main(state=terminated(message=json.dumps({"reason": "ModelInvalid", "message": "not ONNX"}))),
        Failure("ModelInvalid", "not ONNX"),
    ),
    "an end without words is told by its code": (
        main(lastState=terminated(137, "OOMKilled"), state={"running": {}}),
        Failure("OOMKilled", "container runtime exited with code 137"),
    ),
    "an end with other words keeps their last part": (
        main(state=terminated(2, "Error", "Usage: tidegate-runtime serve")),
        Failure("Error", "container runtime exited with code 2: Usage: tidegate-runtime serve"),
    ),
    "a termination log that is no reason of ours is no condition's reason": (
        main(state=terminated(1, "Error", json.dumps({"reason": "no\nword " * 99, "message": "m"}))),
        Failure("Error", "m"),
    ),
    "a termination log that is JSON but no object is told as it is": (
        main(state=terminated(1, "Error", "[1]")),
        Failure("Error", "container runtime exited with code 1: [1]"),
    ),
    "an image that can't be pulled": (
        init(state=waiting("ImagePullBackOff", "Back-off pulling image x")),
        Failure("ImagePullBackOff", "container fetch-model: Back-off pulling image x", passing=True, retried=True),
    ),
    "a pod that no node takes may still get one": (
        {"conditions": [UNSCHEDULABLE]},
        Failure("Unschedulable", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", passing=True),
    ),
    "a pod that its node refused is replaced": (
        {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no healthy devices"},
        Failure("UnexpectedAdmissionError", "no healthy devices", passing=True),
    ),
    "a fetch that failed before it succeeded is no failure": (
        {
            **init(state=terminated(0, "Completed"), lastState=terminated(message=MISMATCH)),
            **main(state=waiting("PodInitializing")),
        },
        None,
    ),
    "a container that is being created is no failure": (main(state=waiting("ContainerCreating")), None),
    "a pod without a status is no failure": ({}, None),
}


@pytest.mark.parametrize(("status", "expected"), POD_FAILURES.values(), ids=POD_FAILURES.keys())
def test_a_pod_that_does_not_get_ready_tells_why(status: Object, expected: Failure | None) -> None:
    assert workloads([a_deployment(A), a_pod(A, **status)])[A].failure == expected


def test_a_ready_pod_tells_of_no_failure_before_it() -> None:
    status = main(state={"running": {}}, lastState=terminated(137, "OOMKilled"))
    ready = a_pod(A, conditions=[{"type": "Ready", "status": "True"}], **status)
    assert workloads([a_deployment(A, wanted=2, ready=1), ready])[A].failure is None


def test_a_pod_that_is_being_deleted_tells_nothing() -> None:
    pod = a_pod(A, **main(state=terminated(137)))
    pod["metadata"]["deletionTimestamp"] = "2026-11-22T10:00:00Z"
    assert workloads([a_deployment(A), pod])[A].failure is None


def test_what_a_container_said_comes_before_a_pod_that_waits_for_a_node() -> None:
    pods = [a_pod(A, name="a", conditions=[UNSCHEDULABLE]), a_pod(A, name="b", **main(state=terminated(1)))]
    failure = workloads([a_deployment(A, wanted=2), *pods])[A].failure
    assert failure is not None
    assert failure.reason == "Error"


def test_the_order_of_pods_does_not_change_what_is_told() -> None:
    pods = [a_pod(A, name=name, **main(state=terminated(1, "Error", name))) for name in "cab"]
    told = {str(workloads([a_deployment(A, wanted=3), *order])[A].failure) for order in (pods, pods[::-1])}
    assert len(told) == 1


def test_a_quota_that_refuses_pods_is_told() -> None:
    deployment = a_deployment(A, conditions=[REFUSED])
    assert workloads([deployment])[A].failure == Failure("PodsRefused", "exceeded quota: gpus")


def test_a_pod_of_another_revision_says_nothing_of_this_one() -> None:
    found = workloads([a_deployment(A), a_deployment(B), a_pod(B, conditions=[UNSCHEDULABLE])])
    assert found[A].failure is None
    assert found[B].failure is not None


SETTLED = {
    "all wanted pods are ready and current": (a_deployment(A, wanted=2, ready=2), True),
    "no pods are wanted": (a_deployment(A, wanted=0), True),
    "a pod is missing": (a_deployment(A, wanted=2, ready=1), False),
    "an old pod is still there": (a_deployment(A, wanted=2, ready=2, replicas=3), False),
    "a ready pod is of the template before": (a_deployment(A, wanted=2, ready=2, updatedReplicas=1), False),
    "the Deployment's controller has not seen the change": (
        a_deployment(A, wanted=2, ready=2, observedGeneration=1),
        False,
    ),
}


@pytest.mark.parametrize(("deployment", "settled"), SETTLED.values(), ids=SETTLED.keys())
def test_a_workload_is_settled_unless(deployment: Object, settled: bool) -> None:
    assert workloads([deployment])[A].settled is settled


def test_a_deployment_without_a_status_has_no_ready_pod() -> None:
    deployment = a_deployment(A, wanted=3)
    del deployment["status"]
    assert workloads([deployment])[A] == Workload(A, wanted=3)


def test_an_hpa_says_itself_whether_it_scales() -> None:
    told = {"type": "ScalingActive", "status": "False", "reason": "FailedGetPodsMetric", "message": "no metrics"}
    others = {"type": "AbleToScale", "status": "True"}
    assert scaling_of({"status": {"conditions": [others, told]}}) == Scaling(
        "False", "FailedGetPodsMetric", "no metrics"
    )


@pytest.mark.parametrize("hpa", [None, {}, {"status": {}}], ids=["not there", "without a status", "not looked yet"])
def test_an_hpa_that_said_nothing_yet_is_unknown(hpa: Object | None) -> None:
    assert scaling_of(hpa).active == "Unknown"
