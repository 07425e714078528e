"""The ways in which a rollout stands still, each as the objects that a cluster has then."""

from dataclasses import dataclass
from datetime import UTC, datetime

from explained.objects import (
    CANARY,
    STABLE,
    Object,
    analysis,
    answered,
    condition,
    copies,
    deployment,
    lease,
    pod,
    queried,
    routed,
    service,
    under_way,
    waiting,
)

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
"""When each case is looked at."""


@dataclass(frozen=True)
class Situation:
    """One way to stand still."""

    title: str
    live: Object
    children: tuple[Object, ...] = (lease(),)


_MANUAL: Object = {
    "rollout": {"steps": [{"weight": 10, "hold": "2m"}, {"weight": 50, "hold": "5m"}], "approval": "Manual"}
}
_AUTOMATIC: Object = {"rollout": {"steps": [{"weight": 10, "hold": "2m"}, {"weight": 50, "hold": "5m"}]}}
_SHADOWED: Object = {
    "rollout": {"steps": [{"weight": 0, "hold": "2m"}, {"weight": 50, "hold": "5m"}], "shadow": {"percent": 20}}
}
_LONG_HOLD: Object = {"rollout": {"steps": [{"weight": 10, "hold": "12m"}, {"weight": 50, "hold": "5m"}]}}
_PASS = analysis("Pass", "NoWorse", "no worse than stable in 2,140 requests", (2140, 3), (19260, 22), slow=21)
_RESTING: Object = {
    "stable": routed(STABLE, 100, replicas=3),
    "rollout": {"phase": "Stable", "message": f"{STABLE} serves all requests"},
}
_READY = condition("Ready", "True", "Serving", f"{STABLE} answers")


def _pods(*pods: Object, wanted: int = 1, ready: int = 0, **status: object) -> tuple[Object, ...]:
    stable = deployment(STABLE, wanted=3, ready=3)
    return (lease(), stable, deployment(CANARY, wanted=wanted, ready=ready, **status), *pods)


def _preparing(ready: int = 0, replicas: int = 1, **more: object) -> Object:
    canary = routed(CANARY, 0, replicas=replicas, ready=ready)
    message = f"{CANARY} has {ready} of {replicas} pods that 10 % need"
    return service(spec=_AUTOMATIC, status=under_way("Preparing", 0, message=message, canary=canary, **more))


def _aborted(reason: str, message: str, **more: object) -> Object:
    told = f"{CANARY} {message}; it is not tried again until the spec changes, or by a Retry"
    rollout = {"phase": "Aborted", "since": "2026-11-22T09:48:00Z", "reason": reason, "message": told, **more}
    rollout["rejected"] = [CANARY.rsplit("-", 1)[1]]
    status = {
        "stable": routed(STABLE, 100, replicas=3),
        "conditions": [_READY, condition("RolloutHealthy", "False", "Aborted", told)],
        "rollout": rollout,
    }
    return service(spec=_AUTOMATIC, status=status)


def _stalled(reason: str, message: str) -> Object:
    conditions = [condition("Ready", "False", reason, message), condition("Stalled", "True", reason, message)]
    return service(spec=_AUTOMATIC, status={"conditions": conditions, **_RESTING})


def _by(provider: str, live: Object, **routing: str) -> Object:
    """`live` by another way than the routers, or on its way to one."""
    return {**live, "status": {**live["status"], "routing": {"provider": provider, "weights": "Exact", **routing}}}


_CANT_HAND_OVER = (
    f"the pods of {STABLE} were made by an earlier release and can't hand requests over to a canary: Update it while"
    " callers come by provider Router"
)
_CAPACITY = (
    "50 % needs 2 canary pods beside 3 stable ones, and scaling.maxReplicas 3 + rollout.surge 1 allow 4:"
    " raise rollout.surge to 2"
)
_BUSY = (
    "10 % needs 1 canary pod beside 3 stable ones, 8 GPUs together, and scaling.maxReplicas 3 × 2 + rollout.surgeGpus 0"
    " allow 6: raise rollout.surgeGpus to 2, or wait until stable's load lets its autoscaler give up 1 of 3 pods"
)
_FEW_COPIES = (
    "41 of 200 answers to copies that have to be compared; 0 of 41 answers (0 %) differed from stable's, 1 % may;"
    " 0 of 41 copies (0 %) failed, 1 % may"
)
_DIVERGED = (
    "60 of 300 answers (20 %) differed from stable's, 1 % may; 0 of 300 copies (0 %) failed, 1 % may;"
    " by chance at most once in 485,165,195 times"
)
_REFUNDS_ONCE = "query refunds gave 0.081 (at most 0.05), 1 of 3 in a row against the canary"
_REFUNDS = "query refunds gave 0.093 (at most 0.05), 3 of 3 in a row against the canary"
_FINE = "the canary failed 3 of 2140 requests (0.14 %)"
_SHARE = "the canary was seen to answer 1049 of 21400 requests, which isn't 10 %"
_NO_GPU = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."
_NO_ROOM = f"{CANARY} is to have a pod more than run: no node has 1 free nvidia.com/gpu (8 of 8 in use on 4 nodes)"
_PULL = 'Back-off pulling image "registry.example/tidegate/runtime:0.2.0"'
_DIGEST = '{"reason": "DigestMismatch", "message": "model.onnx has SHA-256 4b1c…, spec.model.sha256 says 9f0c…"}'
_QUOTA = (
    'pods "churn-a81e0213-5c9f7-" is forbidden: exceeded quota: ml, requested: requests.cpu=1, used: 12, limited: 12'
)

CASES: tuple[Situation, ...] = (
    Situation(
        "A person is waited for",
        service(spec=_MANUAL, status=under_way("AwaitingApproval", message="…", analysis=_PASS, conditions=[_READY])),
    ),
    Situation(
        "The hold isn't over",
        service(spec=_LONG_HOLD, status=under_way("Progressing", message=f"{CANARY} holds 10 %", analysis=_PASS)),
    ),
    Situation(
        "Paused by request",
        service(
            spec=_AUTOMATIC,
            status=under_way(
                "Paused",
                message=f"{CANARY} stays at 10 %: paused by request, until a Resume or a Promote",
                paused=True,
                lastRequest=answered("Pause", CANARY, message=f"{CANARY} stays at 10 %"),
            ),
        ),
    ),
    Situation(
        "Paused by the spec",
        service(
            spec={"rollout": {**_AUTOMATIC["rollout"], "paused": True}},
            status=under_way("Paused", message=f"{CANARY} stays at 10 %: spec.rollout.paused holds it"),
        ),
    ),
    Situation(
        "Too few requests",
        service(
            spec=_AUTOMATIC,
            status=under_way(
                "Progressing",
                analysis=analysis("Inconclusive", "TooFewRequests", "41 of 200 requests", (41, 0), (380, 1)),
            ),
        ),
    ),
    Situation(
        "Too few copies",
        service(
            spec=_SHADOWED,
            status=under_way("Progressing", 0, analysis=copies("Inconclusive", "TooFewCopies", _FEW_COPIES, 41, 0)),
        ),
    ),
    Situation(
        "Given up by how it answered copies",
        _aborted(
            "AnswersDiverged",
            f"was aborted: {_DIVERGED}",
            analysis=copies("Fail", "AnswersDiverged", _DIVERGED, 300, 60),
        ),
    ),
    Situation(
        "Prometheus isn't content",
        service(
            spec=_AUTOMATIC,
            status=under_way(
                "Progressing",
                analysis=queried(
                    analysis("Inconclusive", "QueryUndecided", f"{_REFUNDS_ONCE}; {_FINE}", (2140, 3), (19260, 22)),
                    outcome="OutOfBounds",
                    value=0.081,
                    against=1,
                ),
            ),
        ),
    ),
    Situation(
        "Given up by what Prometheus said",
        _aborted(
            "QueryOutOfBounds",
            f"was aborted: {_REFUNDS}; {_FINE}",
            analysis=queried(
                analysis("Fail", "QueryOutOfBounds", f"{_REFUNDS}; {_FINE}", (2140, 3), (19260, 22)),
                outcome="OutOfBounds",
                value=0.093,
                against=3,
            ),
        ),
    ),
    Situation(
        "The observed share differs",
        service(
            spec=_AUTOMATIC,
            status=under_way(
                "Progressing",
                analysis=analysis("Inconclusive", "ShareDiffers", _SHARE, (1049, 1), (20351, 24), slow=21),
                canary=routed(CANARY, 10, observedWeight=4.9, p95Ms=44),
            ),
        ),
    ),
    Situation(
        "Pods: the image can't be pulled",
        _preparing(),
        _pods(pod(CANARY, containerStatuses=[waiting("runtime", "ImagePullBackOff", _PULL)])),
    ),
    Situation(
        "Pods: a container crashes",
        _preparing(),
        _pods(
            pod(
                CANARY,
                containerStatuses=[
                    waiting(
                        *("runtime", "CrashLoopBackOff", "back-off 2m40s restarting failed container"),
                        restarts=5,
                        exitCode=137,
                        reason="OOMKilled",
                    )
                ],
            )
        ),
    ),
    Situation(
        "Pods: the model isn't the one that was named",
        _preparing(),
        _pods(
            pod(
                CANARY,
                initContainerStatuses=[
                    waiting("fetch-model", "CrashLoopBackOff", restarts=3, exitCode=1, message=_DIGEST)
                ],
            )
        ),
    ),
    Situation(
        "Pods: no GPU is free",
        _preparing(conditions=[condition("CapacityAvailable", "False", "NoRoom", _NO_ROOM)]),
        _pods(
            pod(
                CANARY,
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": _NO_GPU,
                        "lastTransitionTime": "2026-11-22T09:51:02Z",
                    }
                ],
            )
        ),
    ),
    Situation(
        "Pods: a quota is used up",
        _preparing(),
        _pods(
            replicas=0,
            updatedReplicas=0,
            conditions=[{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": _QUOTA}],
        ),
    ),
    Situation(
        "Pods: still starting",
        _preparing(),
        _pods(
            pod(
                CANARY,
                initContainerStatuses=[
                    {
                        "name": "fetch-model",
                        "restartCount": 0,
                        "state": {"running": {"startedAt": "2026-11-22T09:51:05Z"}},
                    }
                ],
            )
        ),
    ),
    Situation(
        "Not every router sees the canary",
        _preparing(ready=1),
        _pods(ready=1),
    ),
    Situation(
        "Not every pod of stable reaches the canary, with provider Direct",
        _by("Direct", _preparing(ready=1)),
        _pods(ready=1),
    ),
    Situation(
        "Stable can't hand requests over, with provider Direct",
        _by(
            "Direct",
            _preparing(
                ready=1,
                conditions=[condition("RolloutHealthy", "False", "StableCantHandOver", _CANT_HAND_OVER)],
            ),
        ),
        _pods(ready=1),
    ),
    Situation(
        "The way that the spec asks for doesn't work yet",
        _by(
            "Router",
            service(spec=_AUTOMATIC, status={"conditions": [_READY], **_RESTING}),
            coming="Direct",
            message=f"going over to Direct, which is built beside it: {_CANT_HAND_OVER}",
        ),
    ),
    Situation(
        "The routers can't be asked",
        service(
            spec=_AUTOMATIC,
            status=under_way(
                "Preparing",
                0,
                message=f"waiting until every router sees a healthy pod of {CANARY}",
                canary=routed(CANARY, 0, ready=0),
                conditions=[
                    condition(
                        *("TrafficRouted", "Unknown", "RouterUnreachable"),
                        "not every router can be asked: see the pods of tidegate-router in the install's namespace",
                    )
                ],
            ),
        ),
    ),
    Situation(
        "The Gateway doesn't take the route",
        service(
            spec=_AUTOMATIC,
            status=under_way(
                "Preparing",
                0,
                message="waiting until the Gateway has accepted the service's routes as they are",
                canary=routed(CANARY, 0, ready=0),
                conditions=[
                    condition(
                        *("TrafficRouted", "False", "RouteNotAccepted"),
                        "Gateway gateways/public: HTTPRoute churn has Accepted False, NoMatchingParent: none",
                    )
                ],
            ),
        ),
    ),
    Situation(
        "More pods are needed than allowed",
        service(
            spec={"rollout": {**_AUTOMATIC["rollout"], "surge": 1}, "scaling": {"minReplicas": 3, "maxReplicas": 3}},
            status=under_way(
                "Blocked",
                message=_CAPACITY,
                conditions=[
                    condition("RolloutHealthy", "False", "CapacityExceeded", _CAPACITY),
                    condition("Stalled", "True", "CapacityExceeded", _CAPACITY),
                ],
                step=1,
            ),
        ),
    ),
    Situation(
        "Stable is too busy to give pods up",
        service(
            spec={
                "rollout": {**_AUTOMATIC["rollout"], "surgeGpus": 0, "whenFull": "Yield"},
                "resources": {"gpu": {"count": 2}},
                "scaling": {"minReplicas": 1, "maxReplicas": 3},
            },
            status=under_way(
                "Blocked",
                0,
                message=_BUSY,
                canary=routed(CANARY, 0, replicas=0),
                conditions=[condition("RolloutHealthy", "Unknown", "StableBusy", _BUSY)],
            ),
        ),
    ),
    Situation(
        "Aborted by request",
        _aborted(
            "AbortedByRequest",
            "was aborted by request",
            lastRequest=answered("Abort", CANARY, message=f"{CANARY} gets no more requests"),
        ),
    ),
    Situation(
        "Aborted by what callers saw",
        _aborted(
            "ErrorsIncreased",
            "was aborted: 61 of 1,204 requests failed, stable: 11 of 10,830",
            analysis=analysis(
                *("Fail", "ErrorsIncreased", "61 of 1,204 requests failed, stable: 11 of 10,830"),
                (1204, 61),
                (10830, 11),
            ),
        ),
    ),
    Situation(
        "Aborted at its deadline",
        _aborted("ProgressDeadlineExceeded", "didn't get on within rollout.progressDeadline"),
    ),
    Situation(
        "Rolled back",
        _aborted(
            "RolledBack",
            f"was rolled back to {STABLE}",
            lastRequest=answered("Rollback", STABLE, message=f"{STABLE} is prepared to serve all requests again"),
        ),
    ),
    Situation(
        "The spec isn't taken",
        _stalled(
            "InvalidSpec",
            "spec.model.uri: http:// is not allowed by this install: use https://, or set models.allowHttp",
        ),
    ),
    Situation(
        "A name is taken",
        _stalled(
            "NotOwned",
            "Service churn exists and isn't owned by this InferenceService: rename one of them, or delete it if it is a"
            " leftover",
        ),
    ),
    Situation(
        "An object is refused",
        _stalled("ChildRefused", 'poddisruptionbudgets.policy "churn-a81e0213" is forbidden: policy no-pdb'),
    ),
    Situation(
        "Somebody goes on editing an object",
        _stalled(
            "FieldsContested",
            f"Deployment {STABLE}: .spec.template.spec.containers, set by argocd-controller",
        ),
    ),
    Situation(
        "The controller isn't running",
        service(spec=_MANUAL, status={"observedGeneration": 6, **_RESTING}),
        (lease(renewed="2026-11-22T09:12:00.000000Z"),),
    ),
    Situation(
        "A request isn't answered",
        service(
            spec=_MANUAL,
            status=under_way(
                "AwaitingApproval",
                message=f"{CANARY} at 10 % waits for status.rollout.request",
                request={"action": "Promote", "revision": CANARY, "id": "b3e1"},
                lastRequest=answered("Resume", CANARY, message=f"{CANARY} goes on"),
            ),
            fields=[
                {
                    "manager": "kubectl-tidegate",
                    "operation": "Update",
                    "subresource": "status",
                    "time": "2026-11-22T09:58:00Z",
                    "fieldsV1": {"f:status": {"f:rollout": {"f:request": {"f:id": {}}}}},
                }
            ],
        ),
    ),
    Situation(
        "The autoscaler has no figures",
        service(
            status={
                "conditions": [
                    condition(
                        *("ScalingActive", "False", "FailedGetPodsMetric"),
                        "unable to get metric tidegate_queue_depth: no metrics returned from custom metrics API",
                    )
                ],
                **_RESTING,
            }
        ),
    ),
    Situation(
        "Nothing holds it",
        service(
            status={
                "conditions": [_READY],
                **_RESTING,
            }
        ),
        (lease(), deployment(STABLE, wanted=3, ready=3)),
    ),
)
