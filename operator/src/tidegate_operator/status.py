"""The status of an InferenceService, computed whole from the decision and what was seen."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate_operator.api.analysis_status import Sample
from tidegate_operator.api.schema import duration, seconds
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.api.status import (
    InferenceServiceStatus,
    PreviousRevision,
    RetiringRevision,
    RolloutStatus,
    RoutedRevision,
)
from tidegate_operator.conditions import (
    CAPACITY_AVAILABLE,
    MODEL_LOADED,
    PLATFORM_UPDATE_AVAILABLE,
    READY,
    RECONCILING,
    ROLLOUT_HEALTHY,
    SCALING_ACTIVE,
    STALLED,
    TRAFFIC_ROUTED,
    Fact,
    Truth,
    settle,
)
from tidegate_operator.fit.forecast import Forecast
from tidegate_operator.observed import Failure
from tidegate_operator.report import Report, out_of_patience
from tidegate_operator.rollout.decision import Decision
from tidegate_operator.rollout.ending import ABORTED_BY_REQUEST

_WAITING_FOR_A_PERSON = frozenset({"AwaitingApproval", "Paused"})

OBSTACLES = frozenset({"NotOwned", "ChildRefused", "FieldsContested"})
"""Reasons for which the children could not be made, or kept, as decided."""


@dataclass(frozen=True)
class Addresses:
    """Where a service answers."""

    url: str
    preview: str | None = None
    """The canary's own."""
    external: str | None = None
    """For callers from outside the cluster."""


def standing_obstacle(before: InferenceServiceStatus) -> Failure | None:
    """The obstacle that the status tells of; None if there is none."""
    for condition in before.conditions:
        if condition.type == STALLED and condition.status == "True" and condition.reason in OBSTACLES:
            return Failure(condition.reason, condition.message)
    return None


def compute(
    before: InferenceServiceStatus,
    spec: InferenceServiceSpec,
    decision: Decision,
    report: Report,
    addresses: Addresses,
    generation: int,
    now: datetime,
) -> InferenceServiceStatus:
    """The status that is true after `decision`; equal to `before` if nothing has changed."""
    state = decision.state
    if now - state.since >= timedelta(seconds=seconds(spec.rollout.progress_deadline)):
        report = out_of_patience(report)
    request = before.rollout.request if before.rollout else None
    under_way = state.canary is not None and state.phase != "RollingBack"
    stable = _routed(state.stable, 100 - state.weight, report)
    canary = _routed(state.canary, state.weight, report)
    if stable and canary and (analysis := state.analysis):
        total = analysis.stable.requests + analysis.canary.requests
        stable, canary = _measured(stable, analysis.stable, total), _measured(canary, analysis.canary, total)
    if canary:
        canary = canary.model_copy(update={"preview_url": addresses.preview})
    return InferenceServiceStatus(
        observed_generation=generation,
        url=addresses.url,
        external_url=addresses.external,
        conditions=settle(before.conditions, facts(decision, report), generation, now),
        stable=stable,
        canary=canary,
        previous=PreviousRevision(revision=state.previous, model_sha256=report.digests.get(state.previous))
        if state.previous
        else None,
        retiring=[_retiring(entry.revision, entry.until, report) for entry in state.retiring] or None,
        rollout=RolloutStatus(
            phase=state.phase,
            step=state.step if under_way else None,
            steps=len(spec.rollout.steps) if under_way else None,
            since=state.since,
            message=decision.message,
            reason=state.reason,
            paused=state.paused or None,
            whole=state.whole,
            analysis=state.analysis,
            request=request,
            last_request=state.answered,
            rejected=list(state.rejected) or None,
        ),
        routing=report.routing,
    )


def refused(before: InferenceServiceStatus, problem: Failure, generation: int, now: datetime) -> InferenceServiceStatus:
    """The status of a service whose spec this release can't honour: what runs is left as it is."""
    told = [
        Fact(READY, "False", problem.reason, problem.message),
        Fact(RECONCILING, "False", problem.reason, problem.message),
        Fact(STALLED, "True", problem.reason, problem.message),
    ]
    kept = [condition for condition in before.conditions if condition.type not in {READY, RECONCILING, STALLED}]
    return before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": [*settle(before.conditions, told, generation, now), *kept],
        }
    )


def facts(decision: Decision, report: Report) -> list[Fact]:
    """The conditions that hold after `decision`."""
    loaded, routed = _model_loaded(decision, report), _traffic_routed(decision, report)
    rollout, scaling = _rollout_healthy(decision, report), _scaling_active(report)
    capacity, update = _capacity_available(report.forecast), _platform_update(decision, report)
    stalled = _stalled(decision, report, loaded)
    ready = _ready(decision, report, routed)
    reconciling = _reconciling(decision, report, stalled, ready)
    return [ready, reconciling, stalled, loaded, routed, rollout, scaling, capacity, update]


def _routed(revision: str | None, weight: int, report: Report) -> RoutedRevision | None:
    if revision is None:
        return None
    found = report.workload(revision)
    return RoutedRevision(
        revision=revision,
        weight=weight,
        replicas=found.wanted,
        ready_replicas=found.ready,
        timeout=duration(found.timeout_seconds) if found.timeout_seconds else None,
        health_path=found.health_path,
        model_sha256=report.digests.get(revision),
    )


def _retiring(revision: str, until: datetime, report: Report) -> RetiringRevision:
    # Until every router has heard that it has no share, it has to pass their health checks.
    health_path = report.workload(revision).health_path
    return RetiringRevision(revision=revision, until=until, health_path=health_path)


def _measured(routed: RoutedRevision, sample: Sample, total: int) -> RoutedRevision:
    """`routed` with what its callers saw in the current step, of `total` requests."""
    share = round(100 * sample.requests / total, 1) if total else None
    return routed.model_copy(update={"observed_weight": share, "p95_ms": sample.p95_ms})


def _model_loaded(decision: Decision, report: Report) -> Fact:
    newest = decision.state.canary or decision.state.stable
    found = report.workload(newest)
    if found.ready:
        return Fact(MODEL_LOADED, "True", "Loaded", f"{newest} has loaded its model")
    if found.failure:
        truth: Truth = "Unknown" if found.failure.passing else "False"
        return Fact(MODEL_LOADED, truth, found.failure.reason, f"{newest}: {found.failure.message}")
    return Fact(MODEL_LOADED, "Unknown", "Loading", f"waiting for the first ready pod of {newest}")


def _traffic_routed(decision: Decision, report: Report) -> Fact:
    stable = decision.state.stable
    if not report.workload(stable).ready:
        return Fact(TRAFFIC_ROUTED, "False", "NoReadyPod", f"{stable} has no ready pod")
    if report.way:
        truth: Truth = "Unknown" if report.way.passing else "False"
        return Fact(TRAFFIC_ROUTED, truth, report.way.reason, report.way.message)
    match report.routable.get(stable or ""):
        case True if report.routing and report.routing.provider != "Router":
            return Fact(TRAFFIC_ROUTED, "True", "Routed", f"{report.routing.provider} leads to ready pods of {stable}")
        case True:
            return Fact(TRAFFIC_ROUTED, "True", "Routed", f"every router sees a healthy pod of {stable}")
        case False:
            return Fact(TRAFFIC_ROUTED, "False", "NotRoutable", f"not every router sees a healthy pod of {stable} yet")
        case _:
            message = "not every router can be asked: see the pods of tidegate-router in the install's namespace"
            return Fact(TRAFFIC_ROUTED, "Unknown", "RouterUnreachable", message)


def _rollout_healthy(decision: Decision, report: Report) -> Fact:
    state, failure = decision.state, report.workload(decision.state.canary).failure
    if state.phase == "Aborted":
        return Fact(ROLLOUT_HEALTHY, "False", state.reason or ABORTED_BY_REQUEST, decision.message)
    if state.canary and failure:
        return Fact(ROLLOUT_HEALTHY, "False", failure.reason, f"{state.canary}: {failure.message}")
    if decision.obstacle:
        return Fact(ROLLOUT_HEALTHY, "False", "CapacityExceeded", decision.message)
    if decision.busy:
        return Fact(ROLLOUT_HEALTHY, "Unknown", "StableBusy", decision.message)
    if state.canary and report.canary_way:
        return Fact(ROLLOUT_HEALTHY, "False", report.canary_way.reason, report.canary_way.message)
    return Fact(ROLLOUT_HEALTHY, "True", state.phase, decision.message)


def _scaling_active(report: Report) -> Fact:
    if report.scaling is None:
        return Fact(SCALING_ACTIVE, "False", "FixedReplicas", "scaling.maxReplicas is not above scaling.minReplicas")
    return Fact(SCALING_ACTIVE, report.scaling.active, report.scaling.reason, report.scaling.message)


def _capacity_available(forecast: Forecast) -> Fact:
    match forecast.fits:
        case True:
            return Fact(CAPACITY_AVAILABLE, "True", "Fits", forecast.message)
        case False:
            return Fact(CAPACITY_AVAILABLE, "False", "NoRoom", forecast.message)
        case _:
            return Fact(CAPACITY_AVAILABLE, "Unknown", "NotSeen", forecast.message)


def _platform_update(decision: Decision, report: Report) -> Fact:
    stable, update = decision.state.stable, report.update
    if update is None:
        return Fact(PLATFORM_UPDATE_AVAILABLE, "False", "UpToDate", f"{stable} is what this release makes of it")
    message = f"this release would make other pods of {stable} ({update.differences}): request Update to roll them out"
    return Fact(PLATFORM_UPDATE_AVAILABLE, "True", "TemplateDiffers", message)


def _stalled(decision: Decision, report: Report, loaded: Fact) -> Fact:
    if report.obstacle:
        return Fact(STALLED, "True", report.obstacle.reason, report.obstacle.message)
    if decision.obstacle:
        return Fact(STALLED, "True", "CapacityExceeded", decision.message)
    way = report.way or (report.canary_way if decision.state.canary else None)
    if way and not way.passing:
        return Fact(STALLED, "True", way.reason, way.message)
    if loaded.status == "False":
        return Fact(STALLED, "True", loaded.reason, loaded.message)
    return Fact(STALLED, "False", "Progressing", "nothing stands in the way")


def _ready(decision: Decision, report: Report, routed: Fact) -> Fact:
    stable = decision.state.stable
    if report.obstacle:
        return Fact(READY, "False", report.obstacle.reason, report.obstacle.message)
    failure = report.workload(stable).failure
    if not report.workload(stable).ready and failure:
        return Fact(READY, "False", failure.reason, f"{stable}: {failure.message}")
    if decision.state.phase == "Initial" and routed.status == "True":
        return Fact(READY, "False", "Initial", decision.message)
    if routed.status != "True":
        # Unknown stays unknown: a router that doesn't answer us may well answer callers.
        return Fact(READY, routed.status, routed.reason, routed.message)
    return Fact(READY, "True", "Serving", f"{stable} answers")


def _reconciling(decision: Decision, report: Report, stalled: Fact, ready: Fact) -> Fact:
    if stalled.status == "True":
        return Fact(RECONCILING, "False", stalled.reason, stalled.message)
    state = decision.state
    if state.phase in _WAITING_FOR_A_PERSON:
        return Fact(RECONCILING, "False", state.phase, decision.message)
    if state.canary or state.phase == "Initial" or ready.status != "True":
        return Fact(RECONCILING, "True", state.phase, decision.message)
    if not report.workload(state.stable).settled:
        return Fact(RECONCILING, "True", "PodsChanging", f"{state.stable} has not all its pods ready yet")
    return Fact(RECONCILING, "False", "Settled", decision.message)
