"""Why a revision's pods don't get ready."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from tidegate_operator import naming
from tidegate_operator.cli.explanation.case import Case
from tidegate_operator.cli.explanation.finding import Finding, Hold
from tidegate_operator.cli.service import Object
from tidegate_operator.cli.words import age, moment
from tidegate_operator.conditions import CAPACITY_AVAILABLE
from tidegate_operator.observed import Failure, Workload, workloads

_LACKING = re.compile(r"(\d+) Insufficient ([a-z0-9./-]*[a-z0-9])")
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_ENDED = frozenset({"CrashLoopBackOff", "Error", "OOMKilled", "ContainerCannotRun", "RunContainerError", "StartError"})
_NO_ROOM = frozenset({"Unschedulable", "SchedulingGated"})


def not_ready(case: Case) -> Iterator[Finding]:
    """Each running revision whose pods fail, or of which some aren't ready."""
    found = workloads(case.children)
    status = case.service.status
    for routed in (status.canary, status.stable):
        if routed is None or (workload := found.get(routed.revision)) is None:
            continue
        pods = _unready(case, routed.revision)
        ends = case.given_up if routed is status.canary else ()
        if workload.failure:
            yield _failing(case, workload, workload.failure, pods, ends)
        elif workload.ready < workload.wanted:
            yield _starting(case, workload, pods, ends)


def _failing(case: Case, workload: Workload, failure: Failure, pods: list[Object], ends: tuple[str, ...]) -> Finding:
    pod = _pod_behind(case, workload, failure, pods)
    hold, message, command = _next_step(case, workload.revision, failure, pod)
    evidence = [_ready(workload), f"{failure.reason}: {failure.message}"]
    foreseen = case.service.condition(CAPACITY_AVAILABLE)
    if failure.reason in _NO_ROOM and foreseen and foreseen.status == "False":
        evidence.append(foreseen.message)
    if pod:
        evidence.append(f"pod {pod['metadata']['name']}{_restarts(pod)}")
    return Finding(hold, failure.reason, message, _since(pod), (*evidence, *ends), command)


def _next_step(case: Case, revision: str, failure: Failure, pod: Object | None) -> tuple[Hold, str, str]:
    name = pod["metadata"]["name"] if pod else ""
    lacking = _lacking(failure.message)
    if failure.reason == "PodsRefused":
        return "quota", f"No pod of {revision} may be made.", case.kubectl("describe", "resourcequota")
    if failure.reason in _NO_ROOM and lacking:
        column = lacking.replace(".", r"\.")
        columns = f"NODE:.metadata.name,ALLOCATABLE:.status.allocatable.{column}"
        message = f"No node has {lacking} left for a pod of {revision}: it starts as soon as one has."
        return "quota", message, f"kubectl get nodes -o 'custom-columns={columns}'"
    if failure.reason in _NO_ROOM:
        return "quota", f"No node takes a pod of {revision}.", case.kubectl("describe", "pod", name)
    if failure.reason in _IMAGE:
        message = f"The image of a pod of {revision} can't be pulled; it is the install's, not the spec's."
        return "condition", message, case.kubectl("describe", "pod", name)
    if failure.reason in _ENDED:
        message = f"A container of {revision} ends again and again; its log has its last words."
        return "condition", message, case.kubectl("logs", name, "--all-containers", "--previous", "--tail=50")
    return "condition", f"The pods of {revision} can't serve the model; mend what they say.", case.edit()


def _lacking(message: str) -> str | None:
    """What most nodes lack, in the scheduler's words; None if it is nothing that is counted."""
    found = [(int(nodes), resource) for nodes, resource in _LACKING.findall(message)]
    return max(found)[1] if found else None


def _starting(case: Case, workload: Workload, pods: list[Object], ends: tuple[str, ...]) -> Finding:
    first = pods[0] if pods else None
    evidence = [_ready(workload), *(line for pod in pods[:3] for line in _containers(pod, case.now))]
    command = (
        case.kubectl("logs", first["metadata"]["name"], "--all-containers", "--tail=20")
        if first
        else case.kubectl("describe", "deployment", workload.revision)
    )
    return Finding(
        hold="condition",
        reason="PodsStarting",
        message=f"Pods of {workload.revision} are still starting; nothing has failed so far.",
        since=_since(first),
        evidence=(*evidence, *ends),
        command=command,
    )


def _unready(case: Case, revision: str) -> list[Object]:
    pods = case.of_kind("Pod")
    own = [pod for pod in pods if pod["metadata"].get("labels", {}).get(naming.REVISION_LABEL) == revision]
    return [pod for pod in own if not _is(pod, "Ready", "True") and "deletionTimestamp" not in pod["metadata"]]


def _pod_behind(case: Case, workload: Workload, failure: Failure, pods: Iterable[Object]) -> Object | None:
    """The pod that `failure` tells of."""
    deployments = [item for item in case.of_kind("Deployment") if item["metadata"]["name"] == workload.revision]
    for pod in pods:
        if workloads([*deployments, pod])[workload.revision].failure == failure:
            return pod
    return None


def _since(pod: Object | None) -> datetime | None:
    if pod is None:
        return None
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return moment(condition.get("lastTransitionTime"))
    return moment(pod["metadata"].get("creationTimestamp"))


def _containers(pod: Object, now: datetime) -> Iterator[str]:
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        state = container.get("state", {})
        where = f"pod {pod['metadata']['name']}, container {container['name']}"
        if running := state.get("running"):
            yield f"{where} has run for {age(moment(running.get('startedAt')), now)}, and isn't ready"
        elif waiting := state.get("waiting"):
            yield f"{where} waits: {waiting.get('reason', 'no reason told')}"


def _restarts(pod: Object) -> str:
    status = pod.get("status", {})
    containers = (*status.get("initContainerStatuses", []), *status.get("containerStatuses", []))
    number = sum(container.get("restartCount", 0) for container in containers)
    return f" was restarted {number} times" if number else ""


def _ready(workload: Workload) -> str:
    return f"{workload.ready} of {workload.wanted} pods of {workload.revision} are ready"


def _is(pod: Object, kind: str, truth: str) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == kind and condition["status"] == truth for condition in conditions)
