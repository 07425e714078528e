"""Objects of a cluster for the cases, as the API server has them; the parts that a case is about are given."""

from typing import Any

Object = dict[str, Any]

STABLE, CANARY = "churn-6f3c9d1a", "churn-a81e0213"
_TIMES = {"True": "2026-11-20T08:00:00Z", "False": "2026-11-22T09:50:00Z", "Unknown": "2026-11-22T09:50:00Z"}


def service(
    *, spec: Object | None = None, status: Object | None = None, generation: int = 7, fields: list[Object] | None = None
) -> Object:
    """An InferenceService whose status is about its spec unless it says otherwise."""
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {
            "name": "churn",
            "namespace": "ml",
            "generation": generation,
            "resourceVersion": "4711",
            "creationTimestamp": "2026-11-01T08:00:00Z",
            **({"managedFields": fields} if fields else {}),
        },
        "spec": {"model": {"uri": "https://models.example/churn-v4.onnx"}, **(spec or {})},
        "status": {"observedGeneration": 7, "url": "http://churn.ml.svc.cluster.local", **(status or {})},
    }


def routed(revision: str, weight: int, *, replicas: int = 1, ready: int | None = None, **more: Any) -> Object:
    """`status.stable` or `status.canary`."""
    ready = replicas if ready is None else ready
    return {"revision": revision, "weight": weight, "replicas": replicas, "readyReplicas": ready, **more}


def under_way(phase: str, weight: int = 10, *, message: str = "", **more: Any) -> Object:
    """A status with a canary in step 0 of 3 since 09:50; `more`: `canary`, `conditions`, fields of `rollout`."""
    canary = more.pop("canary", routed(CANARY, weight))
    conditions = more.pop("conditions", [])
    rollout = {"phase": phase, "step": 0, "steps": 3, "since": "2026-11-22T09:50:00Z", "message": message, **more}
    return {
        "stable": routed(STABLE, 100 - weight, replicas=3),
        "canary": canary,
        "conditions": conditions,
        "rollout": rollout,
    }


def condition(kind: str, truth: str, reason: str, message: str) -> Object:
    """A condition."""
    return {
        "type": kind,
        "status": truth,
        "reason": reason,
        "message": message,
        "lastTransitionTime": _TIMES[truth if kind != "Stalled" else "False"],
        "observedGeneration": 7,
    }


def analysis(
    verdict: str, reason: str, message: str, canary: tuple[int, int], stable: tuple[int, int], slow: int = 0
) -> Object:
    """`status.rollout.analysis`, from (requests, failures) of both."""
    told = {
        role: {
            "requests": requests,
            "failures": failures,
            "timed": requests // 4,
            "slow": slow if role == "canary" else 0,
        }
        for role, (requests, failures) in (("canary", canary), ("stable", stable))
    }
    return {
        "verdict": verdict,
        "reason": reason,
        "message": message,
        "at": "2026-11-22T09:59:40Z",
        "slowAfterMs": 49.2,
        **told,
    }


def copies(verdict: str, reason: str, message: str, compared: int, diverged: int) -> Object:
    """`status.rollout.analysis` of a step that is judged by copies."""
    told = {"compared": compared, "diverged": diverged, "failed": 0, "dropped": 3}
    nothing = {"requests": 0, "failures": 0, "timed": 0, "slow": 0}
    at = {"at": "2026-11-22T09:59:40Z", "canary": nothing, "stable": nothing}
    return {"verdict": verdict, "reason": reason, "message": message, "copies": told, **at}


def queried(found: Object, **told: Any) -> Object:
    """`found`, an analysis, with what Prometheus said to a query."""
    query = f'sum(rate(refunds_total{{revision="{CANARY}"}}[5m])) / sum(rate(orders_total{{revision="{CANARY}"}}[5m]))'
    return {**found, "queries": [{"name": "refunds", "query": query, "bounds": "at most 0.05", "windows": 3, **told}]}


def answered(action: str, revision: str, *, accepted: bool = True, message: str, identity: str = "7d0c") -> Object:
    """`status.rollout.lastRequest`."""
    return {
        "id": identity,
        "action": action,
        "revision": revision,
        "accepted": accepted,
        "message": message,
        "time": "2026-11-22T09:48:00Z",
    }


def deployment(revision: str, *, wanted: int = 1, ready: int = 0, **status: Any) -> Object:
    """A revision's Deployment."""
    return {
        "kind": "Deployment",
        "metadata": {"name": revision, "namespace": "ml", "generation": 1, "labels": _labels(revision)},
        "spec": {"replicas": wanted},
        "status": {
            "observedGeneration": 1,
            "replicas": wanted,
            "updatedReplicas": wanted,
            **({"readyReplicas": ready} if ready else {}),
            **status,
        },
    }


def pod(revision: str, name: str = "5c9f7-x2x8k", **status: Any) -> Object:
    """A pod of a revision that isn't ready."""
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"{revision}-{name}",
            "namespace": "ml",
            "labels": _labels(revision),
            "creationTimestamp": "2026-11-22T09:51:00Z",
        },
        "status": {"phase": "Pending", **status},
    }


def waiting(container: str, reason: str, message: str = "", /, *, restarts: int = 0, **last: Any) -> Object:
    """A container's status that waits; `last` is how it ended before."""
    return {
        "name": container,
        "restartCount": restarts,
        "state": {"waiting": {"reason": reason, "message": message}},
        **({"lastState": {"terminated": last}} if last else {}),
    }


def lease(*, holder: str = "tidegate-controller-0_1f3a", renewed: str = "2026-11-22T09:59:58.000000Z") -> Object:
    """The controller's Lease."""
    return {
        "kind": "Lease",
        "metadata": {"name": "tidegate-controller", "namespace": "tidegate-system"},
        "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15},
    }


def _labels(revision: str) -> dict[str, str]:
    return {"tidegate.dev/service": "churn", "tidegate.dev/revision": revision}
