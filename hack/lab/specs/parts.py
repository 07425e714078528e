"""Specs with the parts that a row is about."""

from typing import Any

Object = dict[str, Any]

URI = "https://models.example/churn.onnx"


def with_model(**parts: Any) -> Object:
    return {"model": {"uri": URI, **parts}}


def with_(section: str, **parts: Any) -> Object:
    return {**with_model(), section: parts}


def steps(*weights: Any) -> Object:
    return with_("rollout", steps=[{"weight": weight} for weight in weights])


def shadowed(**shadow: Any) -> Object:
    return with_("rollout", steps=[{"weight": 0}, {"weight": 50}], shadow=shadow)


def queried(*queries: Object, **analysis: Any) -> Object:
    return with_("rollout", analysis={"queries": list(queries), **analysis})


def metric(kind: str, target: int | str) -> Object:
    return with_("scaling", maxReplicas=2, metrics=[{"type": kind, "target": target}])


def tolerations(*items: Object) -> Object:
    return with_("placement", tolerations=list(items))


def variables(*items: Object) -> Object:
    return with_("runtime", environment=list(items))


def with_image(name: str = "registry.example/ml/served:v3", **parts: Any) -> Object:
    return with_("runtime", image={"name": name, **parts})
