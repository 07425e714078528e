"""Bad specs are refused by the API server itself, with the field's path: schema and CEL, no webhook."""

import json
from typing import Any

import pytest

from lab.kubectl import Failed, Kubectl

NAMESPACE = "default"
URI = "https://models.example/churn.onnx"

Object = dict[str, Any]


pytestmark = pytest.mark.usefixtures("installed")


def submit(kubectl: Kubectl, spec: Object, name: str = "churn") -> str:
    metadata = {"name": name, "namespace": NAMESPACE}
    manifest = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceService", "metadata": metadata, "spec": spec}
    return kubectl.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))


def with_model(**parts: Any) -> Object:
    return {"model": {"uri": URI, **parts}}


def with_(section: str, **parts: Any) -> Object:
    return {**with_model(), section: parts}


def steps(*weights: Any) -> Object:
    return with_("rollout", steps=[{"weight": weight} for weight in weights])


def metric(kind: str, target: int | str) -> Object:
    return with_("scaling", maxReplicas=2, metrics=[{"type": kind, "target": target}])


REFUSED: dict[str, tuple[Object, str]] = {
    "no model": ({}, "spec.model: Required value"),
    "no address": ({"model": {}}, "spec.model.uri: Required value"),
    "an empty address": (with_model(uri=""), "spec.model.uri: Invalid value"),
    "an address with a space": (with_model(uri="https://h/a b"), "spec.model.uri: Invalid value"),
    "an address with a line break": (with_model(uri="https://h/a\nb"), "spec.model.uri: Invalid value"),
    "an address that turns the text around": (with_model(uri="https://h/\u202eb"), "spec.model.uri: Invalid value"),
    "an address that is too long": (with_model(uri="https://h/" + "a" * 2048), "spec.model.uri: Too long"),
    "an unknown scheme": (with_model(uri="gopher://h/m"), "spec.model.uri: Invalid value"),
    "a file of the node": (with_model(uri="file:///etc/passwd"), "spec.model.uri: Invalid value"),
    "the metadata address": (with_model(uri="https://169.254.169.254/latest"), "spec.model.uri: Invalid value"),
    "the pod itself": (with_model(uri="http://LOCALHOST:8082/m"), "spec.model.uri: Invalid value"),
    "the pod itself in IPv6": (with_model(uri="http://[::1]/m"), "spec.model.uri: Invalid value"),
    "the pod itself in hex": (with_model(uri="http://0x7f000001/m"), "spec.model.uri: Invalid value"),
    "credentials in the address": (with_model(uri="https://u:p@h/m"), "spec.model.uri: Invalid value"),
    "an address without a host": (with_model(uri="https:///m"), "spec.model.uri: Invalid value"),
    "a way out of the folder": (with_model(uri="https://h/../m"), "spec.model.uri: Invalid value"),
    "an encoded way out of the folder": (with_model(uri="https://h/%2E%2e/m"), "spec.model.uri: Invalid value"),
    "a backslash": (with_model(uri="https://h/a\\b"), "spec.model.uri: Invalid value"),
    "a claim without a path": (with_model(uri="pvc://claim"), "spec.model.uri: Invalid value"),
    "a claim of another namespace": (with_model(namespace="other"), 'unknown field "spec.model.namespace"'),
    "a digest that is too short": (with_model(sha256="9f0c"), "spec.model.sha256: Invalid value"),
    "a digest that isn't hex": (with_model(sha256="g" * 64), "spec.model.sha256: Invalid value"),
    "an unknown device": (with_("runtime", device="tpu"), 'spec.runtime.device: Unsupported value: "tpu"'),
    "a batch of nothing": (
        with_("runtime", batching={"maxBatchSize": 0}),
        "spec.runtime.batching.maxBatchSize: Invalid",
    ),
    "a huge batch": (with_("runtime", batching={"maxBatchSize": 10**9}), "spec.runtime.batching.maxBatchSize: Invalid"),
    "a delay of an hour": (with_("runtime", batching={"maxDelay": "1h"}), "spec.runtime.batching.maxDelay: Invalid"),
    "a time-out of zero": (with_("runtime", timeout="0s"), "spec.runtime.timeout: Invalid value"),
    "a time-out of years": (with_("runtime", timeout="99999h"), "spec.runtime.timeout: Invalid value"),
    "a time-out in words": (with_("runtime", timeout="fast"), "spec.runtime.timeout: Invalid value"),
    "half a GPU": (with_("resources", gpu={"count": 0.5}), "spec.resources.gpu.count"),
    "less than no GPU": (with_("resources", gpu={"count": -1}), "spec.resources.gpu.count: Invalid value"),
    "many GPUs in words": (with_("resources", gpu={"count": "many"}), "spec.resources.gpu.count: Invalid value"),
    "a million processors": (with_("resources", requests={"cpu": "1000000"}), "spec.resources.requests.cpu: Invalid"),
    "one byte of memory": (with_("resources", requests={"memory": "1"}), "spec.resources.requests.memory: Invalid"),
    "less than no memory": (with_("resources", requests={"memory": "-1Gi"}), "spec.resources.requests.memory: Invalid"),
    "an unknown unit": (with_("resources", requests={"memory": "1Zi"}), "spec.resources.requests.memory: Invalid"),
    "more at least than at most": (with_("scaling", minReplicas=3, maxReplicas=2), "spec.scaling: Invalid value"),
    "a million replicas": (with_("scaling", maxReplicas=1000000), "spec.scaling.maxReplicas: Invalid value"),
    "no replicas": (with_("scaling", minReplicas=0), "spec.scaling.minReplicas: Invalid value"),
    "less than no replicas": (with_("scaling", minReplicas=-1), "spec.scaling.minReplicas: Invalid value"),
    "metrics without room to scale": (
        with_("scaling", metrics=[{"type": "QueueDepth", "target": 8}]),
        "spec.scaling: Invalid value",
    ),
    "behavior without room to scale": (with_("scaling", behavior={"scaleUp": {}}), "spec.scaling: Invalid value"),
    "a promise in words": (with_("scaling", slo={"p95": "fast"}), "spec.scaling.slo.p95: Invalid value"),
    "a promise of nothing": (with_("scaling", slo={"p95": "0ms"}), "spec.scaling.slo.p95: Invalid value"),
    "a promise of a century": (with_("scaling", slo={"p95": "876000h"}), "spec.scaling.slo.p95: Invalid value"),
    "a queue of a duration": (metric("QueueDepth", "8s"), "spec.scaling.metrics[0]: Invalid value"),
    "a p95 of a number": (metric("P95", 8), "spec.scaling.metrics[0]: Invalid value"),
    "an unknown metric": (metric("Mood", 8), "spec.scaling.metrics[0].type: Unsupported value"),
    "one metric twice": (
        with_("scaling", maxReplicas=2, metrics=[{"type": "QueueDepth", "target": 8}] * 2),
        "spec.scaling.metrics[1]: Duplicate value",
    ),
    "a weight above all": (steps(101), "spec.rollout.steps[0].weight: Invalid value"),
    "a weight below none": (steps(-1), "spec.rollout.steps[0].weight: Invalid value"),
    "a third of a percent": (steps(33.3), "spec.rollout.steps[0].weight"),
    "steps that descend": (steps(50, 10), "spec.rollout.steps: Invalid value"),
    "a step twice": (steps(10, 10), "spec.rollout.steps: Invalid value"),
    "no steps": (steps(), "spec.rollout.steps: Invalid value"),
    "too many steps": (steps(*range(1, 22)), "spec.rollout.steps: Too many"),
    "a hold of years": (
        with_("rollout", steps=[{"weight": 1, "hold": "9999h"}]),
        "spec.rollout.steps[0].hold: Invalid",
    ),
    "a typo": (with_("scaling", replcas=3), 'unknown field "spec.scaling.replcas"'),
    "a fixed number beside the scaling": ({**with_model(), "replicas": 3}, 'unknown field "spec.replicas"'),
    "a raw pod": ({**with_model(), "podTemplate": {}}, 'unknown field "spec.podTemplate"'),
    "the node's network": ({**with_model(), "hostNetwork": True}, 'unknown field "spec.hostNetwork"'),
    "another account": (
        with_("runtime", serviceAccountName="admin"),
        'unknown field "spec.runtime.serviceAccountName"',
    ),
    "an environment": (with_("runtime", env=[{"name": "LD_PRELOAD"}]), 'unknown field "spec.runtime.env"'),
    "an image": (with_("runtime", image="x:latest"), 'unknown field "spec.runtime.image"'),
}


@pytest.mark.parametrize(("spec", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_the_api_server_refuses(kubectl: Kubectl, spec: Object, told: str) -> None:
    with pytest.raises(Failed) as refusal:
        submit(kubectl, spec)
    assert told in str(refusal.value)


NAMES = ["x" * 46, "1churn", "churn.v2"]


@pytest.mark.parametrize("name", NAMES, ids=["too long", "starting with a digit", "with a dot"])
def test_the_api_server_refuses_a_name(kubectl: Kubectl, name: str) -> None:
    with pytest.raises(Failed, match=r"metadata\.name must"):
        submit(kubectl, with_model(), name)


ACCEPTED: dict[str, Object] = {
    "the least": with_model(),
    "plain HTTP, which installs may allow": with_model(uri="http://store.ml.svc.cluster.local:8000/m.onnx"),
    "a claim": with_model(uri="pvc://models/churn/v3.onnx", sha256="0" * 64),
    "an address with a query": with_model(uri="https://h/m.onnx?versionId=a%20b"),
    "both metrics": with_(
        "scaling",
        maxReplicas=8,
        metrics=[{"type": "QueueDepth", "target": 8}, {"type": "P95", "target": "120ms"}],
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0, "tolerance": "0.05"}},
    ),
    "a slice of a GPU": with_("resources", gpu={"count": 1, "resource": "nvidia.com/mig-1g.10gb"}),
    "twenty steps": steps(*range(1, 21)),
    "the longest name": with_model(),
}


@pytest.mark.parametrize("which", ACCEPTED)
def test_the_api_server_accepts(kubectl: Kubectl, which: str) -> None:
    name = "x" * 45 if which == "the longest name" else "churn"
    assert "created" in submit(kubectl, ACCEPTED[which], name)
