"""Whether requests come where they are meant to go."""

from collections.abc import Callable, Iterator

from tidegate_operator import naming
from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.cli.explanation.case import Case
from tidegate_operator.cli.explanation.finding import Finding
from tidegate_operator.cli.words import count
from tidegate_operator.conditions import ROLLOUT_HEALTHY, TRAFFIC_ROUTED

DIFFERENT_SHARE = frozenset({"RoutesDiffer", "ShareDiffers"})
"""Why an analysis is inconclusive although there were requests enough."""

CANT_HAND_OVER = "StableCantHandOver"
"""Why no canary gets requests, though stable's pods do."""

_OF_SERVICE = f"{naming.SERVICE_LABEL}={{service}}"
_ROUTES = ("describe", "httproute,grpcroute", "-l", _OF_SERVICE)
_OTHER_WAYS = {
    "ServicePending": (
        "The Service that leads to the pods has no ready endpoint.",
        ("get", "endpointslices", "-l", _OF_SERVICE),
    ),
    "RoutePending": ("The Gateway's controller hasn't answered for the service's route as it is now.", _ROUTES),
    "RouteNotAccepted": ("The Gateway doesn't take the service's route, so no share is raised.", _ROUTES),
    "GatewayApiMissing": (
        "The cluster doesn't have the Gateway API that spec.routing.provider asks for.",
        ("api-resources", "--api-group=gateway.networking.k8s.io"),
    ),
}
"""What each reason means, and what to type."""
_CHECKED: dict[ProviderName, tuple[str, Callable[[Case], str]]] = {
    "Router": (
        "not every router sees a healthy one yet: its health checks from the routers' pods have to get through.",
        lambda case: case.look_at("router", "logs", "--since=10m"),
    ),
    "Direct": (
        "not every pod of stable reaches one yet: requests from pod to pod on port 8080 have to get through, and xds"
        " has to tell stable's pods of it.",
        lambda case: case.kubectl("describe", "networkpolicy"),
    ),
}
"""By provider, who has to reach a canary's pods before they get requests, and what to type."""
_LATE: dict[ProviderName, tuple[str, str]] = {
    "Router": ("a router has an older configuration, or requests don't come by the routers.", "router"),
    "Direct": ("a pod of stable has heard of another share, or requests don't come to stable's pods alone.", "xds"),
}
"""By provider, why a share may be another than it should be, and which process to start again."""


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
    way = _provider(case)
    if way not in _CHECKED:
        return
    told = case.service.condition(ROLLOUT_HEALTHY)
    if told and told.reason == CANT_HAND_OVER:
        return
    message, command = _CHECKED[way]
    yield Finding(
        hold="route",
        reason="CanaryNotRoutable",
        message=f"The pods of {canary.revision} are ready, and {message}",
        since=case.since,
        evidence=(
            f"{canary.ready_replicas} of {canary.replicas} pods of {canary.revision} are ready",
            *((case.service.rollout.message,) if case.service.rollout.message else ()),
            *case.given_up,
        ),
        command=command(case),
    )


def stable_cant_hand_over(case: Case) -> Iterator[Finding]:
    """Stable's pods are to hand requests over to a canary, and an earlier release made them."""
    told = case.service.condition(ROLLOUT_HEALTHY)
    if case.canary is None or told is None or told.reason != CANT_HAND_OVER:
        return
    yield Finding(
        hold="route",
        reason=told.reason,
        message="Stable's pods were made by an earlier release and can't hand requests over: callers have to come by"
        " provider Router until stable is updated.",
        since=told.last_transition_time,
        evidence=(told.message, *case.given_up),
        command=case.edit(),
    )


def way_not_coming(case: Case) -> Iterator[Finding]:
    """The way that the spec asks for isn't seen to work, so callers still come by the one before."""
    routing = case.service.status.routing
    if routing is None or routing.coming is None or routing.coming_since is not None:
        return
    yield Finding(
        hold="route",
        reason="WayNotWorking",
        message=f"Callers come by {routing.provider} until {routing.coming}, which the spec asks for, is seen to work.",
        since=None,
        evidence=(routing.message,) if routing.message else (),
        command=case.kubectl("get", "services,endpointslices", "-l", _OF_SERVICE.format(service=case.service.name)),
    )


def share_differs(case: Case) -> Iterator[Finding]:
    """The canary doesn't have the share that was decided, in some router's configuration or as pods answered."""
    canary, analysis = case.canary, case.service.rollout.analysis
    if canary is None or analysis is None or analysis.reason not in DIFFERENT_SHARE:
        return
    way = _provider(case)
    late, process = _LATE.get(way, _LATE["Router"])
    seen = "" if canary.observed_weight is None else f", and was seen to get {canary.observed_weight:g} %"
    requests = analysis.canary.requests + analysis.stable.requests
    yield Finding(
        hold="route",
        reason=analysis.reason,
        message=f"{canary.revision} should get {canary.weight} % of requests{seen}: {late}",
        since=case.since,
        evidence=(f"{analysis.message} ({count(requests)} requests)",),
        command=case.look_at(process, "rollout", "restart"),
    )


def _provider(case: Case) -> ProviderName:
    routing = case.service.status.routing
    return routing.provider if routing else "Router"
