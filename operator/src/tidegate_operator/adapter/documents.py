"""The JSON documents of `custom.metrics.k8s.io`, in the shapes of k8s.io/metrics v1beta1 and v1beta2. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tidegate_operator.adapter.label_selectors import Selector, label_selector
from tidegate_operator.adapter.names import METRICS_GROUP, METRICS_VERSIONS, POD_METRICS, SERVICE_METRICS
from tidegate_operator.adapter.query import Value
from tidegate_operator.naming import GROUP, PLURAL

SERVICES = f"{PLURAL}.{GROUP}"
"""The InferenceServices' resource, as metric paths name it."""

_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed"}


def group() -> dict[str, Any]:
    """The group and its versions, as `/apis/<group>` answers."""
    versions = [{"groupVersion": f"{METRICS_GROUP}/{version}", "version": version} for version in METRICS_VERSIONS]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": METRICS_GROUP,
        "versions": versions,
        "preferredVersion": versions[0],
    }


def group_list() -> dict[str, Any]:
    """All groups served here, as `/apis` answers."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]}


def resource_list(version: str) -> dict[str, Any]:
    """The metrics that a version offers, as `/apis/<group>/<version>` answers."""
    names = [f"pods/{metric}" for metric in POD_METRICS] + [f"{SERVICES}/{metric}" for metric in SERVICE_METRICS]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{METRICS_GROUP}/{version}",
        "resources": [
            {"name": name, "singularName": "", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}
            for name in names
        ],
    }


def openapi_v2() -> dict[str, Any]:
    """An OpenAPI 2 document that describes nothing; without one the API server logs an error every minute."""
    return {"swagger": "2.0", "info": {"title": METRICS_GROUP, "version": METRICS_VERSIONS[0]}, "paths": {}}


def openapi_v3() -> dict[str, Any]:
    """The index of OpenAPI 3 documents; there are none."""
    return {"paths": {}}


def metric_values(version: str, metric: str, selector: Selector, values: Iterable[Value], now: float) -> dict[str, Any]:
    """A MetricValueList; `selector` is the metric selector it was asked for by."""
    timestamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    named = label_selector(selector)
    items = []
    for value in values:
        item: dict[str, Any] = {
            "describedObject": {
                "kind": value.kind,
                "namespace": value.namespace,
                "name": value.name,
                "apiVersion": value.api_version,
            },
            "timestamp": timestamp,
            "value": quantity(value.value),
        }
        if version == "v1beta1":
            item |= {"metricName": metric, "selector": named, "window": int(value.window)}
        else:
            item |= {"metric": {"name": metric, "selector": named}, "windowSeconds": int(value.window)}
        items.append(item)
    return {
        "kind": "MetricValueList",
        "apiVersion": f"{METRICS_GROUP}/{version}",
        "metadata": {},
        "items": items,
    }


def quantity(value: float) -> str:
    """A number as a Kubernetes quantity in whole thousandths, the finest that the HPA controller reads.

    It rounds anything finer up; this is the nearest one.
    """
    return f"{round(value * 1000)}m"


def failure(code: int, message: str) -> dict[str, Any]:
    """A Status that tells of an error."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(code, "InternalError"),
        "code": code,
    }
