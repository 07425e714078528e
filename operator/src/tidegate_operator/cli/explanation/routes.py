"""Whether requests come where they are meant to go."""

from collections.abc import Iterator

from tidegate_operator import naming
from tidegate_operator.cli.explanation.case import Case
from tidegate_operator.cli.explanation.finding import Finding
from tidegate_operator.cli.words import count
from tidegate_operator.conditions import TRAFFIC_ROUTED

DIFFERENT_SHARE = frozenset({"RoutesDiffer", "ShareDiffers"})
"""Why an analysis is inconclusive although there were requests enough."""

_ROUTES = ("describe", "httproute,grpcroute", "-l", f"{naming.SERVICE_LABEL}={{service}}")
_OTHER_WAYS = {
    "ServicePending": (
        "The Service that leads to the pods has no ready endpoint.",
        ("get", "endpointslices", "-l", "kubernetes.io/service-name={service}-pods"),
    ),
    "RoutePending": ("The Gateway's controller hasn't answered for the service's route as it is now.", _ROUTES),
    "RouteNotAccepted": ("The Gateway doesn't take the service's route, so no share is raised.", _ROUTES),
    "GatewayApiMissing": (
        "The cluster doesn't have the Gateway API that spec.routing.provider asks for.",
        ("api-resources", "--api-group=gateway.networking.k8s.io"),
    ),
}
"""What each reason means, and what to type."""


def stable_not_routed(case: Case) -> Iterator[Finding]:
    """The routers don't see stable, or can't be asked."""
    told = case.service.condition(TRAFFIC_ROUTED)
    if not told or told.reason not in ("NotRoutable", "RouterUnreachable"):
        return
    yield Finding(
        hold="route",
        reason=told.reason,
        message="Not every router sees a healthy pod of the stable revision."
        if told.reason == "NotRoutable"
        else "The controller can't ask every router what it sees, so no share is raised.",
        since=told.last_transition_time,
        evidence=(told.message,),
        command=case.look_at("router", "rollout", "status"),
    )


def way_not_working(case: Case) -> Iterator[Finding]:
    """Another provider than the bundled router doesn't bring requests to the pods."""
    told = case.service.condition(TRAFFIC_ROUTED)
    if told and told.reason in _OTHER_WAYS:
        message, words = _OTHER_WAYS[told.reason]
        named = [word.format(service=case.service.name) for word in words]
        yield Finding("route", told.reason, message, told.last_transition_time, (told.message,), case.kubectl(*named))


def canary_not_routed(case: Case) -> Iterator[Finding]:
    """The canary's pods are ready, and some router doesn't see them."""
    canary = case.canary
    if canary is None or case.phase not in ("Preparing", "Promoting", "RollingBack"):
        return
    if not canary.ready_replicas or canary.ready_replicas < canary.replicas:
        return
    if case.service.status.routing and case.service.status.routing.provider != "Router":
        return
    yield Finding(
        hold="route",
        reason="CanaryNotRoutable",
        message=f"The pods of {canary.revision} are ready, and not every router sees a healthy one yet: its health"
        " checks from the routers' pods have to get through.",
        since=case.since,
        evidence=(
            f"{canary.ready_replicas} of {canary.replicas} pods of {canary.revision} are ready",
            *((case.service.rollout.message,) if case.service.rollout.message else ()),
            *case.given_up,
        ),
        command=case.look_at("router", "logs", "--since=10m"),
    )


def share_differs(case: Case) -> Iterator[Finding]:
    """The canary doesn't have the share that was decided, in some router's configuration or as pods answered."""
    canary, analysis = case.canary, case.service.rollout.analysis
    if canary is None or analysis is None or analysis.reason not in DIFFERENT_SHARE:
        return
    seen = "" if canary.observed_weight is None else f", and was seen to get {canary.observed_weight:g} %"
    requests = analysis.canary.requests + analysis.stable.requests
    yield Finding(
        hold="route",
        reason=analysis.reason,
        message=f"{canary.revision} should get {canary.weight} % of requests{seen}: a router has an older"
        " configuration, or requests don't come by the routers.",
        since=case.since,
        evidence=(f"{analysis.message} ({count(requests)} requests)",),
        command=case.look_at("router", "rollout", "restart"),
    )
