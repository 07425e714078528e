"""What the adapter needs of the pods and InferenceServices it watches. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidegate_operator.api.schema import seconds
from tidegate_operator.naming import SERVICE_LABEL, tells_metrics


@dataclass(frozen=True, slots=True)
class Pod:
    """A runtime pod; times in seconds since the epoch.

    `ready_since` is set where it is ready, `unready_since` where it isn't but may become so; a pod that is being
    deleted has neither. `address` is None until it has one, and of a pod that tells no metrics.
    """

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    address: str | None
    ready_since: float | None
    unready_since: float | None

    @property
    def service(self) -> str | None:
        """The name of its InferenceService."""
        return self.labels.get(SERVICE_LABEL)


@dataclass(frozen=True, slots=True)
class Service:
    """An InferenceService; `p95_target` in seconds, None where nothing asks to scale by latency."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    p95_target: float | None


def pod_of(body: Mapping[str, Any]) -> Pod | None:
    """The pod in an API object; None where it has ended for good."""
    meta, status = body["metadata"], body.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    ready: Mapping[str, Any] = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    since = epoch(ready.get("lastTransitionTime") or meta["creationTimestamp"])
    leaving = meta.get("deletionTimestamp") is not None
    is_ready = ready.get("status") == "True"
    labels = dict(meta.get("labels") or {})
    return Pod(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        labels=labels,
        address=(status.get("podIP") or None) if tells_metrics(labels) else None,
        ready_since=since if is_ready and not leaving else None,
        unready_since=since if not is_ready and not leaving else None,
    )


def service_of(body: Mapping[str, Any]) -> Service:
    """The InferenceService in an API object, with the p95 that its HPAs have as target."""
    meta = body["metadata"]
    return Service(
        namespace=meta["namespace"],
        name=meta["name"],
        labels=dict(meta.get("labels") or {}),
        p95_target=p95_target((body.get("spec") or {}).get("scaling") or {}),
    )


def p95_target(scaling: Mapping[str, Any]) -> float | None:
    """The target in seconds of `spec.scaling`: its P95 metric, else `slo.p95`; None without either.

    Only these fields are read, so that an object which a newer release wrote is still understood.
    """
    targets = [metric.get("target") for metric in scaling.get("metrics") or () if metric.get("type") == "P95"]
    text = targets[0] if targets else (scaling.get("slo") or {}).get("p95")
    if not isinstance(text, str):
        return None
    try:
        return seconds(text)
    except ValueError:
        return None


def epoch(timestamp: str) -> float:
    """Seconds since the epoch of an API timestamp such as `2026-11-22T10:00:00Z`."""
    return datetime.fromisoformat(timestamp).timestamp()
