"""Raw children of an InferenceService → what the decisions and the status need to know of them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tidegate_operator import naming

Object = Mapping[str, Any]

_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")

_DIGEST = re.compile(r'\{"sha256": "([0-9a-f]{64})"\}')
_WAITING_IN_VAIN = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "InvalidImageName",
        "RunContainerError",
    }
)
_PULLED_AGAIN = frozenset({"ErrImagePull", "ImagePullBackOff"})
"""A registry may be away, or get the image a moment later; the kubelet tries again, for ever."""


@dataclass(frozen=True)
class Failure:
    """Why a revision's pods don't get ready."""

    reason: str
    message: str
    passing: bool = False
    """Whether it may well pass by itself, such as a pod that waits for a node."""
    retried: bool = False
    """Whether it is passing only for as long as a rollout may take to get on."""


@dataclass(frozen=True)
class Scaling:
    """Whether an HPA scales, in the words of its own condition."""

    active: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    pressed: bool = False
    """Whether it would have more pods than it may."""


@dataclass(frozen=True)
class Workload:
    """One revision's pods."""

    revision: str
    wanted: int = 0
    ready: int = 0
    settled: bool = False
    """Whether the Deployment has done what it was told: current, and every wanted pod ready."""
    failure: Failure | None = None
    timeout_seconds: float | None = None
    """How long its pods were told to take for a request at most."""
    sha256: str | None = None
    """The digest of the model that the first of its ready pods has fetched; None where none tells."""
    health_path: str | None = None
    """Where its pods tell that they serve, if they are of an image of the user's own."""


def workloads(children: Iterable[Object]) -> dict[str, Workload]:
    """What is known of each revision that has a Deployment, by the revision's name."""
    objects = list(children)
    pods = [child for child in objects if child["kind"] == "Pod"]
    deployments = [child for child in objects if child["kind"] == "Deployment"]
    return {found.revision: found for found in (_workload(deployment, pods) for deployment in deployments)}


def to_be(revision: str, wanted: int, template: Object) -> Workload:
    """A revision whose Deployment is to be made, of `wanted` pods by `template`."""
    spec = {"template": template}
    return Workload(revision, wanted, timeout_seconds=_timeout(spec), health_path=_told(spec, naming.HEALTH_VARIABLE))


def scaling_of(hpa: Object | None) -> Scaling:
    """Whether an HPA scales, as its ScalingActive condition says."""
    conditions = {found["type"]: found for found in (hpa or {}).get("status", {}).get("conditions", [])}
    if active := conditions.get("ScalingActive"):
        limit = conditions.get("ScalingLimited", {})
        pressed = limit.get("status") == "True" and limit.get("reason") == "TooManyReplicas"
        return Scaling(active["status"], active.get("reason", "Unknown"), active.get("message", ""), pressed)
    return Scaling("Unknown", "Pending", "the HorizontalPodAutoscaler has not looked at its metrics yet")


def is_ready(pod: Object) -> bool:
    """Whether requests are to come to a pod: it says that it can take some, and isn't on its way out."""
    return _is_ready(pod.get("status", {})) and "deletionTimestamp" not in pod["metadata"]


PODS_REFUSED: Final = "PodsRefused"
"""The reason of a failure by which no pod is made at all."""


def settled(deployment: Object) -> bool:
    """Whether a Deployment has the pods that it wants, all of them ready and of its template, and no others."""
    spec, status = deployment["spec"], deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return False
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")}
    return counts == {spec.get("replicas", 1)}


def _workload(deployment: Object, pods: Sequence[Object]) -> Workload:
    revision = _name(deployment)
    own = [pod for pod in pods if pod["metadata"].get("labels", {}).get(naming.REVISION_LABEL) == revision]
    spec, status = deployment["spec"], deployment.get("status", {})
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    done = settled(deployment)
    failure = None if done else _failure(own) or _refusal(status)
    health_path = _told(spec, naming.HEALTH_VARIABLE)
    return Workload(revision, wanted, ready, done, failure, _timeout(spec), _fetched(own), health_path)


def _fetched(pods: Iterable[Object]) -> str | None:
    ready = filter(is_ready, pods)
    for pod in sorted(ready, key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), _name(pod))):
        for container in pod["status"].get("initContainerStatuses", []):
            said = container.get("state", {}).get("terminated", {}).get("message") or ""
            if container["name"] == naming.FETCHER and (found := _DIGEST.fullmatch(said.strip())):
                return found[1]
    return None


def _timeout(spec: Object) -> float | None:
    told = _told(spec, naming.TIMEOUT_VARIABLE)
    return None if told is None else float(told)


def _told(spec: Object, variable: str) -> str | None:
    """The value that the pods' containers are given of a variable."""
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    told = (entry for container in containers for entry in container.get("env", []))
    return next((str(entry["value"]) for entry in told if entry["name"] == variable), None)


def _refusal(status: Object) -> Failure | None:
    """Why no pod could be made at all: a quota or a policy that refuses it."""
    for condition in status.get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return Failure(PODS_REFUSED, condition.get("message", ""))
    return None


def _failure(pods: Iterable[Object]) -> Failure | None:
    """The most telling reason among the pods: what a container said last comes before where it waits.

    Among equals the first pod by name tells, so that the answer doesn't change from pass to pass.
    """
    found = [failure for pod in sorted(pods, key=_name) for failure in _pod_failures(pod)]
    return max(found, key=lambda failure: failure[0])[1] if found else None


def _pod_failures(pod: Object) -> Iterable[tuple[int, Failure]]:
    status = pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"] or _is_ready(status):
        return
    if status.get("phase") == "Failed":
        # Evicted, or refused by its node: it never runs again, and its Deployment has made another one.
        yield 0, Failure(_word(status.get("reason"), "PodFailed"), status.get("message", ""), passing=True)
        return
    for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        if container.get("state", {}).get("terminated", {}).get("exitCode") == 0:
            continue
        for ended in (container.get("state", {}), container.get("lastState", {})):
            if (terminated := ended.get("terminated")) and terminated.get("exitCode", 0) != 0:
                yield 2, _said(container["name"], terminated)
        waiting = container.get("state", {}).get("waiting", {})
        if (reason := waiting.get("reason")) in _WAITING_IN_VAIN | _PULLED_AGAIN:
            again = reason in _PULLED_AGAIN
            message = f"container {container['name']}: {waiting.get('message', '')}"
            yield 1, Failure(reason, message, passing=again, retried=again)
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield 0, Failure(condition.get("reason", "Unschedulable"), condition.get("message", ""), passing=True)


def _said(container: str, terminated: Object) -> Failure:
    """What a container left in its termination log, by docs/api.md; else how it ended."""
    text = (terminated.get("message") or "").strip()
    try:
        told = json.loads(text)
        return Failure(_word(told["reason"], "Error"), str(told["message"]))
    except (ValueError, KeyError, TypeError):
        reason = _word(terminated.get("reason"), "Error")
        ending = f"container {container} exited with code {terminated.get('exitCode')}"
        return Failure(reason, f"{ending}: {text[-500:]}" if text else ending)


def _word(reason: object, otherwise: str) -> str:
    """`reason` if it may be a condition's; a termination log holds whatever the container wrote."""
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else otherwise


def _name(item: Object) -> str:
    name: str = item["metadata"]["name"]
    return name


def _is_ready(status: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
