"""KServe's InferenceServices, field by field."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.cli.conversion import Conversion, Note, convert
from tidegate_operator.cli.conversion.fields import Fields, written
from tidegate_operator.cli.conversion.predictor import placement
from tidegate_operator.cli.conversion.report import Draft

Object = dict[str, Any]

URI = "https://models.example/churn.onnx"
BASE: Object = {"model": {"uri": URI}, "runtime": {"device": "cpu"}}


def a_kserve(predictor: Object | None = None, model: Object | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "churn", "namespace": "ml"},
        "spec": {
            "predictor": {
                "model": {"modelFormat": {"name": "onnx"}, "storageUri": URI, **(model or {})},
                **(predictor or {}),
            },
            **spec,
        },
    }


def notes(conversion: Conversion) -> list[tuple[str, str]]:
    return [(note.field.removeprefix("spec.predictor."), note.gravity) for note in conversion.notes]


def resources(requests: Object | None = None, limits: Object | None = None) -> Object:
    told = {"requests": requests, "limits": limits}
    return {"resources": {name: value for name, value in told.items() if value}}


# source; what the spec has beyond model and device; notes
CARRIED: dict[str, tuple[Object, Object, list[tuple[str, str]]]] = {
    "a model": (a_kserve(), {}, []),
    "the older way to name a format": (
        {
            **a_kserve(),
            "spec": {"predictor": {"onnx": {"storageUri": URI, "resources": {"requests": {"cpu": 2}}}}},
        },
        {"resources": {"requests": {"cpu": "2"}}},
        [],
    ),
    "requests and limits": (
        a_kserve(model=resources({"cpu": "500m", "memory": "1Gi"}, {"cpu": "2", "memory": "4Gi"})),
        {"resources": {"requests": {"cpu": "500m", "memory": "4Gi"}}},
        [("model.resources.limits.cpu", "lost"), ("model.resources.requests.memory", "lost")],
    ),
    "limits alone": (
        a_kserve(model=resources(None, {"cpu": 1.5, "memory": "512M"})),
        {"resources": {"requests": {"cpu": "1500m", "memory": "500000Ki"}}},
        [("model.resources.limits.cpu", "lost")],
    ),
    "a GPU": (
        a_kserve(model=resources(None, {"nvidia.com/gpu": "2"})),
        {"runtime": {"device": "cuda"}, "resources": {"gpu": {"count": 2, "resource": "nvidia.com/gpu"}}},
        [],
    ),
    "a GPU, requested as limited": (
        a_kserve(model=resources({"nvidia.com/gpu": 1}, {"nvidia.com/gpu": 1})),
        {"runtime": {"device": "cuda"}, "resources": {"gpu": {"count": 1, "resource": "nvidia.com/gpu"}}},
        [],
    ),
    "a part of a GPU": (
        a_kserve(model=resources(None, {"nvidia.com/mig-1g.10gb": 1})),
        {"runtime": {"device": "cuda"}, "resources": {"gpu": {"count": 1, "resource": "nvidia.com/mig-1g.10gb"}}},
        [],
    ),
    "no GPU, in so many words": (a_kserve(model=resources(None, {"nvidia.com/gpu": 0})), {}, []),
    "another accelerator": (
        a_kserve(model=resources(None, {"amd.com/gpu": 1})),
        {},
        [("model.resources.limits.amd.com/gpu", "lost")],
    ),
    "replicas": (
        a_kserve({"minReplicas": 2, "maxReplicas": 8}),
        {"scaling": {"minReplicas": 2, "maxReplicas": 8}},
        [],
    ),
    "scaling to zero": (
        a_kserve({"minReplicas": 0, "maxReplicas": 3}),
        {"scaling": {"minReplicas": 1, "maxReplicas": 3}},
        [("minReplicas", "lost")],
    ),
    "scaling without a bound": (
        a_kserve({"minReplicas": 1, "maxReplicas": 0}),
        {"scaling": {"minReplicas": 1}},
        [("maxReplicas", "lost")],
    ),
    "concurrency": (
        a_kserve({"maxReplicas": 4, "scaleMetric": "concurrency", "scaleTarget": 10}),
        {"scaling": {"maxReplicas": 4, "metrics": [{"type": "QueueDepth", "target": 10}]}},
        [("scaleMetric", "lost")],
    ),
    "a target without a bound": (
        a_kserve({"scaleMetric": "concurrency", "scaleTarget": 10}),
        {},
        [("scaleMetric", "lost")],
    ),
    "processors as metric": (
        a_kserve({"maxReplicas": 4, "scaleMetric": "cpu", "scaleTarget": 80}),
        {"scaling": {"maxReplicas": 4}},
        [("scaleMetric", "lost")],
    ),
    "a target of the default metric": (
        a_kserve({"maxReplicas": 4, "scaleTarget": 80}),
        {"scaling": {"maxReplicas": 4}},
        [("scaleTarget", "lost")],
    ),
    "how fast it scales": (
        a_kserve({"maxReplicas": 4, "autoScaling": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}),
        {"scaling": {"maxReplicas": 4, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}},
        [],
    ),
    "how fast it scales, where it can't": (
        a_kserve({"autoScaling": {"behavior": {"scaleDown": {}}}}),
        {},
        [("autoScaling.behavior", "lost")],
    ),
    "a rule of scaling that we lack": (
        a_kserve({"maxReplicas": 4, "autoScaling": {"behavior": {"scaleSideways": {"policies": []}}}}),
        {"scaling": {"maxReplicas": 4}},
        [("autoScaling.behavior.scaleSideways", "lost")],
    ),
    "metrics of the autoscaler": (
        a_kserve({"autoScaling": {"metrics": [{"type": "Resource", "resource": {"name": "cpu"}}]}}),
        {},
        [("autoScaling.metrics", "lost")],
    ),
    "a canary": (
        a_kserve({"canaryTrafficPercent": 10}),
        {"rollout": {"steps": [{"weight": 10}], "approval": "Manual"}},
        [("canaryTrafficPercent", "noted")],
    ),
    "a canary with all requests": (a_kserve({"canaryTrafficPercent": 100}), {}, [("canaryTrafficPercent", "noted")]),
    "a time-out": (a_kserve({"timeout": 60}), {"runtime": {"device": "cpu", "timeout": "60s"}}, []),
    "a time-out of hours": (
        a_kserve({"timeout": 7200}),
        {"runtime": {"device": "cpu", "timeout": "3600s"}},
        [("timeout", "lost")],
    ),
    "batching": (
        a_kserve({"batcher": {"maxBatchSize": 64, "maxLatency": 20, "timeout": 60}}),
        {"runtime": {"device": "cpu", "batching": {"maxBatchSize": 64, "maxDelay": "20ms"}}},
        [("batcher.timeout", "lost")],
    ),
    "protocols": (a_kserve(model={"protocolVersion": "v2"}), {}, []),
    "a protocol that clients don't get": (
        a_kserve(model={"protocolVersion": "grpc-v2"}),
        {},
        [("model.protocolVersion", "lost")],
    ),
    "what the pod and the container had": (
        a_kserve(
            {"serviceAccountName": "s3", "affinity": {"nodeAffinity": {"a": [1]}}, "containerConcurrency": 4},
            {"runtime": "kserve-tritonserver", "env": [{"name": "A", "value": "1"}], "image": "x"},
        ),
        {},
        [
            ("model.runtime", "lost"),
            ("model.env", "lost"),
            ("model.image", "lost"),
            ("serviceAccountName", "lost"),
            ("affinity", "lost"),
            ("containerConcurrency", "lost"),
        ],
    ),
    "what no rule knows": (
        a_kserve({"brandNew": {"knob": 1, "list": []}}),
        {},
        [("brandNew.knob", "lost"), ("brandNew.list", "lost")],
    ),
    "an explainer and canaries of their own": (
        a_kserve(explainer={"art": {}}, canary=[{"trafficPercent": 10}]),
        {},
        [("spec.explainer", "lost"), ("spec.canary", "lost")],
    ),
}


@pytest.mark.parametrize(("source", "more", "told"), CARRIED.values(), ids=CARRIED.keys())
def test_a_field_is_carried_over_or_told(source: Object, more: Object, told: list[tuple[str, str]]) -> None:
    conversion = convert(source)
    assert conversion.manifest is not None, conversion.notes
    assert conversion.manifest["spec"] == {**BASE, **more}
    assert notes(conversion) == told
    InferenceServiceSpec.model_validate(conversion.manifest["spec"])


MISSING: dict[str, tuple[Object, str, str]] = {
    "another format": (
        a_kserve(model={"modelFormat": {"name": "sklearn"}}),
        "model.modelFormat.name",
        "export the model",
    ),
    "another format, the older way": (
        {**a_kserve(), "spec": {"predictor": {"sklearn": {"storageUri": URI}}}},
        "sklearn",
        "export the model",
    ),
    "no model": ({**a_kserve(), "spec": {"predictor": {}}}, "model", "nothing to serve"),
    "no predictor": ({**a_kserve(), "spec": {}}, "model", "nothing to serve"),
    "no place": (a_kserve(model={"storageUri": None}), "model.storageUri", "is missing"),
    "a place that we can't fetch from": (a_kserve(model={"storageUri": "ftp://x/y"}), "model.storageUri", "can't be"),
    "a transformer": (a_kserve(transformer={"containers": [{}]}), "spec.transformer", "in the client"),
    "several nodes": (a_kserve({"workerSpec": {"size": 2}}), "workerSpec", "one pod"),
    "own containers": (a_kserve({"containers": [{"name": "x"}]}), "containers", "bundled runtime"),
    "a quantity that is none": (
        a_kserve(model=resources({"memory": "much"})),
        "model.resources.requests.memory",
        "is no quantity",
    ),
    "replicas that are no number": (a_kserve({"minReplicas": "two"}), "minReplicas", "is no whole number"),
    "a bound below the least": (
        a_kserve({"batcher": {"maxBatchSize": 9999}}),
        "spec.runtime.batching.maxBatchSize",
        "4096",
    ),
    "another version": ({**a_kserve(), "apiVersion": "serving.kserve.io/v1alpha1"}, "kind", "v1beta1"),
    "another kind": ({**a_kserve(), "kind": "ServingRuntime"}, "kind", "ServingRuntime isn't converted"),
    "no name": ({**a_kserve(), "metadata": {}}, "metadata.name", "is missing"),
}


@pytest.mark.parametrize(("source", "field", "reason"), MISSING.values(), ids=MISSING.keys())
def test_without_what_is_essential_there_is_no_manifest(source: Object, field: str, reason: str) -> None:
    conversion = convert(source)
    assert conversion.manifest is None
    told = {
        note.field.removeprefix("spec.predictor."): note for note in conversion.notes if note.gravity == "essential"
    }
    assert reason in told[field].reason


def test_metadata_that_people_wrote_is_kept_and_the_rest_is_told() -> None:
    source = a_kserve()
    source["metadata"] |= {
        "labels": {"team": "risk"},
        "annotations": {
            "owner": "risk",
            "serving.kserve.io/autoscalerClass": "hpa",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
        "uid": "1",
        "managedFields": [{"manager": "kubectl"}],
        "finalizers": ["inferenceservice.finalizers"],
    }
    source["status"] = {"url": "http://x", "conditions": [{"type": "Ready"}]}
    conversion = convert(source)
    assert conversion.manifest is not None
    assert conversion.manifest["metadata"] == {
        "name": "churn",
        "namespace": "ml",
        "labels": {"team": "risk"},
        "annotations": {"owner": "risk"},
    }
    assert [(note.field, note.gravity) for note in conversion.notes] == [
        ("metadata.annotations.serving.kserve.io/autoscalerClass", "lost"),
        ("metadata.annotations.kubectl.kubernetes.io/last-applied-configuration", "noted"),
        ("metadata.uid", "noted"),
        ("metadata.managedFields", "noted"),
        ("metadata.finalizers", "lost"),
        ("status", "noted"),
    ]


CHOSEN: Object = {
    "nodeSelector": {"gpu": "a100"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "runtimeClassName": "nvidia",
    "priorityClassName": "serving",
}


def test_nodes_are_chosen_as_before_by_a_release_that_can() -> None:
    draft = Draft(Fields(a_kserve(CHOSEN)))
    placement(draft, known=True)
    assert draft.spec == {
        "placement": {
            "nodeSelector": {"gpu": "a100"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "runtimeClass": "nvidia",
            "priorityClass": "serving",
        }
    }
    assert draft.notes == []


def test_that_nodes_cannot_be_chosen_is_told_by_a_release_that_can_not() -> None:
    draft = Draft(Fields(a_kserve(CHOSEN)))
    placement(draft, known=False)
    assert draft.spec == {}
    assert [note.field for note in draft.notes] == [f"spec.predictor.{name}" for name in CHOSEN]


numbers = st.integers(1, 99)
scalars = st.booleans() | numbers | st.text(min_size=1, max_size=8)
unknown = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=3),
    max_leaves=6,
)
quantities = st.sampled_from(["1", "500m", "2Gi", "much"])
predictors = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("minReplicas", "maxReplicas", "timeout", "scaleTarget", "canaryTrafficPercent"), numbers),
        "scaleMetric": st.sampled_from(["concurrency", "cpu", "rps"]),
        "batcher": st.dictionaries(st.sampled_from(["maxBatchSize", "maxLatency", "timeout", "x"]), numbers),
        "nodeSelector": st.dictionaries(st.sampled_from(["a", "b"]), scalars, min_size=1),
        **dict.fromkeys(("logger", "zzz", "tolerations", "autoScaling"), unknown),
    },
)
models = st.fixed_dictionaries(
    {},
    optional={
        "resources": st.fixed_dictionaries(
            {"limits": st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "x.y/z"]), quantities)}
        ),
        **dict.fromkeys(("env", "runtime", "qqq"), unknown),
    },
)


@given(predictors, models)
def test_no_field_is_ever_dropped_unsaid(predictor: Object, model: Object) -> None:
    source = a_kserve(predictor, model)
    whole = convert(source)
    if whole.manifest is None:
        assert any(note.gravity == "essential" for note in whole.notes)
        return
    for path in Fields(source).left():
        if not Fields(source).look(*path):
            continue
        told = any(written(path).startswith(note.field) for note in whole.notes)
        assert told or convert(without(source, path)) != whole, written(path)


def without(source: Object, path: tuple[Any, ...]) -> Object:
    after = copy.deepcopy(source)
    node: Any = after
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return after


@given(unknown, unknown, unknown)
def test_whatever_is_written_in_a_manifest_it_is_answered(predictor: object, model: object, metadata: object) -> None:
    broken = {**a_kserve(), "metadata": metadata}
    for spec in (predictor, {"predictor": predictor}, {"predictor": {"model": model, "resources": model}}):
        convert({**broken, "spec": spec})
    convert(a_kserve({"tolerations": model}, {"resources": {"limits": predictor, "requests": model}}))


def test_fields_know_what_nobody_took() -> None:
    fields = Fields({"a": {"b": 1, "c": [{"d": 2}, {}]}, "e": None})
    assert fields.take("a", "b") == 1
    assert fields.take("a", "x") is None
    assert [written(path) for path in fields.left()] == ["a.c[0].d", "a.c[1]", "e"]
    assert fields.look("a", "c", 0, "d") == 2
    assert fields.take("a", "c") == [{"d": 2}, {}]
    assert fields.left() == [("e",)]


def test_a_note_names_its_field_and_reason() -> None:
    (note,) = convert(a_kserve({"logger": {"mode": "all"}})).notes
    assert note == Note("spec.predictor.logger", "requests aren't logged", "lost")
