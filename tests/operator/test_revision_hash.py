"""What makes a revision, and what doesn't."""

from typing import Any

import pytest

from tidegate_operator import naming
from tidegate_operator.revisions import revision_of

from .builders import a_spec

PLAIN = "ef1a5e0c"
"""By sha256sum over `{"model":{"uri":"https://models.example/churn.onnx"}}`.

Shipped hashes never change: one that did would replace every running pod of that spec.
"""

SAME: dict[str, dict[str, Any]] = {
    "defaults written out": {
        "runtime": {
            "device": "cuda",
            "batching": {"maxBatchSize": 32, "maxDelay": "5ms"},
            "limits": {
                "queueSize": 512,
                "maxBodyBytes": "64Mi",
                "maxElementBytes": "1Mi",
                "rejectNonFinite": False,
            },
            "timeout": "30s",
            "environment": [],
        },
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}},
        "placement": {"nodeSelector": {}, "tolerations": [], "topologySpread": "both", "imagePullSecrets": []},
    },
    "scaling": {"scaling": {"minReplicas": 3, "maxReplicas": 9}},
    "the rollout": {"rollout": {"approval": "Manual", "steps": [{"weight": 1}]}},
    "what a canary is judged on": {"rollout": {"analysis": {"maxP95Increase": "50%", "minP95Increase": "9ms"}}},
    "routing": {"routing": {"provider": "Router"}},
}

OTHERS: dict[str, dict[str, Any]] = {
    "the model's address": {"model": {"uri": "https://models.example/other.onnx"}},
    "the digest": {"model": {"uri": "https://models.example/churn.onnx", "sha256": "a" * 64}},
    "the device": {"runtime": {"device": "cpu"}},
    "the batch size": {"runtime": {"batching": {"maxBatchSize": 64}}},
    "the delay": {"runtime": {"batching": {"maxDelay": "0ms"}}},
    "the queue": {"runtime": {"limits": {"queueSize": 1}}},
    "the longest text": {"runtime": {"limits": {"maxElementBytes": "2Mi"}}},
    "whether NaN is taken": {"runtime": {"limits": {"rejectNonFinite": True}}},
    "the time-out": {"runtime": {"timeout": "2s"}},
    "the processors": {"resources": {"requests": {"cpu": "2"}}},
    "the accelerators": {"resources": {"gpu": {"count": 2}}},
    "a variable": {"runtime": {"environment": [{"name": "A", "value": "1"}]}},
    "an empty variable": {"runtime": {"environment": [{"name": "A", "value": ""}]}},
    "a variable of a ConfigMap": {"runtime": {"environment": [{"name": "A", "configMap": {"name": "a", "key": "b"}}]}},
    "an image": {"runtime": {"image": {"name": "served:v3"}}},
    "another image": {"runtime": {"image": {"name": "served:v4"}}},
    "the nodes": {"placement": {"nodeSelector": {"disk": "ssd"}}},
    "the tolerations": {"placement": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}},
    "the spread": {"placement": {"topologySpread": "zone"}},
    "the runtime class": {"placement": {"runtimeClass": "nvidia"}},
    "the priority": {"placement": {"priorityClass": "high"}},
    "the pull secrets": {"placement": {"imagePullSecrets": ["registry"]}},
    "the shared memory": {"resources": {"sharedMemory": "1Gi"}},
    "the claim template": {"resources": {"gpu": {"claimTemplate": "one-a100"}}},
}


def test_a_shipped_hash_stays() -> None:
    assert revision_of("churn", a_spec()).digest == PLAIN


def test_the_hash_is_of_what_differs_from_the_defaults() -> None:
    assert revision_of("churn", a_spec()).content == {"model": {"uri": "https://models.example/churn.onnx"}}


@pytest.mark.parametrize("parts", SAME.values(), ids=SAME.keys())
def test_no_new_revision_comes_from(parts: dict[str, Any]) -> None:
    assert revision_of("churn", a_spec(**parts)).digest == PLAIN


@pytest.mark.parametrize("parts", OTHERS.values(), ids=OTHERS.keys())
def test_a_new_revision_comes_from(parts: dict[str, Any]) -> None:
    assert revision_of("churn", a_spec(**parts)).digest != PLAIN


def test_all_of_these_differ_from_each_other() -> None:
    assert len({revision_of("churn", a_spec(**parts)).digest for parts in OTHERS.values()}) == len(OTHERS)


def test_a_revision_is_named_after_its_service_and_hash() -> None:
    revision = revision_of("churn-model", a_spec())
    assert revision.name == f"churn-model-{PLAIN}"
    assert naming.digest_of(revision.name) == PLAIN
