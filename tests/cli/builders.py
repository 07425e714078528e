"""Services for the tests of this folder: where a rollout stands, with the parts that a test names."""

from typing import Any

from tidegate_operator.cli.service import Service, understand

Object = dict[str, Any]
A, B, C = "churn-aaaaaaaa", "churn-bbbbbbbb", "churn-cccccccc"


def a_condition(
    kind: str = "Ready", truth: str = "True", reason: str = "Serving", message: str = "it answers"
) -> Object:
    return {
        "type": kind,
        "status": truth,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-22T09:00:00Z",
        "observedGeneration": 1,
    }


def a_live(
    status: Object | None = None, spec: Object | None = None, *, name: str = "churn", generation: int = 1
) -> Object:
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": "ml",
            "generation": generation,
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-20T10:00:00Z",
        },
        "spec": {"model": {"uri": "https://models.example/churn.onnx"}, **(spec or {})},
        "status": {"observedGeneration": 1, **(status or {})},
    }


def at_ten(canary: str = B, phase: str = "AwaitingApproval", **rollout: Any) -> Object:
    """A status with a canary at 10 % in the first of three steps."""
    return {
        "stable": {"revision": A, "weight": 90, "replicas": 3, "readyReplicas": 3},
        "canary": {"revision": canary, "weight": 10, "replicas": 1, "readyReplicas": 1},
        "rollout": {"phase": phase, "step": 0, "steps": 3, "since": "2026-11-22T09:50:00Z", **rollout},
    }


def resting(phase: str = "Stable", **rollout: Any) -> Object:
    """A status without a canary."""
    return {
        "stable": {"revision": A, "weight": 100, "replicas": 3, "readyReplicas": 3},
        "rollout": {"phase": phase, "message": f"{A} serves all requests", **rollout},
    }


def a_service(status: Object | None = None, spec: Object | None = None, *, generation: int = 1) -> Service:
    return understand(a_live(status, spec, generation=generation))
