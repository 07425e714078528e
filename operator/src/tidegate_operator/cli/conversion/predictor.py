"""`spec.predictor` of a KServe InferenceService → our spec, concern by concern."""

from collections.abc import Mapping

from pydantic import ValidationError

from tidegate_operator.api.model_spec import ModelSpec
from tidegate_operator.api.scaling_behavior import ScalingBehavior
from tidegate_operator.cli.conversion.fields import Path
from tidegate_operator.cli.conversion.quantities import memory, parsed, processors
from tidegate_operator.cli.conversion.report import Draft

PREDICTOR: Path = ("spec", "predictor")
_OTHER_FORMATS = (
    *("sklearn", "xgboost", "tensorflow", "pytorch", "triton", "huggingface", "pmml", "lightgbm", "paddle", "mlflow"),
)
_KNATIVE = ("Serverless", "Knative")
_PLACES = {
    "nodeSelector": "nodeSelector",
    "tolerations": "tolerations",
    "runtimeClassName": "runtimeClass",
    "priorityClassName": "priorityClass",
}
_LONGEST = 3600
"""Seconds that spec.runtime.timeout may be."""


def model(draft: Draft) -> Path | None:
    """The model; returns where the source has it, None if there is none that could be served."""
    for name in ("model", "onnx"):
        if draft.source.look(*PREDICTOR, name) is not None:
            return _model(draft, (*PREDICTOR, name), legacy=name == "onnx")
    for name in _OTHER_FORMATS:
        if draft.source.look(*PREDICTOR, name) is not None:
            draft.source.take(*PREDICTOR, name)
            draft.note((*PREDICTOR, name), "ONNX models alone are served: export the model to ONNX", "essential")
            return None
    draft.note((*PREDICTOR, "model"), "is missing: there is nothing to serve", "essential")
    return None


def _model(draft: Draft, at: Path, *, legacy: bool) -> Path | None:
    kind = "onnx" if legacy else draft.source.take(*at, "modelFormat", "name")
    if kind != "onnx":
        why = f"{kind!r} isn't served, ONNX alone is: export the model to ONNX"
        draft.note((*at, "modelFormat", "name"), why, "essential")
        draft.source.take(*at)
        return None
    uri = draft.source.take(*at, "storageUri")
    if uri is None:
        draft.note((*at, "storageUri"), "is missing: spec.model.uri has to name the model's file", "essential")
        return at
    try:
        ModelSpec.model_validate({"uri": uri})
    except ValidationError:
        why = f"{uri!r} can't be fetched from: kubectl explain isv.spec.model.uri says which places can"
        draft.note((*at, "storageUri"), why, "essential")
        return at
    draft.put("model", "uri", uri)
    match protocol := draft.source.take(*at, "protocolVersion"):
        case None | "v1" | "v2":
            pass
        case _:
            draft.note((*at, "protocolVersion"), f"{protocol!r}: clients have V1 and V2 over HTTP")
    return at


def resources(draft: Draft, at: Path) -> None:
    """What a pod needs, from the container at `at`: processors are never limited, memory is requested as limited."""
    requested: Path = (*at, "resources", "requests")
    limited: Path = (*at, "resources", "limits")
    _processors(draft, (*requested, "cpu"), (*limited, "cpu"))
    _memory(draft, (*requested, "memory"), (*limited, "memory"))
    _accelerators(draft, requested, limited)


def _processors(draft: Draft, requested: Path, limited: Path) -> None:
    wanted, limit = draft.source.take(*requested), draft.source.take(*limited)
    if limit is not None:
        draft.note(limited, "processors are requested, never limited")
    chosen = limit if wanted is None else wanted
    try:
        if chosen is not None:
            draft.put("resources", "requests", "cpu", processors(chosen))
    except ValueError as error:
        draft.note(limited if wanted is None else requested, str(error), "essential")


def _memory(draft: Draft, requested: Path, limited: Path) -> None:
    wanted, limit = draft.source.take(*requested), draft.source.take(*limited)
    chosen = wanted if limit is None else limit
    try:
        if chosen is not None:
            draft.put("resources", "requests", "memory", memory(chosen))
        if wanted is not None and limit is not None and parsed(wanted) != parsed(limit):
            draft.note(requested, f"memory is requested and limited alike: by the limit, {limit}")
    except ValueError as error:
        draft.note(requested if limit is None else limited, str(error), "essential")


def _accelerators(draft: Draft, requested: Path, limited: Path) -> None:
    draft.put("runtime", "device", "cpu")
    for at in (limited, requested):
        listed = draft.source.look(*at)
        for resource in sorted(map(str, listed)) if isinstance(listed, Mapping) else ():
            if not resource.startswith("nvidia.com/"):
                continue
            count = draft.source.take(*at, resource)
            if not str(count).isdecimal():
                draft.note((*at, resource), f"{count!r} is no number of devices", "essential")
            elif int(count) and draft.spec["runtime"]["device"] == "cpu":
                draft.put("runtime", "device", "cuda")
                draft.put("resources", "gpu", {"count": int(count), "resource": resource})
            elif int(count) and draft.spec["resources"]["gpu"] != {"count": int(count), "resource": resource}:
                draft.note((*at, resource), "a pod has devices of one kind")


def scaling(draft: Draft) -> None:
    """How many pods, and when more."""
    low, high = draft.whole((*PREDICTOR, "minReplicas")), draft.whole((*PREDICTOR, "maxReplicas"))
    if low == 0:
        draft.note((*PREDICTOR, "minReplicas"), "nothing holds requests while there is no pod: it is 1 here")
    least = low or 1
    if low is not None:
        draft.put("scaling", "minReplicas", least)
    if high == 0:
        draft.note((*PREDICTOR, "maxReplicas"), "there is no scaling without a bound: set spec.scaling.maxReplicas")
    elif high is not None:
        draft.put("scaling", "maxReplicas", high)
    autoscaled = high is not None and high > least
    _metric(draft, autoscaled=autoscaled)
    _behavior(draft, autoscaled=autoscaled)


def _metric(draft: Draft, *, autoscaled: bool) -> None:
    metric, target = draft.source.take(*PREDICTOR, "scaleMetric"), draft.whole((*PREDICTOR, "scaleTarget"))
    if metric is None and target is None:
        return
    at: Path = (*PREDICTOR, "scaleTarget" if metric is None else "scaleMetric")
    wanted = f"{metric or 'the default metric'}, target {target if target is not None else 'left out'}"
    mode = draft.source.look("metadata", "annotations", "serving.kserve.io/deploymentMode")
    if metric != "concurrency" and not (metric is None and mode in _KNATIVE):
        draft.note(at, f"{wanted}: pods scale on their queue and p95, see spec.scaling.metrics")
    elif not autoscaled or not target:
        draft.note(at, f"{wanted}: a metric needs a target, and a maxReplicas above minReplicas")
    else:
        draft.put("scaling", "metrics", [{"type": "QueueDepth", "target": target}])
        draft.note(at, f"{wanted}: became QueueDepth {target}, which leaves out what the engine works on")


def _behavior(draft: Draft, *, autoscaled: bool) -> None:
    at: Path = (*PREDICTOR, "autoScaling", "behavior")
    behavior = draft.source.take(*at)
    if behavior is None:
        return
    if not autoscaled:
        draft.note(at, "behavior needs a maxReplicas above minReplicas")
        return
    try:
        draft.put("scaling", "behavior", ScalingBehavior.model_validate(behavior).dump())
    except ValidationError as error:
        first = error.errors()[0]
        draft.note((*at, *first["loc"]), first["msg"])


def running(draft: Draft) -> None:
    """Time-out and batching."""
    at: Path = (*PREDICTOR, "timeout")
    limit = draft.whole(at)
    if limit:
        draft.put("runtime", "timeout", f"{min(limit, _LONGEST)}s")
        if limit > _LONGEST:
            draft.note(at, f"{limit} s: it is at most {_LONGEST} s here")
    rows, delay = (
        draft.whole((*PREDICTOR, "batcher", "maxBatchSize")),
        draft.whole((*PREDICTOR, "batcher", "maxLatency")),
    )
    if rows:
        draft.put("runtime", "batching", "maxBatchSize", rows)
    if delay is not None:
        draft.put("runtime", "batching", "maxDelay", f"{min(delay, 10_000)}ms")
        if delay > 10_000:
            draft.note((*PREDICTOR, "batcher", "maxLatency"), f"{delay} ms: it is at most 10 s here")


def canary(draft: Draft) -> None:
    """The share of requests that a changed model gets."""
    at: Path = (*PREDICTOR, "canaryTrafficPercent")
    percent = draft.whole(at)
    if percent is None:
        return
    if percent >= 100:
        draft.note(at, "all requests: apply it without steps, by spec.rollout as it is by default", "noted")
        return
    draft.put("rollout", {"steps": [{"weight": percent}], "approval": "Manual"})
    draft.note(
        at,
        f"a changed spec.model stays at {percent} % until it is promoted; the first revision gets all requests, so"
        " apply the model that is to be stable first",
        "noted",
    )


def placement(draft: Draft, *, known: bool) -> None:
    """Which nodes take its pods; `known` tells whether this release has fields for that."""
    for theirs, ours in _PLACES.items():
        value = draft.source.take(*PREDICTOR, theirs)
        if value and known:
            draft.put("placement", ours, value)
        elif value:
            draft.note((*PREDICTOR, theirs), f"this release has no spec.placement.{ours}")
