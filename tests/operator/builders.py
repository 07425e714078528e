"""Specs, statuses and raw objects for the tests of this folder, with the parts that a test names."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tidegate_operator.api.analysis_status import AnalysisStatus, Sample, Verdict
from tidegate_operator.api.rollout_spec import RolloutSpec, StepSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.api.status import Action, Request
from tidegate_operator.rollout.state import RolloutState, Seen

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
A, B, C = "churn-aaaaaaaa", "churn-bbbbbbbb", "churn-cccccccc"

Object = dict[str, Any]


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_rollout(
    *weights: int,
    hold: str = "60s",
    approval: Literal["Automatic", "Manual"] = "Automatic",
    surge: int | None = None,
    delay: str = "10m",
    **parts: Any,
) -> RolloutSpec:
    steps = [StepSpec(weight=weight, hold=hold) for weight in weights or (10, 50)]
    return RolloutSpec(steps=steps, approval=approval, surge=surge, scale_down_delay=delay, **parts)


def an_analysis(verdict: Verdict = "Pass", reason: str = "WithinBounds", message: str = "told") -> AnalysisStatus:
    return AnalysisStatus(
        verdict=verdict,
        reason=reason,
        message=message,
        at=NOW,
        canary=Sample(requests=300),
        stable=Sample(requests=2700),
    )


def a_scaling(low: int = 1, high: int | None = None) -> ScalingSpec:
    return ScalingSpec(min_replicas=low, max_replicas=high)


def pods(count: int, *, routable: bool | None = True, wanted: int | None = None) -> Seen:
    return Seen(wanted=count if wanted is None else wanted, ready=count, routable=routable)


def a_request(
    action: Action = "Promote",
    revision: str = B,
    *,
    number: str = "1",
    step: int | None = None,
    full: bool | None = None,
) -> Request:
    return Request(action=action, revision=revision, id=number, step=step, full=full)


def a_state(**parts: Any) -> RolloutState:
    return RolloutState(**{"since": NOW, "stable": A, "phase": "Stable", **parts})


def a_spec(**parts: Any) -> InferenceServiceSpec:
    return InferenceServiceSpec.model_validate({"model": {"uri": "https://models.example/churn.onnx"}, **parts})


def a_service(spec: Mapping[str, Any] | None = None, *, name: str = "churn", uid: str = "uid-churn") -> Object:
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": "ml",
            "uid": uid,
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-22T09:00:00Z",
        },
        "spec": {"model": {"uri": "https://models.example/churn.onnx"}, **(spec or {})},
    }


def a_deployment(revision: str = A, *, wanted: int = 1, ready: int = 0, **status: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": revision,
            "namespace": "ml",
            "generation": 2,
            "labels": {"tidegate.dev/service": "churn", "tidegate.dev/revision": revision},
        },
        "spec": {"replicas": wanted},
        "status": {
            "observedGeneration": 2,
            "replicas": wanted,
            "updatedReplicas": wanted,
            **({"readyReplicas": ready} if ready else {}),
            **status,
        },
    }


def a_pod(revision: str = A, *, name: str = "x", **status: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{revision}-{name}",
            "namespace": "ml",
            "labels": {"tidegate.dev/service": "churn", "tidegate.dev/revision": revision},
        },
        "status": {"phase": "Pending", **status},
    }
